"""Cameras of a `transforms.json`, as nerfstudio and instant-ngp write it.

`transform_matrix` is camera to world with OpenGL axes (x right, y up, z backward); pixel centres are at +0.5.
Intrinsics are given once or in each frame: fl_x, fl_y, cx, cy, w, h, k1, k2, p1, p2, k3, or camera_angle_x. A fisheye,
of k1 to k4, is `camera_model: OPENCV_FISHEYE` to nerfstudio and `is_fisheye: true` to instant-ngp.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from wim_fast import strict_json
from wim_fast.errors import UserError
from wim_fast.recordings.calibration.calibrated import CalibratedCamera, read_calibration_json
from wim_fast.recordings.calibration.conventions import from_opengl_pose, pinhole
from wim_fast.recordings.lenses import Lens, brown, fisheye

_BROWN, _FISHEYE = ("k1", "k2", "p1", "p2", "k3"), ("k1", "k2", "k3", "k4")
NAMES = ("transforms.json", "transforms_train.json")
_LENS_MODELS = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "PERSPECTIVE")
_FISHEYE_MODELS = ("OPENCV_FISHEYE", "FISHEYE", "RADIAL_FISHEYE", "SIMPLE_RADIAL_FISHEYE")


def find_transforms(folder: Path) -> Path | None:
    return next((folder / name for name in NAMES if (folder / name).is_file()), None)


def read_transforms(file: Path) -> list[CalibratedCamera]:
    """Every frame of the file."""
    data = read_calibration_json(file)
    frames = data.get("frames") if isinstance(data, dict) else None
    if not isinstance(frames, list) or not frames:
        raise UserError(
            file, "holds no frames", 'it must hold {"frames": [{"file_path", "transform_matrix"}]}'
        )
    found = []
    for k, frame in enumerate(frames):
        if not isinstance(frame, dict) or not isinstance(frame.get("file_path"), str):
            raise UserError(file, f"frame {k} has no file_path", "it names the camera of the frame")
        found.append(_camera(file, frame["file_path"], {**data, **frame}))
    return found


def _camera(file: Path, name: str, values: Mapping[str, Any]) -> CalibratedCamera:
    try:
        M = np.array([[strict_json.number(x) for x in row] for row in values["transform_matrix"]])
    except (KeyError, TypeError, ValueError):
        M = np.zeros(0)
    if M.shape not in ((3, 4), (4, 4)):
        raise UserError(
            file, f"{name} has no transform_matrix", "it must be 4 rows of 4 numbers, camera to world"
        )
    T = from_opengl_pose(file, f"transform_matrix of {name}", M)
    width, height = (_number(file, name, values, key) for key in ("w", "h"))
    size = None if width is None or height is None else (round(height), round(width))
    lens = _lens(file, name, values)
    fx, fy = _number(file, name, values, "fl_x"), _number(file, name, values, "fl_y")
    if fx is not None:
        cx, cy = _number(file, name, values, "cx"), _number(file, name, values, "cy")
        if (cx is None or cy is None) and size is None:
            raise UserError(file, f"{name} has neither cx, cy nor w, h", "add them")
        cx = size[1] / 2 if cx is None and size else cx
        cy = size[0] / 2 if cy is None and size else cy
        assert cx is not None
        assert cy is not None
        return CalibratedCamera(name, pinhole(file, name, fx, fy or fx, cx, cy), T, lens, size)
    horizontal, vertical = (_number(file, name, values, f"camera_angle_{axis}") for axis in "xy")
    if lens.projection != "straight":
        raise UserError(file, f"{name} is a fisheye without focal length", "give fl_x, in pixels")
    if horizontal is None or not all(a is None or 0 < a < 3.1 for a in (horizontal, vertical)):
        raise UserError(file, f"{name} has no focal length", "give fl_x (pixels) or camera_angle_x (radians)")
    return CalibratedCamera(name, None, T, lens, field_of_view=(horizontal, vertical))


def _lens(file: Path, name: str, values: Mapping[str, Any]) -> Lens:
    model, bent = values.get("camera_model", "OPENCV"), values.get("is_fisheye")
    if model not in (*_LENS_MODELS, *_FISHEYE_MODELS):
        problem, remedy = (
            f"{name} has the lens model {model}",
            "undistort the pictures, and give OPENCV or PINHOLE",
        )
        raise UserError(file, problem, remedy)
    if bent or model in _FISHEYE_MODELS:
        if any(_number(file, name, values, key) for key in ("p1", "p2")):
            raise UserError(file, f"{name} is a fisheye with p1, p2", "k1, k2, k3 and k4 are understood")
        return fisheye(file, name, [_number(file, name, values, key) or 0.0 for key in _FISHEYE])
    if _number(file, name, values, "k4"):
        raise UserError(file, f"{name} has a lens with k4", "k1, k2, p1, p2 and k3 are understood")
    return brown(file, name, [_number(file, name, values, key) or 0.0 for key in _BROWN])


def _number(file: Path, name: str, values: Mapping[str, Any], key: str) -> float | None:
    value = values.get(key)
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not abs(value) < 1e9:
        raise UserError(file, f"{key} of {name} is {str(value)[:40]!r}", "it must be a finite number")
    return float(value)
