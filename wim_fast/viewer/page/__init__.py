"""What training sees, in a browser."""
