"""Numeric kernels. Each operation has a folder: ``reference.py`` is its specification in torch, fast versions stand beside it."""
