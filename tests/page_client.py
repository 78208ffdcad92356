"""A page of the viewer as its server sees it: viser's client without a browser, which sends messages and times answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Message = dict[str, Any]

# where it looks from, as a browser says first; before that the server takes it for no client
CAMERA = {
    "type": "ViewerCameraMessage", "wxyz": (1.0, 0.0, 0.0, 0.0), "position": (0.0, -3.0, 0.0), "fov": 0.8, "near": 0.01,
    "far": 100.0, "image_height": 600, "image_width": 800, "look_at": (0.0, 0.0, 0.0), "up_direction": (0.0, 0.0, 1.0),
}  # fmt: skip


class PageClient:
    """One page. All that the server sends is kept, with the time at which it came."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._news = threading.Condition()
        self.inputs: dict[str, str] = {}  # label -> identity
        self.listeners: list[Callable[[Message], None]] = []  # each hears of every message when it comes
        self.received: list[tuple[float, Message]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.send(CAMERA)

    def send(self, message: Message) -> None:
        import msgspec.msgpack

        self._connection.send(msgspec.msgpack.encode(message))

    def set(self, label: str, value: Any) -> None:
        """Put a value into the input with this label, as a person does."""
        self.wait_for(lambda _: label in self.inputs)
        self.send({"type": "GuiUpdateMessage", "uuid": self.inputs[label], "updates": {"value": value}})

    def wait_for(self, wanted: Callable[[Message], Any], after: float = 0.0, seconds: float = 60.0) -> float:
        """When the first message came, later than `after`, that is `wanted`: `time.monotonic()`."""
        end, seen = time.monotonic() + seconds, 0
        with self._news:
            while True:
                for when, message in self.received[seen:]:
                    if when > after and wanted(message):
                        return when
                seen = len(self.received)
                assert self._news.wait(end - time.monotonic()), "nothing like it came"

    def _read(self) -> None:
        for packet in self._connection:
            for message in unpacked(packet):
                label = message.get("props", {}).get("label") if message["type"].startswith("Gui") else None
                for hear in self.listeners:
                    hear(message)
                with self._news:
                    if label is not None:
                        self.inputs[label] = message["uuid"]
                    self.received.append((time.monotonic(), message))
                    self._news.notify_all()


def unpacked(packet: bytes) -> list[Message]:
    """The messages of a packet; large arrays stay placeholders."""
    import msgspec.msgpack
    import zstandard

    size = int.from_bytes(packet[8:16], "little")
    content = zstandard.ZstdDecompressor().decompress(packet[16 : 16 + size])
    return msgspec.msgpack.decode(content)["messages"]


def draws(name: str, what: str = "") -> Callable[[Message], bool]:
    """Messages that make this node of the scene or change, of what it is, `what` or anything."""

    def is_it(message: Message) -> bool:
        changed = message.get("props") or message.get("updates")
        return message.get("name") == name and changed is not None and (not what or what in changed)

    return is_it


@contextmanager
def page_client(port: int) -> Iterator[PageClient]:
    """A page that is open."""
    import viser
    from websockets.sync.client import connect
    from websockets.typing import Subprotocol

    protocol = Subprotocol(f"viser-v{viser.__version__}")
    with connect(f"ws://127.0.0.1:{port}", subprotocols=[protocol], max_size=None) as connection:
        yield PageClient(connection)
