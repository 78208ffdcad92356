"""wim-fast: re-posable articulated models from multi-view video."""

__version__ = "0.1.0"
