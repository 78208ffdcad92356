"""Packages of the extra [export], imported when they are needed."""

from __future__ import annotations

import importlib
from types import ModuleType

from wim_fast.errors import UserError


def extra(module: str, package: str | None = None) -> ModuleType:
    """A module of the extra; UserError if it is not installed. `package`: what it is called on PyPI, if otherwise."""
    try:
        return importlib.import_module(module)
    except ImportError:
        name = package or module.replace("_", "-")
        raise UserError(
            "export", f"{name} is not installed", 'in the checkout: pip install -e ".[export]"'
        ) from None
