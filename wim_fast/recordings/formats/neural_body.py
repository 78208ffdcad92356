"""Reader of ZJU-MoCap as Neural Body released it.

annots.npy                         a pickled dict: cams {K, D, R, T}, one entry per camera, T in millimetres;
                                   ims, one {ims: [path, ...]} per frame, in the order of the cameras
Camera_B1/000000.jpg               images; the number after B is the camera's
mask_cihp/Camera_B1/000000.png     body parts, 0 is background (or mask/, or masks/)
new_vertices/0.npy                 (or vertices/) SMPL mesh (6890, 3) in metres
new_params/0.npy                   (or params/) a pickled dict of Rh, Th, poses, shapes
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from wim_fast.errors import UserError
from wim_fast.recordings.calibration.calibrated import CalibratedCamera
from wim_fast.recordings.calibration.conventions import opencv_intrinsics, rigid
from wim_fast.recordings.film import MaskedFilm
from wim_fast.recordings.lenses import brown
from wim_fast.recordings.masks import body_parts
from wim_fast.recordings.numpy_pickle import load_npy
from wim_fast.recordings.pictures import Pictures
from wim_fast.recordings.recording import FilmedCamera, GroundTruth, Origin, Recording
from wim_fast.recordings.smpl import body_truth, find_body_model, say_once, where_body_model_goes

MASK_FOLDERS = ("masks", "mask_cihp", "mask")  # the first that is there
MAX_BYTES = 1 << 30  # of annots.npy
_CAMERA = re.compile(r"Camera[_ ]\(?B?(\d+)\)?")
_FRAME = re.compile(
    r"Camera_\(\d+\)_(\d+)_|^(\d+)\."
)  # CoreView_313_Camera_(1)_0001_2019-....jpg or 000000.jpg
_AGAIN = "copy annots.npy again: it is damaged or of another kind"


def is_neural_body(path: Path) -> bool:
    return (path / "annots.npy").is_file()


def read_neural_body(path: Path) -> Recording:
    """A folder, in metres."""
    file = path / "annots.npy"
    if file.stat().st_size > MAX_BYTES:
        raise UserError(file, "is larger than 1 GiB", _AGAIN)
    annots = load_npy(file)
    annots = annots.item() if annots.shape == () else annots
    cams = annots.get("cams") if isinstance(annots, dict) else None
    frames = annots.get("ims") if isinstance(annots, dict) else None
    if not isinstance(cams, dict) or not isinstance(frames, (list, np.ndarray)) or not len(frames):
        raise UserError(file, "holds no cams and ims", _AGAIN)
    folder = next((path / name for name in MASK_FOLDERS if (path / name).is_dir()), None)
    if folder is None:
        remedy = (
            "segment the images and put the masks there, beside mask_cihp of the release; 0 is background"
        )
        raise UserError(path / MASK_FOLDERS[0], "there are no masks", remedy)
    pictures: list[dict[int, Path]] = []
    masks: list[dict[int, Path]] = []
    ids: list[int] = []
    for frame in frames:
        names = frame.get("ims") if isinstance(frame, dict) else None
        if not isinstance(names, (list, np.ndarray)) or (pictures and len(names) != len(pictures)):
            raise UserError(file, "ims does not name one image per camera", _AGAIN)
        if not pictures:
            ids = [_number(_CAMERA, name, file) for name in names]
            pictures, masks = [{} for _ in names], [{} for _ in names]
        for v, name in enumerate(names):
            relative = _inside(name, file)
            number = _number(_FRAME, relative.name, file)
            mask = folder / relative.with_suffix(".png")
            if (path / relative).is_file():
                pictures[v][number] = path / relative
            if mask.is_file():
                masks[v][number] = mask
    cameras = [
        _camera(file, cams, v, ids[v], pictures[v], masks[v])
        for v in range(len(ids))
        if pictures[v] or masks[v]
    ]
    if not cameras or not any(masks):
        raise UserError(
            path, f"there are no images and masks of those that annots.npy names in {folder.name}", _FULL
        )
    if len({camera.id for camera in cameras}) < len(cameras):
        raise UserError(file, "names two cameras of the same number", _AGAIN)
    frames_with_masks = tuple(sorted({frame for files in masks for frame in files}))
    origin = Origin("neural_body", file, f"masks in {folder}, of a body or its parts")
    truth = partial(_truth, path, frames_with_masks)
    return Recording(
        path, tuple(sorted(cameras, key=lambda camera: camera.id)), frames_with_masks, origin, truth
    )


_FULL = "unpack the whole release of this person"


def _camera(
    file: Path,
    cams: dict[str, Any],
    v: int,
    camera_id: int,
    pictures: dict[int, Path],
    masks: dict[int, Path],
) -> FilmedCamera:
    values = {}
    for key, size in (("K", 9), ("R", 9), ("T", 3), ("D", None)):
        try:
            values[key] = np.asarray(cams[key][v], dtype=float)
            if size and values[key].size != size:
                raise ValueError
        except (KeyError, IndexError, TypeError, ValueError, OverflowError):
            raise UserError(file, f"cams.{key} of camera {camera_id} is missing or wrong", _AGAIN) from None
    what = f"of camera {camera_id}"
    calibrated = CalibratedCamera(
        f"camera {camera_id}",
        opencv_intrinsics(file, f"cams.K {what}", values["K"].reshape(3, 3)),
        rigid(file, f"cams.R, cams.T {what}", values["R"].reshape(3, 3), values["T"] / 1000),
        brown(file, f"cams.D {what}", values["D"]),
    )
    folder = next(iter((pictures or masks).values())).parent
    film = MaskedFilm(Pictures(pictures, folder), Pictures(masks, folder), body_parts)
    return FilmedCamera(camera_id, folder.name, calibrated, film)


def _inside(name: Any, file: Path) -> PurePosixPath:
    """A path of an image that stays in the folder."""
    relative = PurePosixPath(name.replace("\\", "/")) if isinstance(name, str) else PurePosixPath("/")
    if relative.is_absolute() or ".." in relative.parts or ":" in str(relative) or "\0" in str(relative):
        raise UserError(file, f"names an image outside of its folder ({str(name)[:80]!r})", _AGAIN)
    return relative


def _number(pattern: re.Pattern[str], name: Any, file: Path) -> int:
    match = pattern.search(name) if isinstance(name, str) else None
    if not match:
        raise UserError(file, f"names an image without camera or frame number ({str(name)[:80]!r})", _AGAIN)
    return int(next(group for group in match.groups() if group))


def _truth(path: Path, frame_ids: Sequence[int]) -> GroundTruth | None:
    """Joints by the SMPL model, where it is there; points are vertices of the release, or else the model's."""
    vertices = next((path / name for name in ("new_vertices", "vertices") if (path / name).is_dir()), None)
    parameters = next((path / name for name in ("new_params", "params") if (path / name).is_dir()), None)
    points = joints = None
    if vertices is not None:
        meshes = [_mesh(vertices / f"{frame}.npy") for frame in frame_ids]
        if len({len(mesh) for mesh in meshes}) > 1:
            raise UserError(vertices, "the meshes have different numbers of vertices", _FULL)
        points = np.stack(meshes)
    if parameters is not None:
        model = find_body_model(path, "smpl")
        if model is None:
            text = f"{path}: there is no SMPL model, joints cannot be measured; {where_body_model_goes(path, 'smpl')}"
            say_once(text)
        else:
            files = [parameters / f"{frame}.npy" for frame in frame_ids]
            body = body_truth(model, "smpl", [_parameters(file) for file in files], files)
            joints, points = body.joints, body.points if points is None else points
    return None if points is None and joints is None else GroundTruth(joints, points)


def _mesh(file: Path) -> Any:
    """The vertices (V, 3) of a frame."""
    mesh = load_npy(file)
    if mesh.ndim != 2 or mesh.shape[1] != 3 or mesh.dtype.kind != "f" or not np.isfinite(mesh).all():
        raise UserError(
            file, f"is {mesh.dtype} of {' x '.join(map(str, mesh.shape))}", "it must hold vertices V x 3"
        )
    return np.asarray(mesh, np.float32)


def _parameters(file: Path) -> dict[str, Any]:
    values = load_npy(file)
    found = values.item() if values.shape == () else values
    if not isinstance(found, dict):
        raise UserError(file, "does not hold a dict", "it must hold Rh, Th, poses and shapes")
    return found
