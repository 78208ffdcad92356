"""Which cameras and frames of a recording: how they are named, and what may be missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from wim_fast.errors import UserError

Item = TypeVar("Item")


def evenly(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count` of the items, spread over all, the first and the last among them."""
    if len(items) <= count:
        return list(items)
    return [items[k] for k in np.linspace(0, len(items) - 1, count).round().astype(int)]


def camera_positions(where: str | Path, known: Sequence[int], wanted: Sequence[int]) -> list[int]:
    """Positions of camera ids among the known ones; UserError for an id that is not there."""
    missing = sorted(set(wanted) - set(known))
    if missing:
        raise UserError(
            where,
            f"there is no camera {', '.join(map(str, missing))}",
            f"choose from {', '.join(map(str, known))}",
        )
    if not wanted:
        raise UserError(where, "no camera was asked for", f"choose from {', '.join(map(str, known))}")
    if len(set(wanted)) != len(wanted):
        raise UserError(where, "a camera was asked for twice", "name each camera once")
    return [list(known).index(i) for i in wanted]


def frame_positions(where: str | Path, count: int, frames: slice | Sequence[int]) -> list[int]:
    """Positions among `count` frames, from 0; UserError if there are none."""
    if isinstance(frames, slice):
        chosen = list(range(count)[frames])
    else:
        chosen = [int(i) % count for i in frames if -count <= i < count]
    if not chosen:
        raise UserError(where, f"no frames are left of its {count}", "choose --frames within the recording")
    return chosen


def ids_left(where: str | Path, known: Sequence[int], without: Sequence[int]) -> list[int]:
    """The camera ids but those to leave out; UserError for one that is not there, or if none is left."""
    if strangers := sorted(set(without) - set(known)):
        problem = f"there is no camera {strangers[0]} to leave out"
        raise UserError(where, problem, f"there are {', '.join(map(str, known))}")
    left = [i for i in known if i not in without]
    if not left:
        raise UserError(where, "no camera is left", "leave out fewer with --without")
    return left


def parse_frames(text: str, count: int | None = None) -> slice:
    """`"0:60"`, `"0:60:6"`, `"60:"`, `":-10"` or one position `"7"` as a slice; UserError for others.

    Start and stop may be shares of the `count` frames of a recording, rounded down, if that is given: `"0:80%"`.
    """
    wrong = UserError(
        f"frames {text!r}",
        "is not a range of frames",
        "write start:stop or start:stop:step with a positive step, for example 0:60, 0:60:6 or 0:80%",
    )

    def number(part: str) -> int | None:
        part = part.strip()
        if part.endswith("%") and count is not None:
            percent = float(part[:-1])
            if not 0 <= percent <= 100:
                raise ValueError
            return int(percent * count / 100)
        return int(part) if part else None

    try:
        numbers = [number(part) for part in text.split(":")]
    except ValueError:
        raise wrong from None
    if len(numbers) == 1 and numbers[0] is not None and "%" not in text:
        start = numbers[0]
        return slice(start, None if start == -1 else start + 1)
    if len(numbers) not in (2, 3):
        raise wrong
    frames = slice(*numbers)
    if "%" in text.split(":")[-1] and len(numbers) == 3:
        raise wrong
    if frames.step is not None and frames.step <= 0:
        raise wrong
    return frames
