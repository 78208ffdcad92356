"""What the page draws anew when something that it depends on has changed."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import viser


class Overtaken(Exception):
    """Something else is wanted before this is done."""


class Pace(Enum):
    """How something keeps up with frames that are played."""

    EACH = 1  # it is drawn in each of them
    IN_TURN = 2  # where there is time for it before the next one
    AFTER = 3  # when playing stops


@dataclass
class Drawable:
    """Something shown. It is drawn again when its key, all that it depends on, has changed.

    `draw` computes first and sends then; what it computes may raise `Overtaken`.
    """

    name: str
    key: Callable[[], Hashable]
    draw: Callable[[], None]
    pace: Pace = Pace.EACH
    drawn: Hashable = None
    at: float = 0.0  # when it was drawn last, s


def set_value(handle: Any, value: Any) -> None:
    """Put a value into an input of the page, as if a person had chosen it."""
    handle.value = value


def show(server: viser.ViserServer, name: str, add: Callable[..., Any], /, **properties: Any) -> Any:
    """A node of the scene with these properties: a new one, made by `add`, or the old one. Only what differs is sent."""
    node = server.scene.get_handle_by_name(name)
    with server.atomic():
        if node is None:
            return add(name, **properties)
        for key, value in properties.items():
            setattr(node, key, value)
    return node
