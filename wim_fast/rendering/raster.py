"""A small rasteriser: which triangle is seen through each pixel, and where on it. On one core, with a depth buffer."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from wim_fast.ops.compiled import kernel


class Fragments(NamedTuple):
    """What a picture shows, H x W."""

    face: np.ndarray  # (H, W) int32, -1 where nothing is
    share: np.ndarray  # (H, W, 3) float32 of the corners of that face in the point seen; sum 1

    def interpolated(self, faces: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Values (V, C) of vertices in the N pixels that show something, row by row: (N, C)."""
        seen = self.face >= 0
        return np.einsum("nk,nkc->nc", self.share[seen], values[faces[self.face[seen]]])


def rasterize(pixels: np.ndarray, depth: np.ndarray, faces: np.ndarray, height: int, width: int) -> Fragments:
    """Draws triangles, both sides of each.

    Args:
        pixels: (V, 2) where vertices are, x and y, pixel centres at + 0.5.
        depth: (V,) positive; the nearest counts. Triangles with a vertex behind the camera are left out.
        faces: (F, 3).
    """
    face = np.full((height, width), -1, np.int32)
    share = np.zeros((height, width, 3), np.float32)
    nearness = np.zeros((height, width))
    _draw(pixels.astype(np.float64), depth.astype(np.float64), faces.astype(np.int32), face, share, nearness)
    return Fragments(face, share)


@partial(kernel, parallel=False)
def _draw(pixels, depth, faces, face, share, nearness):  # type: ignore[no-untyped-def]
    """Nearness 1 / depth is linear in the picture (perspective), and so are the shares over depth."""
    height, width = face.shape
    for f in range(len(faces)):
        a, b, c = faces[f]
        za, zb, zc = depth[a], depth[b], depth[c]
        if min(za, zb, zc) <= 0.0:
            continue
        ax, ay = pixels[a]
        bx, by = pixels[b]
        cx, cy = pixels[c]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0.0:
            continue
        left = max(0, int(np.ceil(min(ax, bx, cx) - 0.5)))
        right = min(width - 1, int(np.floor(max(ax, bx, cx) - 0.5)))
        top = max(0, int(np.ceil(min(ay, by, cy) - 0.5)))
        bottom = min(height - 1, int(np.floor(max(ay, by, cy) - 0.5)))
        for row in range(top, bottom + 1):
            y = row + 0.5
            for column in range(left, right + 1):
                x = column + 0.5
                u = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area
                v = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area
                w = 1.0 - u - v
                if u < 0.0 or v < 0.0 or w < 0.0:
                    continue
                near = u / za + v / zb + w / zc
                if near > nearness[row, column]:
                    nearness[row, column] = near
                    face[row, column] = f
                    share[row, column, 0] = u / za / near
                    share[row, column, 1] = v / zb / near
                    share[row, column, 2] = w / zc / near
