"""Reader of ZJU-MoCap in EasyMocap's layout.

intri.yml, extri.yml         OpenCV FileStorage: K_01 (3, 3), dist_01 (k1 k2 p1 p2 k3); Rot_01 (3, 3) or R_01
                             (axis-angle), T_01, world to camera, metres; OpenCV axes and pixel centres
videos/01.mp4                or images/01/000000.jpg
masks/01/000000.png          or mask_cihp, mask, ...: see `MASK_FOLDERS`; 0 is background, all else the person
smplx/000000.json            or smpl: Rh, Th, poses, shapes (and expression), for driving and joint errors
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from wim_fast.errors import UserError
from wim_fast.recordings.calibration.opencv import easymocap_cameras, easymocap_names
from wim_fast.recordings.film import MaskedFilm
from wim_fast.recordings.image_files import PICTURES, numbered_files
from wim_fast.recordings.masks import body_parts
from wim_fast.recordings.pictures import Pictures
from wim_fast.recordings.recording import FilmedCamera, GroundTruth, Origin, Recording
from wim_fast.recordings.smpl import (
    body_truth,
    find_body_model,
    read_parameters,
    say_once,
    where_body_model_goes,
)
from wim_fast.recordings.sources import MASK_FOLDERS


def is_easymocap(path: Path) -> bool:
    """Of EasyMocap's calibration, pictures may lie as they like: then it is a folder like others (see `folder`)."""
    return (path / "intri.yml").is_file() and any((path / name).is_dir() for name in ("images", "videos"))


def read_easymocap(path: Path) -> Recording:
    """A folder, in metres."""
    masks = _mask_folder(path)
    films = {name: film for name in easymocap_names(path) if (film := _film(path, masks, name))}
    if not films:
        raise UserError(
            path, "there are no pictures", "put videos/01.mp4, ... or images/01/000000.jpg, ... there"
        )
    cameras: dict[int, FilmedCamera] = {}
    for calibrated in easymocap_cameras(path, list(films)):
        camera = _number(path, calibrated.name)
        if camera in cameras:
            problem = f"two cameras have the number {camera}"
            raise UserError(path / "intri.yml", problem, "rename one of them")
        cameras[camera] = FilmedCamera(camera, calibrated.name, calibrated, films[calibrated.name])
    frames = tuple(sorted({frame for film in films.values() for frame in film.masks.frames}))
    origin = Origin("easymocap", path, f"masks in {masks}, of a body or its parts")
    truth = partial(_truth, path, frames)
    return Recording(path, tuple(cameras[i] for i in sorted(cameras)), frames, origin, truth)


def _number(path: Path, name: str) -> int:
    numbers = re.findall(r"\d+", name)
    if not numbers:
        problem = f"camera {name} has no number"
        raise UserError(path / "intri.yml", problem, "name cameras by numbers, as in K_01")
    return int(numbers[-1])


def _film(path: Path, mask_folder: Path, name: str) -> MaskedFilm | None:
    """Of a calibrated camera, if it is here."""
    files = numbered_files(path / "images" / name, PICTURES)
    video = path / "videos" / f"{name}.mp4"
    masks = numbered_files(mask_folder / name, (".png", ".jpg"))
    if not files and not video.is_file() and not masks:
        return None
    if not masks:
        raise UserError(
            mask_folder / name, f"there are no masks for camera {name}", "add them, or remove its pictures"
        )
    if not files and not video.is_file():
        raise UserError(
            video, f"there are no pictures for camera {name}", f"add the video, or images/{name}/"
        )
    return MaskedFilm(Pictures(files or video), Pictures(masks), body_parts)


def _mask_folder(path: Path) -> Path:
    """The folder that holds a folder of masks for each camera; UserError if there is none."""
    found = next((path / name for name in MASK_FOLDERS if (path / name).is_dir()), None)
    if found is None:
        remedy = f"segment the images and put the masks there: {MASK_FOLDERS[0]}/<camera>/000000.png, 0 is background"
        raise UserError(path / MASK_FOLDERS[0], "there are no masks", remedy)
    return found


def _truth(path: Path, frame_ids: Sequence[int]) -> GroundTruth | None:
    kind = next((k for k in ("smplx", "smpl") if (path / k).is_dir()), None)
    if kind is None:
        return None
    model = find_body_model(path, kind)
    if model is None:
        problem = f"there is no {kind.upper()} model: poses cannot be driven and joints not be measured"
        say_once(f"{path}: {problem}; {where_body_model_goes(path, kind)}")
        return None
    files = numbered_files(path / kind, (".json",))
    sources = [files.get(frame, path / kind / f"{frame:06d}.json") for frame in frame_ids]
    return body_truth(model, kind, [read_parameters(file) for file in sources], sources)
