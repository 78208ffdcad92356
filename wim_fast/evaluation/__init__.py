"""Measures of a reconstruction, as functions of arrays: image metrics, joint error, the papers' protocols."""
