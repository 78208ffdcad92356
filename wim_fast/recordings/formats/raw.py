"""Reader of the raw layout, which the WIM robots have and `import` writes (see `write`).

A folder of `frame_%05d_cam_%03d.png` (RGBA, straight alpha; the mask is alpha > 127) and `cam_%03d.json` (see
`calibration/raw_json`); optionally `gt.npz` with `joints` (T, J, 3) and `points` (T, M, 3) in file units, for all frames
of the folder in sorted order. An image may have a mask beside it, `mask_%05d_cam_%03d.png` (grey): 0 is background and
255 the object, whatever alpha says, 128 unreliable.
"""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path

import numpy as np

from wim_fast import strict_npz
from wim_fast.errors import UserError
from wim_fast.recordings.calibration.raw_json import raw_camera_files, read_raw_camera
from wim_fast.recordings.film import AlphaFilm
from wim_fast.recordings.pictures import Pictures
from wim_fast.recordings.recording import FilmedCamera, GroundTruth, Origin, Recording
from wim_fast.recordings.write import IMPORT_REPORT

Files = dict[int, dict[int, Path]]  # by camera and frame
Z_UP = (0.0, 0.0, 1.0)  # of an imported scene, which was placed so

_FILE = re.compile(r"(frame|mask)_(\d{5,})_cam_(\d{3,})\.png")


def is_raw(path: Path) -> bool:
    return bool(raw_camera_files(path))


def read_raw(path: Path) -> Recording:
    """A folder; its units are those of the files."""
    images, greys = _listing(path)
    camera_files = raw_camera_files(path)
    if not images:
        raise UserError(path, "there are no images", "a scene holds images named frame_00000_cam_000.png")
    if only := sorted(set(images) - set(camera_files)):
        raise UserError(
            path / f"cam_{only[0]:03d}.json",
            f"camera {only[0]} has images but no calibration",
            "add this file, or remove the camera's images",
        )
    if only := sorted(set(camera_files) - set(images)):
        raise UserError(
            camera_files[only[0]],
            f"camera {only[0]} has no images",
            "add its images, or remove this file",
        )
    cameras = tuple(
        FilmedCamera(
            camera,
            file.stem,
            read_raw_camera(file),
            AlphaFilm(
                Pictures(images[camera], path, f"frame_{{:05d}}_cam_{camera:03d}.png"),
                greys.get(camera, {}),
            ),
        )
        for camera, file in sorted(camera_files.items())
    )
    frames = tuple(sorted({frame for files in images.values() for frame in files}))
    imported = (path / IMPORT_REPORT).is_file()
    masks = "the alpha of the images, and the masks beside them"
    origin = Origin("raw", path, masks, exact_masks=not imported)
    up = Z_UP if imported else None
    return Recording(path, cameras, frames, origin, partial(_read_truth, path / "gt.npz", len(frames)), up)


def _listing(path: Path) -> tuple[Files, Files]:
    """Images, and masks beside them."""
    found: dict[str, Files] = {"frame": {}, "mask": {}}
    for name in sorted(os.listdir(path)):
        if match := _FILE.fullmatch(name):
            found[match[1]].setdefault(int(match[3]), {})[int(match[2])] = path / name
    return found["frame"], found["mask"]


def _read_truth(file: Path, num_frames: int) -> GroundTruth | None:
    """gt.npz in file units, if it is there; T must be the number of frames of the folder."""
    if not file.exists():
        return None
    arrays = strict_npz.read(file, ("joints", "points"), "write it with numpy.savez, or delete it")
    if not arrays:
        raise UserError(
            file, "holds neither joints nor points", "write joints (T, J, 3), points (T, M, 3) or both"
        )
    for key, array in arrays.items():
        if array.ndim != 3 or array.shape[2] != 3 or array.dtype.kind not in "fiu":
            shape = f"{array.dtype} of shape {array.shape}"
            raise UserError(file, f"{key} is {shape}", "it must hold numbers of shape (T, N, 3)")
        if len(array) != num_frames:
            raise UserError(
                file,
                f"{key} has {len(array)} frames, the folder has {num_frames}",
                "write one row per frame of the folder, in the order of the frame numbers",
            )
        if not np.isfinite(array).all():
            raise UserError(file, f"{key} is not finite everywhere", "correct it, or delete the file")
        arrays[key] = array.astype(np.float32)
    return GroundTruth(arrays.get("joints"), arrays.get("points"))
