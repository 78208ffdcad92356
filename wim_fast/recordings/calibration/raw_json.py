"""The camera file of the raw layout: `cam_000.json`, as the WIM robots have it.

`camera_data.intrinsics.{fx, fy, cx, cy}`, pixel centres at +0.5, and `camera_data.camera_view_matrix` (4, 4): world to
camera for row vectors, OpenGL axes (x right, y up, z backward).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from wim_fast import strict_json
from wim_fast.errors import UserError
from wim_fast.recordings.calibration.calibrated import CalibratedCamera, read_calibration_json
from wim_fast.recordings.calibration.conventions import Matrix, from_opengl_view, pinhole, to_opengl_view

NAME = re.compile(r"cam_(\d{3,})\.json")


def raw_camera_files(folder: Path) -> dict[int, Path]:
    """The camera files of a folder by the cameras' ids."""
    return {int(match[1]): p for p in sorted(folder.iterdir()) if (match := NAME.fullmatch(p.name))}


def find_raw_cameras(folder: Path) -> Path | None:
    return folder if raw_camera_files(folder) else None


def read_raw_cameras(folder: Path) -> list[CalibratedCamera]:
    """Every camera of a folder."""
    return [read_raw_camera(file) for file in raw_camera_files(folder).values()]


def read_raw_camera(file: Path) -> CalibratedCamera:
    """The camera of one file."""
    data = read_calibration_json(file)
    try:
        camera = data["camera_data"]
        fx, fy, cx, cy = (strict_json.number(camera["intrinsics"][key]) for key in ("fx", "fy", "cx", "cy"))
        M = np.array([[strict_json.number(x) for x in row] for row in camera["camera_view_matrix"]])
    except KeyError as error:
        needs = "camera_data needs intrinsics {fx, fy, cx, cy} and camera_view_matrix"
        raise UserError(file, f"{error.args[0]} is missing", needs) from None
    except (TypeError, ValueError, OverflowError) as error:
        needs = "camera_data.intrinsics holds four numbers and camera_view_matrix 4 rows of 4 numbers"
        raise UserError(file, f"cannot be read as a camera ({error})", needs) from None
    if M.shape != (4, 4):
        shape = " x ".join(map(str, M.shape)) or "a number"
        raise UserError(file, f"camera_view_matrix is {shape}", "it must be 4 rows of 4 numbers")
    if not np.isfinite(M).all():
        raise UserError(
            file, "camera_view_matrix is not finite", "calibrate this camera again or leave it out"
        )
    if not np.allclose(M[:, 3], [0, 0, 0, 1], atol=1e-6):
        raise UserError(
            file,
            "the last column of camera_view_matrix is not 0, 0, 0, 1",
            "the matrix is in the row-vector convention, the translation in its last row: transpose it",
        )
    T = from_opengl_view(file, "camera_view_matrix", M)
    return CalibratedCamera(file.stem, pinhole(file, "intrinsics", fx, fy, cx, cy), T)


def write_raw_camera(file: Path, K: Matrix, T_camera_world: Matrix, size: tuple[int, int]) -> None:
    """A camera file from K (3, 3) without skew, T_camera_world (4, 4) and (height, width) of the images."""
    file.write_text(json.dumps(raw_camera(K, T_camera_world, size), indent=1) + "\n")


def raw_camera(K: Matrix, T_camera_world: Matrix, size: tuple[int, int]) -> dict[str, Any]:
    """What stands in it."""
    inner = {"fx": K[0, 0], "fy": K[1, 1], "cx": K[0, 2], "cy": K[1, 2]}
    return raw_view(inner, to_opengl_view(T_camera_world), size)


def write_raw_view(
    file: Path, intrinsics: dict[str, float], view_matrix: Matrix, size: tuple[int, int]
) -> None:
    """The same from what stands in the file: fx, fy, cx, cy and the view matrix (4, 4)."""
    file.write_text(json.dumps(raw_view(intrinsics, view_matrix, size), indent=1) + "\n")


def raw_view(intrinsics: dict[str, float], view_matrix: Matrix, size: tuple[int, int]) -> dict[str, Any]:
    data = {
        "width": size[1],
        "height": size[0],
        "intrinsics": {key: float(value) for key, value in intrinsics.items()},
        "camera_view_matrix": view_matrix.tolist(),
    }
    return {"camera_data": data}
