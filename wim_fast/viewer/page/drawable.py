"""What the page draws anew when something that it depends on has changed."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any


@dataclass
class Drawable:
    """Something shown. It is drawn again when its key, all that it depends on, has changed."""

    name: str
    key: Callable[[], Hashable]
    draw: Callable[[], None]
    drawn: Hashable = None


def set_value(handle: Any, value: Any) -> None:
    """Put a value into an input of the page, as if a person had chosen it."""
    handle.value = value
