"""What is drawn on images: joints and bones, labels, a marked pixel, all in the parts' colours.

Images are uint8, (H, W, 3). Pixels (x, y) are continuous coordinates, pixel centres at +0.5, as cameras
project. Line widths and text sizes follow the size of the picture. What lies at NaN is not drawn.

PIL draws here, enlarged and then reduced, rather than matplotlib: marks stand on the image's own pixels, widths and
plates are in pixels, and labels are pushed apart by the sizes that they will have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw

from wim_fast.drawing.text import font, text_width

SUPERSAMPLING = 4

Color = Sequence[int] | np.ndarray

# 40 colours, each as far as possible (CIEDE2000) from those before it and from black, grey and white.
_PALETTE = """
e6194b 3cb44b 4363d8 f58231 911eb4 42d4f4 ffadff 665c00 f5d600 007a70
993d00 99adf5 00f5cc ff9999 ff0ac2 a3995c 007014 997aad 008fc2 8ff500
8f4766 ffcca3 d6e0a3 ad705c 52ad99 ad7000 ff2900 a35cff eba30a cc708f
665285 668500 99b800 1f8f5c 00668f 52b8ff 993d3d 3df585 4729ff 8fcc99
"""


def part_palette(count: int) -> np.ndarray:
    """Colours of parts 0..count-1, (count, 3) uint8. A part keeps its colour whatever `count`; 40 differ."""
    colors = np.array([list(bytes.fromhex(code)) for code in _PALETTE.split()], np.uint8)
    return colors[np.arange(count) % len(colors)]


def draw_joints(
    image: np.ndarray,
    joints: np.ndarray,
    centers: np.ndarray | None = None,
    edges: np.ndarray | None = None,
    colors: np.ndarray | None = None,
    ringed: np.ndarray | None = None,
) -> np.ndarray:
    """The structure on an image: bones from part centres to joints, part centres as dots, joints as rings.

    Args:
        image: (H, W, 3) uint8, left as it is.
        joints: (J, 2) pixels.
        centers: (P, 2) pixels of the part centres.
        edges: (J, 2) the parts that each joint connects; needs `centers`.
        colors: (P, 3) uint8; the palette by default.
        ringed: (J,) bool, joints that get a ring; all by default.

    Returns:
        (H, W, 3) uint8.
    """
    joints = np.asarray(joints, float).reshape(-1, 2)
    unit = _unit(image)

    def paint(canvas: _Canvas) -> None:
        if centers is not None:
            color = part_palette(len(centers)) if colors is None else colors
            bones = [] if edges is None else [(joints[k], p) for k, e in enumerate(edges) for p in e]
            for joint, part in bones:
                canvas.line(joint, centers[part], (255, 255, 255), 3.4 * unit)
            for joint, part in bones:
                canvas.line(joint, centers[part], color[part], 1.8 * unit)
            for part, center in enumerate(centers):
                canvas.disc(center, 1.9 * unit, color[part], outline=(255, 255, 255), width=0.6 * unit)
        for joint in joints if ringed is None else joints[ringed]:
            canvas.disc(joint, 2.5 * unit, (255, 255, 255), outline=(20, 20, 20), width=1.0 * unit)

    return _painted(image, paint)


def draw_labels(
    image: np.ndarray, pixels: np.ndarray, labels: Sequence[str], colors: np.ndarray | None = None
) -> np.ndarray:
    """Short labels on coloured plates beside what they name, tied to it; crowded ones are pushed apart.

    Args:
        image: (H, W, 3) uint8; make it large (`enlarge`) for text that can be read.
        pixels: (N, 2) what the labels name.
        colors: (N, 3) uint8; the palette by default.
    """
    pixels = np.asarray(pixels, float).reshape(-1, 2)
    colors = part_palette(len(labels)) if colors is None else colors
    visible = np.flatnonzero(np.isfinite(pixels).all(axis=1)).tolist()
    size = max(10.0, 0.030 * min(image.shape[:2]))
    half = np.array([[0.5 * text_width(labels[k], size) + 0.35 * size, 0.7 * size] for k in visible])
    half = half.reshape(-1, 2)
    spots = _spread(pixels[visible], half, image.shape[1], image.shape[0])

    def paint(canvas: _Canvas) -> None:
        for k, spot in zip(visible, spots, strict=True):
            canvas.line(pixels[k], spot, (255, 255, 255), 0.16 * size)
            canvas.line(pixels[k], spot, colors[k], 0.08 * size)
            canvas.disc(pixels[k], 0.16 * size, colors[k], outline=(255, 255, 255), width=0.06 * size)
        for k, spot, plate in zip(visible, spots, half, strict=True):
            canvas.tag(spot, labels[k], size, colors[k], 0.9 * plate)

    return _painted(image, paint)


def marked_pixel(image: np.ndarray, x: float, y: float) -> np.ndarray:
    """A cross at the shares x, y of width and height."""
    canvas = Image.fromarray(image).convert("RGB")
    draw, (width, height) = ImageDraw.Draw(canvas), canvas.size
    at_x, at_y = x * width, y * height
    for color, thick in (((255, 255, 255), 3), ((220, 0, 0), 1)):
        draw.line([at_x, 0, at_x, height], fill=color, width=thick)
        draw.line([0, at_y, width, at_y], fill=color, width=thick)
    return np.asarray(canvas)


class _Canvas:
    """A transparent layer, drawn enlarged and reduced once at the end: smooth edges."""

    def __init__(self, width: int, height: int) -> None:
        self._layer = Image.new("RGBA", (width * SUPERSAMPLING, height * SUPERSAMPLING))
        self._draw = ImageDraw.Draw(self._layer)

    def line(self, start: np.ndarray, end: np.ndarray, color: Color, width: float) -> None:
        if np.isfinite(start).all() and np.isfinite(end).all():
            thick = max(1, round(width * SUPERSAMPLING))
            self._draw.line([self._scaled(start), self._scaled(end)], fill=_rgb(color), width=thick)

    def disc(
        self,
        center: np.ndarray,
        radius: float,
        color: Color,
        outline: Sequence[int] | None = None,
        width: float = 0.0,
    ) -> None:
        if np.isfinite(center).all():
            for r, fill in ((radius + width, outline), (radius, color)):
                if fill is not None:
                    x, y = self._scaled(center)
                    r = max(r * SUPERSAMPLING, 1.0)
                    box = (math.ceil(x - r), math.ceil(y - r), math.floor(x + r), math.floor(y + r))
                    self._draw.ellipse(box, fill=_rgb(fill))

    def text(self, center: np.ndarray, text: str, size: float, color: Color) -> None:
        scaled = font(size * SUPERSAMPLING)
        self._draw.text(self._scaled(center), text, fill=_rgb(color), font=scaled, anchor="mm")

    def tag(self, center: np.ndarray, text: str, size: float, color: Color, half: np.ndarray) -> None:
        """Text on a rounded plate of the given colour and half sides, black or white, whichever shows."""
        x, y = self._scaled(center)
        for margin, fill in ((0.08 * size, (255, 255, 255)), (0.0, _rgb(color))):
            w, h = (half + margin) * SUPERSAMPLING
            self._draw.rounded_rectangle([x - w, y - h, x + w, y + h], radius=0.6 * h, fill=fill)
        bright = np.asarray(color, float) @ (0.299, 0.587, 0.114) > 140.0
        self.text(center, text, size, (0, 0, 0) if bright else (255, 255, 255))

    def over(self, image: np.ndarray) -> np.ndarray:
        layer = self._layer.reduce(SUPERSAMPLING)
        return np.asarray(Image.alpha_composite(Image.fromarray(image).convert("RGBA"), layer).convert("RGB"))

    @staticmethod
    def _scaled(pixel: np.ndarray) -> tuple[float, float]:
        """Far off the picture drawing would overflow; what is there cannot be seen anyway."""
        x, y = np.clip(np.asarray(pixel, float), -1e4, 1e4) * SUPERSAMPLING - 0.5
        return float(x), float(y)


def _painted(image: np.ndarray, paint: Callable[[_Canvas], None]) -> np.ndarray:
    canvas = _Canvas(image.shape[1], image.shape[0])
    paint(canvas)
    return canvas.over(image)


def _unit(image: np.ndarray) -> float:
    """Half a pixel at 128 x 128; thinner than the picture grows, so that large ones stay clear."""
    return 0.5 * (min(image.shape[:2]) / 128.0) ** 0.8


def _rgb(color: Color) -> tuple[int, int, int]:
    return int(color[0]), int(color[1]), int(color[2])


def _spread(pixels: np.ndarray, half: np.ndarray, width: int, height: int, rounds: int = 200) -> np.ndarray:
    """Label centres near their pixels (N, 2); boxes of half sides (N, 2) overlap little and stay inside."""
    if not len(pixels):
        return pixels
    turn = np.arange(len(pixels))
    away = pixels - pixels.mean(axis=0) + 1e-3 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    away = away / np.linalg.norm(away, axis=1, keepdims=True)
    home = pixels + away * (half + 0.5 * half[:, 1:])  # beside its pixel, outwards
    room = np.array([width, height]) - half
    spots = np.clip(home, half, room)
    for _ in range(rounds):
        gap = spots[:, None] - spots[None]
        overlap = half[:, None] + half[None] - np.abs(gap)  # (N, N, 2), both positive where boxes meet
        meets = (overlap > 0).all(axis=-1) & ~np.eye(len(spots), dtype=bool)
        side = overlap.argmin(axis=-1)  # push along the axis that frees them soonest
        order = np.sign(turn[:, None] - turn[None])
        push = np.zeros_like(spots)
        for axis in (0, 1):
            direction = np.where(gap[..., axis] == 0, order, np.sign(gap[..., axis]))
            push[:, axis] = (direction * overlap[..., axis] * (meets & (side == axis))).sum(axis=1)
        if not meets.any():
            break
        spots = np.clip(spots + 0.5 * push, half, room)
    return spots
