"""What training sees, to be looked at: `inspect` computes it, `page` shows it in a browser, `export` writes it to files."""
