"""What is shown of a trained run: pictures, videos, tables. One module per command, behind its flags."""
