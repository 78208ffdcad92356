"""Runs, protocols and ablations on one page that can be sent. Their files are read, no model is loaded."""
