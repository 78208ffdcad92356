"""Rigid bodies that parts make up, how they hang together, and what they carry."""
