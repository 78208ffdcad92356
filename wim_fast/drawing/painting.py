"""Polygons and lines seen by a camera, painted from far to near with PIL: pictures in perspective without a browser.

matplotlib would not do: its 3D axes know no calibrated camera, and its anti-aliased polygons leave seams between
neighbours. trimesh draws only through OpenGL and a window. Here faces, lines and dots are sorted together by depth.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from wim_fast.recordings.cameras import Cameras, project

SUPERSAMPLING = 2
AMBIENT = 0.55  # brightness of a face seen edge-on
NEAR = 1e-3  # world units: what is nearer to the camera's plane is not drawn

_BOX_CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
_BOX_FACES = np.array(
    [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
)  # counter-clockwise from outside


class Painting:
    """A picture in the making. Everything is in world units and is drawn by `finish`, what is farther first."""

    def __init__(self, camera: Cameras, background: tuple[int, int, int] = (255, 255, 255)) -> None:
        self.view = camera
        self.camera = camera.resized(camera.width * SUPERSAMPLING, camera.height * SUPERSAMPLING)
        self.size = camera.width, camera.height
        self.background = background
        self._shapes: list[
            tuple[np.ndarray, np.ndarray, np.ndarray, float]
        ] = []  # pixels, depth, RGBA, width

    def polygons(
        self, corners: np.ndarray, colors: np.ndarray, opacity: float = 1.0, shaded: bool = True
    ) -> None:
        """Faces (N, K, 3), counter-clockwise from outside, in colours (N, 3) uint8; those facing away are left out."""
        if not len(corners):
            return
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        towards = self.camera.centers[0] - corners.mean(1)
        facing = (normal * towards).sum(1) / np.linalg.norm(towards, axis=1)
        shade = AMBIENT + (1 - AMBIENT) * facing if shaded else np.ones(len(facing))
        rgb = np.asarray(colors, float) * shade[:, None]
        self._add(corners[facing > 0], rgb[facing > 0], opacity, 0.0)

    def boxes(self, centers: np.ndarray, sides: np.ndarray, colors: np.ndarray, opacity: float = 1.0) -> None:
        """Boxes (N, 3) with these sides (3,) along the axes."""
        corners = centers[:, None] + _BOX_CORNERS * sides  # (N, 8, 3)
        faces = corners[:, _BOX_FACES].reshape(-1, 4, 3)
        self.polygons(faces, np.repeat(colors, len(_BOX_FACES), axis=0), opacity)

    def lines(self, ends: np.ndarray, colors: np.ndarray, width: float) -> None:
        """Segments (N, 2, 3) in colours (N, 3) or (3,), `width` pixels of the finished picture."""
        rgb = np.broadcast_to(np.asarray(colors, float), (len(ends), 3))
        self._add(ends, rgb, 1.0, width)

    def dots(self, points: np.ndarray, colors: np.ndarray, radius: float) -> None:
        """Points (N, 3), `radius` pixels."""
        rgb = np.broadcast_to(np.asarray(colors, float), (len(points), 3))
        self._add(np.asarray(points)[:, None], rgb, 1.0, 2 * radius)

    def finish(self) -> np.ndarray:
        """(H, W, 3) uint8."""
        size = self.size[0] * SUPERSAMPLING, self.size[1] * SUPERSAMPLING
        canvas = Image.new("RGB", size, self.background)
        draw = ImageDraw.Draw(canvas, "RGBA")
        order = sorted(
            (-z, which, k)
            for which, (_, depth, _, _) in enumerate(self._shapes)
            for k, z in enumerate(depth.tolist())
        )
        for _, which, k in order:
            pixels, _, rgba, width = self._shapes[which]
            corners = [tuple(p) for p in pixels[k].tolist()]
            color = tuple(rgba[k].tolist())
            if len(corners) == 1:
                (x, y), r = corners[0], 0.5 * width * SUPERSAMPLING
                draw.ellipse([x - r, y - r, x + r, y + r], fill=color)
            elif len(corners) == 2:
                draw.line(corners, fill=color, width=max(1, round(width * SUPERSAMPLING)))
            else:
                draw.polygon(corners, fill=color)
        return np.asarray(canvas.reduce(SUPERSAMPLING))

    def _add(self, points: np.ndarray, rgb: np.ndarray, opacity: float, width: float) -> None:
        pixels, depth = project(self.camera, points)
        pixels, depth = pixels[0], depth[0]
        visible = (depth > NEAR).all(1) & (np.abs(pixels) < 1e5).all((1, 2))
        rgba = np.concatenate([rgb, np.full((len(rgb), 1), 255 * opacity)], axis=1)
        self._shapes.append(
            (pixels[visible], depth[visible].mean(1), rgba.round().astype(np.uint8)[visible], width)
        )
