"""Kundu*: a skinned body posed by a network of time, after "Appearance consensus driven ..." (supplement A.9)."""
