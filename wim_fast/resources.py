"""Files that ship with the program: scenes in `assets/`, settings in `configs/`."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def resource_folder(kind: str) -> Path:
    """The folder `assets` or `configs`: inside the package in an installed wheel, beside it in a checkout."""
    packaged = _PACKAGE / "_data" / kind
    return packaged if packaged.is_dir() else _PACKAGE.parent / kind
