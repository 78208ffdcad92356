"""Reader of the raw layout of the WIM robots.

A folder of `frame_%05d_cam_%03d.png` (RGBA, straight alpha; the mask is alpha > 127) and `cam_%03d.json` with
`camera_data.intrinsics.{fx, fy, cx, cy}` and `camera_data.camera_view_matrix`, a 4x4 world-to-camera matrix
in the row-vector convention with OpenGL axes (x right, y up, z backward); optionally `gt.npz` with `joints`
(T, J, 3) and `points` (T, M, 3) in file units, for all frames of the folder in sorted order. An image may have a mask
beside it, `mask_%05d_cam_%03d.png` (grey): 0 is background and 255 the object, whatever alpha says, 128 unreliable.
"""

from __future__ import annotations

import io
import json
import os
import re
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wim_fast.errors import UserError
from wim_fast.recordings.cameras import Cameras
from wim_fast.recordings.image_files import read_labels
from wim_fast.recordings.raw_writer import UNRELIABLE_GREY
from wim_fast.recordings.resize import area_weights, resize_rgba
from wim_fast.scene.footage import BACKGROUND, OBJECT, UNRELIABLE, Footage, FootageBuilder, NewFootage
from wim_fast.scene.scene import (
    GroundTruth,
    Scene,
    SceneContents,
    camera_positions,
    check_missing,
    resized_shape,
    select_frames,
)

_IMAGE = re.compile(r"frame_(\d{5,})_cam_(\d{3,})\.png")
_CAMERA = re.compile(r"cam_(\d{3,})\.json")


def is_wim_raw(path: Path) -> bool:
    return any(_IMAGE.fullmatch(name) or _CAMERA.fullmatch(name) for name in os.listdir(path))


def read_wim_raw(
    path: Path,
    *,
    cameras: Sequence[int] | None,
    frames: slice | Sequence[int],
    size: int | None,
    allow_missing: bool,
    new_footage: NewFootage = FootageBuilder,
) -> Scene:
    """Read a folder; the scene is in file units (coordinate_scale 1). See `load_scene` for the parameters."""
    images, camera_files = _listing(path)
    all_frames = sorted({frame for frame, _ in images})
    camera_ids = sorted(camera_files)
    if cameras is not None:
        camera_ids = [camera_ids[i] for i in camera_positions(path, camera_ids, cameras)]
    frame_ids = select_frames(path, all_frames, frames)
    wanted = {(v, f): images.get((f, v)) for v in camera_ids for f in frame_ids}
    missing = [key for key, file in wanted.items() if file is None]
    if missing:
        v, f = missing[0]
        check_missing(path / f"frame_{f:05d}_cam_{v:03d}.png", missing, len(wanted), allow_missing)
    read = [_read_camera(camera_files[v]) for v in camera_ids]
    files = {(camera_ids.index(v), frame_ids.index(f)): file for (v, f), file in wanted.items() if file}
    footage, native = _read_images(files, (len(camera_ids), len(frame_ids)), size, new_footage)
    rig = Cameras(
        tuple(camera_ids),
        np.stack([K for K, _ in read]),
        np.stack([T for _, T in read]),
        width=native[1],
        height=native[0],
    ).resized(footage.size[1], footage.size[0])
    truth = _read_ground_truth(path / "gt.npz", len(all_frames))
    truth = truth and truth.select(frames)
    return Scene(path.resolve().name, path, rig, tuple(frame_ids), footage, 1.0, truth)


def scan_wim_raw(path: Path) -> SceneContents:
    """Cameras, frames and ground truth (file units) of a folder; no image is read."""
    images, camera_files = _listing(path)
    frames = sorted({frame for frame, _ in images})
    truth = _read_ground_truth(path / "gt.npz", len(frames))
    return SceneContents(path, tuple(sorted(camera_files)), tuple(frames), truth)


def _listing(path: Path) -> tuple[dict[tuple[int, int], Path], dict[int, Path]]:
    """Images by (frame, camera) and camera files by camera; every camera has both."""
    images: dict[tuple[int, int], Path] = {}
    camera_files: dict[int, Path] = {}
    try:
        names = sorted(os.listdir(path))
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "check the folder") from None
    for name in names:
        if match := _IMAGE.fullmatch(name):
            images[int(match[1]), int(match[2])] = path / name
        elif match := _CAMERA.fullmatch(name):
            camera_files[int(match[1])] = path / name
    if not images:
        raise UserError(path, "there are no images", "a scene holds images named frame_00000_cam_000.png")
    with_images = {camera for _, camera in images}
    if only := sorted(with_images - set(camera_files)):
        raise UserError(
            path / f"cam_{only[0]:03d}.json",
            f"camera {only[0]} has images but no calibration",
            "add this file, or remove the camera's images",
        )
    if only := sorted(set(camera_files) - with_images):
        raise UserError(
            camera_files[only[0]],
            f"camera {only[0]} has no images",
            "add its images, or remove this file",
        )
    return images, camera_files


