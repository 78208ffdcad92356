"""The bending test: does the surface hold together when a joint turns farther than it was ever seen to?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from wim_fast.compositing import over_uint8
from wim_fast.drawing.images import write_png
from wim_fast.drawing.sheets import grid
from wim_fast.model.motion import Motion
from wim_fast.posing.skeleton import Node, PartsFound
from wim_fast.runs.camera_path import clearest_views, resized_to, zoomed
from wim_fast.runs.joints import STILL, list_joints
from wim_fast.runs.repose import repose_frame
from wim_fast.runs.topology import SPECK, inside_of
from wim_fast.runs.trained_model import TrainedModel

BEYOND = 1.2  # times the range seen
PICTURED, PICTURE_SIZE = 3, 256  # bends, the worst ones; pixels


@dataclass(frozen=True)
class Bend:
    """One joint turned from a frame trained on.

    Attributes:
        what: a part or a body.
        node: turns about its joint to the one it hangs `on`; both -1 for the frame as it is.
        degrees: by so much, about the main axis it was seen to turn about.
        motion: the pose (T = 1).
        pieces: connected pieces of the object's inside, without specks.
        volume: of the object, as a share of that in the frame.
    """

    what: Node
    node: int
    on: int
    degrees: float
    motion: Motion
    pieces: int
    volume: float


def bend_joints(
    run: TrainedModel,
    beyond: float = BEYOND,
    frame: int | None = None,
    parts_found: PartsFound = None,
) -> Iterator[Bend]:
    """The frame as it is, then each joint that was seen to turn at `beyond` times both ends of what was seen.

    Args:
        frame: position among the frames trained on; None: the middle one.
        parts_found: the joints between so many bodies, or between the parts (`skeleton.PartsFound`).
    """
    frame = len(run.frame_ids) // 2 if frame is None else frame
    joints = list_joints(run, frame, parts_found)
    start = run.motion.at([frame])
    volumes = _volumes(run, start)
    whole = sum(volumes)

    def bent(node: int, on: int, degrees: float, motion: Motion) -> Bend:
        volumes, what = _volumes(run, motion), joints.skeleton.what
        pieces = sum(v > SPECK * whole for v in volumes)
        return Bend(what, node, on, degrees, motion, pieces, sum(volumes) / whole)

    yield bent(-1, -1, 0.0, start)
    for node, turn in joints.motions.items():
        for degrees in (beyond * turn.least, beyond * turn.greatest):
            if turn.span >= STILL and degrees:
                turned = {node: [degrees * x for x in turn.axis]}
                motion = repose_frame(run, turned, frame, parts_found=parts_found)
                yield bent(node, int(joints.tree.parent[node]), degrees, motion)


def _volumes(run: TrainedModel, motion: Motion) -> list[int]:
    """Grid points inside each connected piece of a pose, at the cell of the finest level of the hash grid."""
    pieces, count = ndimage.label(inside_of(run, motion))
    return np.bincount(pieces.ravel(), minlength=count + 1)[1:].tolist()


def bend_picture(run: TrainedModel, bends: Sequence[Bend]) -> np.ndarray:
    """The unbent frame and the worst bends, each from the two sides that show its parts best, (H, W, 3) uint8."""
    still, *bent = bends
    shown = [still, *sorted(bent, key=lambda b: (-b.pieces, b.volume))[:PICTURED]]
    cameras = resized_to(run.recorded_cameras(run.camera_ids), PICTURE_SIZE)
    rows = []
    for bend in shown:
        views = zoomed(cameras, run.extremes(bend.motion))
        sides = clearest_views(cameras, bend.motion.translation[0])
        posed = run.posed(bend.motion, 0)
        rows.append([over_uint8(run.image(posed, views, k).rgba(), run.background) for k in sides])
    return grid(rows, row_captions=[described(bend) for bend in shown])


def described(bend: Bend) -> str:
    """For a caption."""
    what = (
        "as it is" if bend.node < 0 else f"{bend.what} {bend.node} on {bend.on}, {bend.degrees:+.0f} degrees"
    )
    return f"{what}: {bend.pieces} pieces, volume {bend.volume:.0%}"


def write_bends(
    run: TrainedModel, output: Path | None = None, parts_found: PartsFound = "auto"
) -> tuple[list[Bend], Path]:
    """Bends every joint, and shows the worst.

    Args:
        output: a PNG file; None: RUN/bends.png.
        parts_found: see `bend_joints`.
    """
    bends = list(bend_joints(run, parts_found=parts_found))
    return bends, write_png(output or run.path / "bends.png", bend_picture(run, bends))
