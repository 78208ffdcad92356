"""The one font of what PIL writes on pictures: the one that it brings."""

from __future__ import annotations

from PIL import ImageFont

LEAST = 1.0  # pixels: the smallest text that there is


def font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Of `size` pixels."""
    return ImageFont.load_default(max(size, LEAST))


def text_width(text: str, size: float) -> float:
    """Pixels."""
    return float(font(size).getlength(text))
