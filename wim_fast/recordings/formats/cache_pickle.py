"""Reader of `cache.pickle`, the preprocessed form of the paper's scenes.

A pickled dict of arrays with one row per image, camera-major: `frame_id`, `camera_id` (N,); `img` and `mask`, object
arrays (N,) of blosc-packed uint8 arrays (3, H, W) RGB and (H, W); `camera_intrinsic` (N, 3, 3) in pixels with centres
at +0.5, `camera_rotation` (N, 3, 3) and `camera_translation` (N, 3, 1), world to camera with OpenCV axes;
sometimes `smpl_pose`, (N, J, 4, 4) transforms or (N, J, 3) positions of joints in the world. Masks are 0, 1
and 2 for unreliable pixels, or 0 and 255.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wim_fast.errors import UserError
from wim_fast.recordings.calibration.calibrated import CalibratedCamera
from wim_fast.recordings.calibration.conventions import intrinsics, rigid
from wim_fast.recordings.film import FilmFrame
from wim_fast.recordings.masks import Alpha, three_valued
from wim_fast.recordings.numpy_pickle import load_pickle_file, unpack_blosc
from wim_fast.recordings.recording import FilmedCamera, GroundTruth, Origin, Recording

NAME = "cache.pickle"
MOST_MISSING = 20  # cameras times frames per image that is there
_SHAPES = {"camera_intrinsic": (3, 3), "camera_rotation": (3, 3), "camera_translation": (3, 1)}


@dataclass(frozen=True)
class _Cache:
    """What a file holds, images still packed."""

    file: Path
    rows: dict[tuple[int, int], int]  # (camera, frame) to row
    camera_ids: list[int]
    frame_ids: list[int]
    arrays: dict[str, NDArray[Any]]
    ground_truth: GroundTruth | None


@dataclass(frozen=True)
class _PackedFilm:
    """The rows of one camera."""

    cache: _Cache
    rows: dict[int, int]  # by frame
    in_pieces = True
    kind = "images of a cache"

    @property
    def frames(self) -> Sequence[int]:
        return sorted(self.rows)

    @property
    def where(self) -> Path:
        return self.cache.file

    def file(self, frame: int) -> Path:
        return self.cache.file

    def size(self, frame: int) -> tuple[int, int]:
        image, _ = _image(self.cache, self.rows[frame])
        return image.shape[0], image.shape[1]

    def stream(self, frames: Sequence[int]) -> Iterator[FilmFrame]:
        for frame in sorted(frames):
            image, labels = _image(self.cache, self.rows[frame])
            yield FilmFrame(frame, image, *three_valued(labels))

    def silhouettes(self, frames: Sequence[int]) -> Iterator[tuple[int, Alpha]]:
        return ((taken.frame, taken.alpha) for taken in self.stream(frames))


def is_cache_pickle(path: Path) -> bool:
    return (path / NAME).is_file()


def read_cache_pickle(path: Path) -> Recording:
    """A folder with a cache; its units are those of the file."""
    cache = _open(path / NAME)
    rows: dict[int, dict[int, int]] = {camera: {} for camera in cache.camera_ids}
    for (camera, frame), row in cache.rows.items():
        rows[camera][frame] = row
    cameras = tuple(
        FilmedCamera(camera, f"camera {camera}", _camera(cache, camera), _PackedFilm(cache, rows[camera]))
        for camera in cache.camera_ids
    )
    origin = Origin("cache.pickle", cache.file, "those of the cache")
    return Recording(path, cameras, tuple(cache.frame_ids), origin, lambda: cache.ground_truth)


_AGAIN = "write the cache anew, or copy it again"


def _open(file: Path) -> _Cache:
    content = load_pickle_file(file)
    if type(content) is not dict:
        raise UserError(file, f"holds a {type(content).__name__}", "it must be a dict of arrays")
    arrays: dict[str, NDArray[Any]] = {}
    for key in ("frame_id", "camera_id", "img", "mask", *_SHAPES):
        if key not in content:
            raise UserError(
                file, f"{key} is missing", f"a cache holds frame_id, camera_id, img, mask, {_KEYS}"
            )
        arrays[key] = _as_array(file, key, content[key])
    count = len(arrays["frame_id"])
    if not count:
        raise UserError(file, "holds no images", _AGAIN)
    for key, array in arrays.items():
        shape = (count, *_SHAPES.get(key, ()))
        if array.shape != shape and not (key in ("img", "mask") and array.shape[:1] == (count,)):
            found = " x ".join(map(str, array.shape))
            raise UserError(file, f"{key} is {found}", f"it must be {' x '.join(map(str, shape))}")
    for key in ("frame_id", "camera_id"):
        if arrays[key].dtype.kind not in "iu" or arrays[key].min() < 0:
            raise UserError(file, f"{key} holds no frame or camera numbers", _AGAIN)
    for key in _SHAPES:
        if arrays[key].dtype.kind not in "fiu" or not np.isfinite(arrays[key].astype(float)).all():
            raise UserError(file, f"{key} is not finite everywhere", _AGAIN)
    keys = list(zip(arrays["camera_id"].tolist(), arrays["frame_id"].tolist(), strict=True))
    rows = {key: row for row, key in enumerate(keys)}
    if len(rows) < count:
        raise UserError(file, "holds an image of the same camera and frame twice", _AGAIN)
    camera_ids, frame_ids = sorted({v for v, _ in keys}), sorted({f for _, f in keys})
    if len(camera_ids) * len(frame_ids) > MOST_MISSING * count:
        few = (
            f"holds {count} images of {len(camera_ids)} cameras and {len(frame_ids)} frames: most are missing"
        )
        raise UserError(file, few, _AGAIN)
    poses = content.get("smpl_pose")
    truth = None if poses is None else _truth(file, _as_array(file, "smpl_pose", poses), keys, frame_ids)
    return _Cache(file, rows, camera_ids, frame_ids, arrays, truth)


_KEYS = ", ".join(_SHAPES)


def _as_array(file: Path, key: str, value: Any) -> NDArray[Any]:
    if isinstance(value, list):
        objects = np.empty(len(value), object)
        objects[:] = value
        value = objects if any(isinstance(v, (bytes, np.ndarray)) for v in value) else np.array(value)
    if not isinstance(value, np.ndarray) or value.ndim < 1:
        raise UserError(file, f"{key} is a {type(value).__name__}", "it must be an array")
    return value


def _truth(file: Path, poses: NDArray[Any], keys: list[tuple[int, int]], frame_ids: list[int]) -> GroundTruth:
    """Joints from smpl_pose, from the first row of every frame."""
    joints = poses[..., :3, 3] if poses.ndim == 4 and poses.shape[2:] == (4, 4) else poses
    good = joints.ndim == 3 and joints.shape[2] == 3 and len(joints) == len(keys) and joints.dtype.kind == "f"
    if not good or not np.isfinite(joints).all():
        shape = " x ".join(map(str, poses.shape))
        raise UserError(
            file,
            f"smpl_pose is {poses.dtype} of {shape}",
            "it must hold finite joints N x J x 3, or transforms N x J x 4 x 4",
        )
    row_of = {frame: row for row, (_, frame) in reversed(list(enumerate(keys)))}
    return GroundTruth(joints[[row_of[f] for f in frame_ids]].astype(np.float32), None)


def _camera(cache: _Cache, camera: int) -> CalibratedCamera:
    """One camera, the same in all frames."""
    rows = [row for (v, _), row in cache.rows.items() if v == camera]
    for key in _SHAPES:
        values = cache.arrays[key][rows].astype(float)
        if not np.allclose(values, values[0], rtol=1e-4, atol=1e-4):
            raise UserError(
                cache.file,
                f"{key} of camera {camera} changes from frame to frame",
                "cameras must stand still; images that were cropped one by one cannot be used:"
                " give the original recording",
            )
    K, R, t = (cache.arrays[key][rows[0]].astype(float) for key in _SHAPES)
    name = f"camera {camera}"
    T = rigid(cache.file, f"camera_rotation of {name}", R, t)
    return CalibratedCamera(name, intrinsics(cache.file, f"camera_intrinsic of {name}", K), T)


def _image(cache: _Cache, row: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Colours (h, w, 3) and mask (h, w) of a row."""
    image, labels = _unpacked(cache, "img", row), _unpacked(cache, "mask", row)
    if image.ndim != 3 or image.shape[0] != 3 or image.dtype != np.uint8 or not image.size:
        shape = " x ".join(map(str, image.shape))
        raise UserError(
            f"{cache.file}: img[{row}]", f"is {image.dtype} of {shape}", "it must be uint8 3 x H x W"
        )
    if labels.shape != image.shape[1:] or labels.dtype.kind not in "uib":
        shape = " x ".join(map(str, labels.shape))
        raise UserError(
            f"{cache.file}: mask[{row}]", f"is {labels.dtype} of {shape}", "it must be uint8 H x W like img"
        )
    return image.transpose(1, 2, 0), labels.astype(np.uint8)


def _unpacked(cache: _Cache, key: str, row: int) -> NDArray[Any]:
    item = cache.arrays[key][row]
    if isinstance(item, np.ndarray):
        return item
    if isinstance(item, (bytes, bytearray)):
        return unpack_blosc(bytes(item), f"{cache.file}: {key}[{row}]")
    raise UserError(
        f"{cache.file}: {key}[{row}]", f"is a {type(item).__name__}", "it must be packed by blosc"
    )
