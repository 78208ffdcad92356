"""Numeric kernels: a folder for each operation. Its ``reference.py`` is the specification, fast versions stand beside."""
