"""A skinned body for tests: an ellipsoid in two halves, sharing no code with the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def sphere(rings: int = 8, around: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) of a unit sphere and faces (F, 3), counter-clockwise from outside."""
    height = np.pi * np.arange(1, rings) / rings
    turn = 2 * np.pi * np.arange(around) / around
    x, y = np.outer(np.sin(height), np.cos(turn)), np.outer(np.sin(height), np.sin(turn))
    ring = np.stack([x, y, np.repeat(np.cos(height)[:, None], around, axis=1)], axis=-1).reshape(-1, 3)
    vertices = np.concatenate([[[0, 0, 1.0]], ring, [[0, 0, -1.0]]])
    last = len(vertices) - 1
    faces = []
    for k in range(around):
        after = (k + 1) % around
        faces.append((0, 1 + k, 1 + after))
        faces.append((last, last - around + after, last - around + k))
        for r in range(rings - 2):
            a, b, c, d = (1 + r * around + k, 1 + r * around + after, 1 + (r + 1) * around + k,
                          1 + (r + 1) * around + after)  # fmt: skip
            faces += [(a, c, d), (a, d, b)]
    return vertices, np.array(faces)


def tiny_template(half: tuple[float, float, float] = (0.3, 0.4, 0.5)) -> dict[str, np.ndarray]:
    """Arrays of a template: an ellipsoid whose upper half a joint in its middle turns."""
    vertices, faces = sphere()
    upper = 0.5 + 0.5 * np.tanh(3 * vertices[:, 2])
    return {
        "vertices": vertices * half,
        "faces": faces,
        "weights": np.stack([1 - upper, upper], axis=1),
        "joints": np.array([[0, 0, -half[2]], [0, 0, 0.0]]),
        "parents": np.array([-1, 0]),
    }


def write_template(file: Path, **changes: np.ndarray) -> Path:
    """The same in a file; None leaves an array out."""
    arrays = {**tiny_template(), **changes}
    np.savez(file, **{name: array for name, array in arrays.items() if array is not None})
    return file
