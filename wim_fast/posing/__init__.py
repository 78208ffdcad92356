"""Posing: the kinematic tree, re-posing, driving and merging (numpy, float64, world units)."""