def _read_camera(file: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Intrinsics (3, 3) and OpenCV T_camera_world (4, 4) of a camera file."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(file, f"is no JSON ({error})", "write the camera file anew") from None
    try:
        camera = data["camera_data"]
        fx, fy, cx, cy = (float(camera["intrinsics"][key]) for key in ("fx", "fy", "cx", "cy"))
        M = np.array(camera["camera_view_matrix"], dtype=np.float64)
    except KeyError as error:
        needs = "camera_data needs intrinsics {fx, fy, cx, cy} and camera_view_matrix"
        raise UserError(file, f"{error.args[0]} is missing", needs) from None
    except (TypeError, ValueError, OverflowError) as error:
        needs = "camera_data.intrinsics holds four numbers and camera_view_matrix 4 rows of 4 numbers"
        raise UserError(file, f"is no camera ({error})", needs) from None
    if M.shape != (4, 4):
        shape = " x ".join(map(str, M.shape)) or "a number"
        raise UserError(file, f"camera_view_matrix is {shape}", "it must be 4 rows of 4 numbers")
    if not np.isfinite([fx, fy, cx, cy]).all():
        raise UserError(file, "the intrinsics are not finite", "calibrate this camera again or leave it out")
    if not np.isfinite(M).all():
        raise UserError(
            file, "camera_view_matrix is not finite", "calibrate this camera again or leave it out"
        )
    if fx <= 0 or fy <= 0:
        raise UserError(file, f"focal lengths are {fx:g}, {fy:g}", "they must be positive, in pixels")
    if not np.allclose(M[:, 3], [0, 0, 0, 1], atol=1e-6):
        raise UserError(
            file,
            "the last column of camera_view_matrix is not 0, 0, 0, 1",
            "the matrix is in the row-vector convention, the translation in its last row: transpose it",
        )
    R = M[:3, :3]
    if not np.allclose(R @ R.T, np.eye(3), atol=1e-3) or np.linalg.det(R) < 0:
        raise UserError(
            file,
            "the upper left 3 x 3 of camera_view_matrix is no rotation",
            "it must be orthonormal with determinant 1, without scale or mirroring",
        )
    T = (M * [1, -1, -1, 1]).T  # OpenGL camera axes to OpenCV's, row vectors to column vectors
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]]), T


def _read_images(
    files: dict[tuple[int, int], Path], counts: tuple[int, int], size: int | None, new_footage: NewFootage
) -> tuple[Footage, tuple[int, int]]:
    """The images by the positions of camera and frame, of which there are `counts`; (height, width) in the files."""
    first = next(iter(files.values()))
    native = _read_png(first).shape[:2]
    shape = resized_shape((native[0], native[1]), size)
    rows, columns = area_weights(native[0], shape[0]), area_weights(native[1], shape[1])
    builder = new_footage((*counts, *shape))

    def read(position: tuple[int, int]) -> None:
        file = files[position]
        rgba = _read_png(file)
        if rgba.shape[:2] != native:
            raise UserError(
                file,
                f"is {rgba.shape[1]} x {rgba.shape[0]} pixels, {first.name} is {native[1]} x {native[0]}",
                "all images of a scene must have the same size",
            )
        rgba, unsure = _with_mask(file, rgba)
        if shape != native:
            rgba = resize_rgba(rgba, rows, columns)
            unsure = None if unsure is None else rows @ unsure.astype(np.float32) @ columns.T > 1e-4
        mask = np.where(rgba[..., 3] > 127, np.uint8(OBJECT), np.uint8(BACKGROUND))
        if unsure is not None:
            mask[unsure] = UNRELIABLE
        builder.put(*position, rgba, mask)

    with ThreadPoolExecutor(max_workers=min(16, os.cpu_count() or 1)) as pool:
        for _ in pool.map(read, files):
            pass
    return builder.finish(), (native[0], native[1])


def _with_mask(file: Path, rgba: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """An image (H, W, 4) as the mask beside its file has it, and which pixels (H, W) that calls unreliable."""
    mask_file = file.with_name(file.name.replace("frame_", "mask_", 1))
    if not mask_file.exists():
        return rgba, None
    greys = read_labels(mask_file)
    if greys.shape != rgba.shape[:2]:
        problem = f"the mask is {greys.shape[1]} x {greys.shape[0]} pixels, its image {rgba.shape[1]} x {rgba.shape[0]}"
        raise UserError(mask_file, problem, "give both one size, or delete the mask")
    if not np.isin(greys, (0, UNRELIABLE_GREY, 255)).all():
        raise UserError(
            mask_file, "the mask has other values than 0, 128 and 255", "write it as grey, without smoothing"
        )
    alpha = rgba[..., 3].copy()
    alpha[(greys == 0) & (alpha > 127)] = 0
    alpha[(greys == 255) & (alpha <= 127)] = 255
    return np.concatenate([rgba[..., :3], alpha[..., None]], axis=-1), greys == UNRELIABLE_GREY


def _read_png(file: Path) -> NDArray[np.uint8]:
    """RGBA (H, W, 4)."""
    from PIL import Image

    try:
        content = file.read_bytes()
        if b"IEND" not in content:  # pillow forgives a missing end
            raise EOFError("truncated")
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if image.mode in ("RGBA", "LA") or "transparency" in image.info:
                return np.asarray(image.convert("RGBA"))
            mode = image.mode
    except (OSError, SyntaxError, ValueError, EOFError, zlib.error, Image.DecompressionBombError) as error:
        detail = "truncated" if "truncated" in str(error) else "no PNG that can be read"
        raise UserError(
            file, f"the image is {detail}", "write it again, or delete it and give --allow-missing"
        ) from None
    raise UserError(
        file, f"the image has no alpha channel (mode {mode})", "write RGBA images, alpha 255 on the object"
    )


def _read_ground_truth(file: Path, num_frames: int) -> GroundTruth | None:
    """gt.npz in file units, if it is there; T must be the number of frames of the folder."""
    if not file.exists():
        return None
    arrays: dict[str, Any] = {}
    try:
        with np.load(file, allow_pickle=False) as data:
            arrays = {key: data[key] for key in ("joints", "points") if key in data}
    except Exception as error:  # numpy, zipfile and zlib raise many kinds on a malformed archive
        raise UserError(
            file, f"cannot be read ({error})", "write it with numpy.savez, or delete it"
        ) from None
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
