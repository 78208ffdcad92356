"""Whether parts turn over: a limb that looks alike from two sides may be learned the wrong way round in some frames.

Training does not find back from that, for half way round all pictures would be worse. But where such frames begin and
end the limb turns by more than anything else does, within a few frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from wim_fast.recordings.cameras import Array

USUAL = 0.9  # quantile of the changes of all parts in all frames
TIMES = 5.0  # the usual change and more is abrupt
LEAST = 0.15  # rad / frame^2: less is not, however still the others are
APART = 3  # frames: turns that are closer together are one


class AbruptTurns(NamedTuple):
    """Which parts turn abruptly, and when, whichever of them; both ascending, and empty if none does."""

    parts: tuple[int, ...]
    frames: tuple[int, ...]  # ids


def abrupt_turns(rotation: Array, frame_ids: Sequence[int]) -> AbruptTurns:
    """Where rotations change their speed by `TIMES` what is usual, or more.

    The change between three successive frames is ``|R_t+1 - 2 R_t + R_t-1| / sqrt 2`` (Frobenius norm): about the change
    of the angular velocity, rad / frame^2. The largest of neighbouring frames is the one named. (Of our own.)

    Args:
        rotation: (T, P, 3, 3) of the parts, part to world, in the frames `frame_ids` (T,).
    """
    frames, parts = rotation.shape[:2]
    if frames < 3:
        return AbruptTurns((), ())
    change = np.linalg.norm(np.diff(rotation, n=2, axis=0).reshape(frames - 2, parts, 9), axis=2) / np.sqrt(2)
    abrupt = change > max(TIMES * float(np.quantile(change, USUAL)), LEAST)
    when = np.flatnonzero(abrupt.any(axis=1))
    turns = np.split(when, np.flatnonzero(np.diff(when) > APART) + 1) if len(when) else []
    middles = [turn[change[turn].max(axis=1).argmax()] + 1 for turn in turns]
    return AbruptTurns(
        tuple(np.flatnonzero(abrupt.any(axis=0)).tolist()), tuple(int(frame_ids[t]) for t in middles)
    )
