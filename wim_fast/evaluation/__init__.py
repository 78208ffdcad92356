"""Evaluation: image metrics and the paper's joint error."""
