"""Kinds of joints, and mechanisms of them that are fitted to learned motion (numpy)."""
