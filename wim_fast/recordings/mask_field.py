"""A mask from uncertain evidence: neighbours are of one kind unless there is an edge between them.

The mean field of a Potts model on the grid of eight neighbours, with the contrast term of Boykov and Jolly (2001); of an
edge that the background has too, only what goes beyond it counts (Sun et al., Background Cut, 2006). A graph cut would
find the minimum itself; the mean field says with it how sure each pixel is, and needs no library of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]  # (H, W)

TOGETHER = 1.2  # log odds that a neighbour of the same colour adds
ROUNDS = 10
_STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))


def mean_field(evidence: Field, image: Field, background: Field) -> Field:
    """What each pixel is, from -1 (background) to 1 (object).

    Args:
        evidence: (H, W) log odds of each pixel by itself that it is of the object.
        image, background: (H, W, 3) colours.
    """
    weights = _weights(image, background)
    belief = np.tanh(evidence / 2)
    for _ in range(ROUNDS):
        odds = evidence.copy()
        for step, weight in zip(_STEPS, weights, strict=True):
            here, there = _pair(step)
            odds[here] += weight * belief[there]
            odds[there] += weight * belief[here]
        belief = np.tanh(odds / 2)
    return belief


def distance(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """(H, W) between colours (H, W, 3)."""
    off = a - b
    return np.sqrt(np.einsum("...c,...c->...", off, off))


def _weights(image: Field, background: Field) -> list[Field]:
    """For each step to a neighbour, how much the two pixels hold together."""
    contrasts = []
    for step in _STEPS:
        here, there = _pair(step)
        ours, theirs = (distance(p[there], p[here]) for p in (image, background))
        contrasts.append(np.maximum(ours - theirs, 0) ** 2)
    usual = 2 * float(np.mean([contrast.mean() for contrast in contrasts])) + 9.0
    return [
        (TOGETHER / np.hypot(*step) * np.exp(-contrast / usual)).astype(np.float32)
        for step, contrast in zip(_STEPS, contrasts, strict=True)
    ]


def _pair(step: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The pixels that have a neighbour at this step (down, right), and these neighbours."""
    down, right = step
    rows = slice(None, -down or None), slice(down, None)
    columns = (
        slice(max(0, -right), -right if right > 0 else None),
        slice(max(0, right), right if right < 0 else None),
    )
    return (rows[0], columns[0]), (rows[1], columns[1])
