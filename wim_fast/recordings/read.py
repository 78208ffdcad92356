"""A recording in any layout that is known: the one way in, for `train --scene`, `import` and Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wim_fast.errors import UserError
from wim_fast.files import check_no_loop
from wim_fast.recordings.formats.cache_pickle import is_cache_pickle, read_cache_pickle
from wim_fast.recordings.formats.easymocap import is_easymocap, read_easymocap
from wim_fast.recordings.formats.folder import is_folder, read_folder
from wim_fast.recordings.formats.neural_body import is_neural_body, read_neural_body
from wim_fast.recordings.formats.raw import is_raw, read_raw
from wim_fast.recordings.formats.rgbd_dog import is_rgbd_dog, read_rgbd_dog
from wim_fast.recordings.recording import Recording
from wim_fast.recordings.selection import ids_left


@dataclass(frozen=True)
class Layout:
    """A way in which recordings lie on disk, with cameras and masks of its own."""

    holds: str  # what its folder is known by
    is_there: Callable[[Path], bool]
    read: Callable[[Path], Recording]


EASYMOCAP = Layout("intri.yml and extri.yml", is_easymocap, read_easymocap)
LAYOUTS = (
    Layout("frame_00000_cam_000.png and cam_000.json", is_raw, read_raw),
    Layout("cache.pickle", is_cache_pickle, read_cache_pickle),
    Layout("annots.npy", is_neural_body, read_neural_body),
    EASYMOCAP,
    Layout("sony/camera00/", is_rgbd_dog, read_rgbd_dog),
)


def read_recording(
    path: str | Path,
    *,
    calibration: Path | None = None,
    format: str = "auto",
    masks: str | None = None,
    empty: Path | None = None,
    without: Sequence[int] = (),
) -> Recording:
    """The recording in a folder; no picture is decoded but to see whether it has alpha.

    The first of `LAYOUTS` whose files lie there says what it is; else it is a person's own folder, for which the
    arguments are: see `read_folder`. Of EasyMocap's layout they can be given too; it is read as such a folder then.

    Raises UserError (where, what is wrong, what to do).
    """
    path = Path(path)
    check_no_loop(path)
    if not path.is_dir():
        remedy = "give the folder that holds the videos, or the folders of pictures"
        raise UserError(path, "is not a folder" if path.exists() else "does not exist", remedy)
    chosen = {"--cameras": calibration, "--masks": masks, "--empty": empty}
    flags = [flag for flag, value in chosen.items() if value is not None]
    flags += ["--format"] if format != "auto" else []
    try:
        layout = next((known for known in LAYOUTS if known.is_there(path)), None)
        if layout is EASYMOCAP and flags:
            layout = None
        if layout is None:
            _check_film(path)
            return read_folder(
                path, calibration=calibration, format=format, masks=masks, empty=empty, without=without
            )
        if flags:
            problem = (
                f"{flags[0]} makes no sense: this layout ({layout.holds}) has cameras and masks of its own"
            )
            raise UserError(path, problem, f"leave out {', '.join(flags)}")
        recording = layout.read(path)
        return recording.select(ids_left(path, recording.camera_ids, without))
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "check the folder") from None


def _check_film(path: Path) -> None:
    if is_folder(path):
        return
    holds = "; ".join(known.holds for known in LAYOUTS)
    raise UserError(
        path,
        "there are no images or videos in a known layout",
        f"put a video or a folder of pictures for each camera there; or a folder holds one of: {holds} (docs/data.md)",
    )
