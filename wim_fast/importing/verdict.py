"""The last word on an imported scene: what to mend before it is trained on, and what to know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wim_fast.importing.checks.check import CalibrationReport
from wim_fast.importing.placement import BY_CAMERAS, LEVEL, Placement
from wim_fast.importing.survey import Sighting
from wim_fast.recordings.recording import Framing
from wim_fast.scene.load import doubts_of_views
from wim_fast.scene.scene import Scene

RARELY = 0.9  # share of the frames: a camera whose masks hold the object more seldom is told of
OFTEN_CUT = 0.25  # share of the frames: a camera that cuts the object off more often is told of


@dataclass(frozen=True)
class Verdict:
    """Sentences, the worst first.

    Attributes:
        mend: what spoils what is learned; without any the scene is good to train.
        notes: what is worth knowing.
    """

    mend: tuple[str, ...]
    notes: tuple[str, ...]

    def line(self, command: str) -> str:
        """The last line that is said; `command` trains."""
        if not self.mend:
            return f"good to train: {command}"
        return f"mend first: {self.mend[0]}; to train all the same: {command}"


def judge(
    framing: Framing,
    sightings: Sequence[Sighting],
    placement: Placement,
    scene: Scene,
    calibration: CalibrationReport,
) -> Verdict:
    """By all that import has looked at: the calibration against the masks, the masks, how cameras stand."""
    mend: list[str] = []
    if not placement.meets:
        mend.append("the masks do not meet in space, so the cameras do not fit the pictures")
    if not calibration.ok:
        mend += calibration.verdicts
    if placement.left_out is not None:
        mend.append(
            f"the masks only meet without camera {placement.left_out}: its calibration does not fit the others"
        )
    mend += _of_masks(framing, sightings)
    mend += doubts_of_views(scene)
    notes = _of_edges(framing, sightings)
    if placement.tilt > LEVEL and placement.up_from == BY_CAMERAS:
        notes.append(
            f"the cameras are tilted by {placement.tilt:.0f} degrees: what is up may be wrong, give --up"
        )
    return Verdict(tuple(mend), tuple(notes))


def _of_masks(framing: Framing, sightings: Sequence[Sighting]) -> list[str]:
    """Cameras that do not see the object, and masks that background subtraction made badly."""
    found = []
    for camera, sighting in zip(framing.recording.cameras, sightings, strict=True):
        name = f"camera {camera.id} ({camera.name})"
        warnings = sighting.background["warnings"] if sighting.background else []
        if sighting.seen == 0:
            found.append(f"{name} never sees the object; leave it out with --without {camera.id}")
        elif warnings:
            found += [f"{name}: {text}" for text in warnings]
        elif sighting.seen < RARELY * sighting.frames:
            empty = sighting.frames - sighting.seen
            found.append(f"the masks of {name} are empty in {empty} of {sighting.frames} frames")
    return found


def _of_edges(framing: Framing, sightings: Sequence[Sighting]) -> list[str]:
    return [
        f"camera {camera.id} cuts the object off in {sighting.cut_off} of {sighting.frames} frames"
        for camera, sighting in zip(framing.recording.cameras, sightings, strict=True)
        if sighting.cut_off > OFTEN_CUT * sighting.frames
    ]
