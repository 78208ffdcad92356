"""Pictures and videos inside the page: pictures made smaller, videos as they are while there is room."""

from __future__ import annotations

import base64
import io
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from wim_fast.report.markup import Markup, element

WIDEST = 1600  # pixels of a picture
QUALITY = 88  # of WebP
MEGABYTES = 30  # of all pictures and videos together, as they are in the page

# what Pillow raises for files that are no pictures, or are made to fill the memory
NO_PICTURE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning)


@dataclass
class Media:
    """Embeds files until the room is used up; `notes` says what was made smaller or left out."""

    room: int = MEGABYTES * 10**6
    pictures: int = 0
    smaller: int = 0
    notes: list[str] = field(default_factory=list)

    def picture(self, path: Path, alt: str, caption: str) -> Markup:
        """A figure; nothing if it cannot be read or has no room."""
        try:
            content, was_wider = as_webp(path)
        except NO_PICTURE:
            self.notes.append(f"{caption}: {path.name} is no picture that can be read.")
            return Markup()
        if not self._takes(content, f"{caption}: {path.name}"):
            return Markup()
        self.pictures += 1
        self.smaller += was_wider
        picture = element("img", src=data_uri("image/webp", content), alt=alt)
        return element("figure", picture, element("figcaption", caption))

    def video(self, path: Path, label: str, caption: str) -> Markup:
        """A player; nothing if it is no MP4 or has no room."""
        content = path.read_bytes()
        if content[4:8] != b"ftyp":
            self.notes.append(f"{caption}: {path.name} is no MP4.")
            return Markup()
        if not self._takes(content, f"{caption}: {path.name}"):
            return Markup()
        player = element(
            "video",
            src=data_uri("video/mp4", content),
            controls="",
            loop="",
            muted="",
            preload="auto",
            aria_label=label,
        )
        return element("figure", player, element("figcaption", caption))

    def _takes(self, content: bytes, what: str) -> bool:
        size = len(content) * 4 // 3
        if size > self.room:
            self.notes.append(
                f"{what} ({size / 1e6:.0f} MB) is left out: pictures and videos fill {MEGABYTES} MB."
            )
            return False
        self.room -= size
        return True

    def summary(self) -> list[str]:
        """What was done to the files."""
        made = []
        if self.pictures:
            shrunk = f", {self.smaller} of them reduced to {WIDEST} pixels" if self.smaller else ""
            made.append(
                f"Pictures are WebP of quality {QUALITY}{shrunk}; the originals are in the folders of the runs."
            )
        return [*made, *self.notes]


def as_webp(path: Path) -> tuple[bytes, bool]:
    """A picture at most `WIDEST` wide, and whether it was wider."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path) as opened:
            image = opened.convert("RGBA" if "A" in opened.getbands() else "RGB")
    was_wider = image.width > WIDEST
    image.thumbnail((WIDEST, 16 * WIDEST))
    image.save(buffer, "WEBP", quality=QUALITY)
    return buffer.getvalue(), was_wider


def data_uri(kind: str, content: bytes) -> str:
    """A file as an address."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
