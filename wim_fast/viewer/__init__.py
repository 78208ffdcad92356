"""What training sees, to be looked at: `inspect_*` computes it, `page*` shows it in a browser, `export` writes it."""
