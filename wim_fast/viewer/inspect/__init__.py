"""What training sees, as numbers; no browser."""
