"""What a panel knows of the page that it is on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from wim_fast.viewer.inspect.inspection import Inspection, Selection
from wim_fast.viewer.inspect.snapshot import Film, Snapshot

if TYPE_CHECKING:
    import viser


class Host(Protocol):
    """The page: what is looked at, what is chosen, and whom to tell of a change."""

    server: viser.ViserServer
    film: Film
    inspection: Inspection
    frame: Any  # the input with the frame that is shown
    play: Any  # the input that says whether frames are played

    @property
    def snapshot(self) -> Snapshot: ...

    @property
    def selection(self) -> Selection: ...

    @property
    def chosen_part(self) -> int | None:
        """The part that the pose panel turns."""

    def touch(self) -> None:
        """Say that something may have changed."""

    def listen(self, *handles: Any) -> None:
        """Redraw when one of these inputs changes."""
