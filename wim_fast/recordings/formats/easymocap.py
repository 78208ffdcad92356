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
from pathlib import Path

from wim_fast.errors import UserError
from wim_fast.recordings.calibration.opencv_yaml import read_matrices
from wim_fast.recordings.filmed import (
    Filmed,
    FilmedCamera,
    opencv_distortion,
    opencv_intrinsics,
    person_mask,
    rigid,
)
from wim_fast.recordings.image_files import numbered_files
from wim_fast.recordings.smpl import (
    body_truth,
    find_body_model,
    read_parameters,
    rotation_matrices,
    say_once,
    where_body_model_goes,
)
from wim_fast.scene.footage import FootageBuilder, NewFootage
from wim_fast.scene.scene import GroundTruth, Scene, SceneContents

MASK_FOLDERS = ("masks", "mask", "mask_cihp", "mask-schp", "mask-schp-parsing")  # the first that is there


def is_easymocap(path: Path) -> bool:
    return (path / "intri.yml").is_file()


def scan_easymocap(path: Path) -> SceneContents:
    """Cameras, frames and ground truth (metres); no image is read."""
    filmed = _open(path)
    return filmed.contents(_truth(path, filmed.frame_ids))


def read_easymocap(
    path: Path,
    *,
    cameras: Sequence[int] | None,
    frames: slice | Sequence[int],
    size: int | None,
    allow_missing: bool,
    new_footage: NewFootage = FootageBuilder,
) -> Scene:
    """Read a folder; the scene is in metres (coordinate_scale 1). See `load_scene` for the parameters."""
    filmed = _open(path)
    truth = _truth(path, filmed.frame_ids)
    return filmed.read(
        truth, cameras=cameras, frames=frames, size=size, allow_missing=allow_missing, new_footage=new_footage
    )


def mask_folder(path: Path) -> Path:
    """The folder that holds a folder of masks for each camera; UserError if there is none."""
    found = next((path / name for name in MASK_FOLDERS if (path / name).is_dir()), None)
    if found is None:
        remedy = f"segment the images and put the masks there: {MASK_FOLDERS[0]}/<camera>/000000.png, 0 is background"
        raise UserError(path / MASK_FOLDERS[0], "there are no masks", remedy)
    return found


def _open(path: Path) -> Filmed:
    intri, extri = path / "intri.yml", path / "extri.yml"
    if not extri.is_file():
        raise UserError(extri, "is missing", "it belongs beside intri.yml and says where the cameras are")
    inner, outer = read_matrices(intri), read_matrices(extri)
    names = sorted(key[2:] for key in inner if key.startswith("K_"))
    masks = mask_folder(path)
    cameras: dict[int, FilmedCamera] = {}
    for name in names:
        numbers = re.findall(r"\d+", name)
        if not numbers:
            raise UserError(intri, f"camera {name} has no number", "name cameras by numbers, as in K_01")
        files = numbered_files(path / "images" / name, (".jpg", ".jpeg", ".png"))
        video = path / "videos" / f"{name}.mp4"
        of_camera = numbered_files(masks / name, (".png", ".jpg"))
        if not files and not video.is_file() and not of_camera:
            continue  # calibrated, but not here
        if not of_camera:
            raise UserError(
                masks / name, f"there are no masks for camera {name}", "add them, or remove its pictures"
            )
        if not files and not video.is_file():
            raise UserError(
                video, f"there are no pictures for camera {name}", f"add the video, or images/{name}/"
            )
        camera_id = int(numbers[-1])
        if camera_id in cameras:
            raise UserError(intri, f"two cameras have the number {camera_id}", "rename one of them")
        rotation = outer.get(f"Rot_{name}")
        if rotation is None and f"R_{name}" in outer and outer[f"R_{name}"].size == 3:
            rotation = rotation_matrices(outer[f"R_{name}"].reshape(3))
        translation = outer.get(f"T_{name}")
        if rotation is None or translation is None:
            raise UserError(
                extri, f"Rot_{name} or T_{name} is missing", "calibrate this camera, or leave it out"
            )
        distortion = inner.get(f"dist_{name}", inner.get(f"D_{name}"))
        cameras[camera_id] = FilmedCamera(
            camera_id,
            opencv_intrinsics(intri, f"K_{name}", inner[f"K_{name}"]),
            rigid(extri, f"Rot_{name}, T_{name}", rotation, translation),
            opencv_distortion(intri, f"dist_{name}", distortion),
            files or video,
            of_camera,
        )
    if not cameras:
        raise UserError(
            path, "there are no pictures", "put videos/01.mp4, ... or images/01/000000.jpg, ... there"
        )
    return Filmed(path, [cameras[i] for i in sorted(cameras)], person_mask)


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
