"""Schmidtke* (supplement A.9): a template of three-dimensional Gaussians, and a network that paints over its heat maps."""
