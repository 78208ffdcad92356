"""Cameras in YAML files that OpenCV's FileStorage wrote.

EasyMocap's `intri.yml` and `extri.yml` (K_01, dist_01; Rot_01 or R_01, T_01), in two files or in one; or one file for
each camera with a camera matrix, distortion, and rotation and translation under any of their usual names. World to
camera, pixel centres at whole numbers: half a pixel is added. A lens is a fisheye's where the file says so: by
`fisheye_model: 1`, as OpenCV's calibration sample writes, or `distortion_model: equidistant`, as ROS has it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from wim_fast.errors import UserError
from wim_fast.recordings.calibration.calibrated import CalibratedCamera, read_text
from wim_fast.recordings.calibration.conventions import (
    Matrix,
    opencv_intrinsics,
    rigid,
    rotation_matrices,
)
from wim_fast.recordings.calibration.opencv_yaml import read_matrices
from wim_fast.recordings.lenses import Lens, brown, fisheye

ENDINGS = (".yml", ".yaml")
INTRINSICS = ("camera_matrix", "cameramatrix", "intrinsic_matrix", "intrinsics", "intrinsic", "k", "m", "mtx")
DISTORTION = ("distortion_coefficients", "distortion", "dist_coeffs", "distcoeffs", "dist_coeff", "dist", "d")
ROTATION = ("rotation_matrix", "rotation", "rot", "r", "rvec", "rodrigues")
TRANSLATION = ("translation_vector", "translation", "t", "tvec", "trans")
EXTRINSICS = ("extrinsic_matrix", "extrinsics", "extrinsic", "t_camera_world", "world_to_camera", "rt")
_FISHEYE = re.compile(
    r"""^\s*(?:(?:use_?)?fisheye(?:_?model)?\s*:\s*(?:1|true|yes)
    |(?:distortion|camera|lens)_?(?:model|type)\s*:\s*["']?(?:\w*fisheye|equidistant|kannala_?brandt)["']?)\s*$""",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)

Matrices = Mapping[str, Matrix]


def opencv_files(folder: Path) -> list[Path]:
    """YAML files of a folder, sorted."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in ENDINGS and p.is_file())


def find_easymocap(folder: Path) -> Path | None:
    return folder if (folder / "intri.yml").is_file() else None


def read_easymocap_cameras(folder: Path) -> list[CalibratedCamera]:
    """The cameras of `intri.yml` and `extri.yml`."""
    return easymocap_cameras(folder, easymocap_names(folder))


def easymocap_names(folder: Path) -> list[str]:
    """The names of the calibrated cameras, sorted."""
    return sorted(key[2:] for key in read_matrices(folder / "intri.yml") if key.startswith("K_"))


def easymocap_cameras(folder: Path, names: Sequence[str]) -> list[CalibratedCamera]:
    """The cameras of these names, of `intri.yml` and `extri.yml`."""
    inner, outer = folder / "intri.yml", folder / "extri.yml"
    for file in (inner, outer):
        if not file.is_file():
            raise UserError(file, "is missing", "intri.yml and extri.yml belong together")
    matrices = {**read_matrices(outer), **read_matrices(inner)}
    return [_suffixed(inner, outer, name, matrices) for name in names]


def read_opencv(path: Path) -> list[CalibratedCamera]:
    """The cameras of a file that holds them all, or of a folder with a file for each."""
    files = opencv_files(path) if path.is_dir() else [path]
    if not files:
        raise UserError(path, "there are no .yml files", "give the folder that holds the cameras' files")
    contents = {file: read_matrices(file) for file in files}
    matrices = {key: matrix for found in contents.values() for key, matrix in found.items()}
    if names := sorted(key[2:] for key in matrices if key.startswith("K_")):
        return [_suffixed(path, path, name, matrices) for name in names]
    return [_single(file, found) for file, found in contents.items()]


def _suffixed(inner: Path, outer: Path, name: str, matrices: Matrices) -> CalibratedCamera:
    """K_<name>, dist_<name>; Rot_<name> or R_<name>, T_<name>; of the files of intrinsics and poses."""
    rotation, translation = matrices.get(f"Rot_{name}", matrices.get(f"R_{name}")), matrices.get(f"T_{name}")
    if rotation is None or translation is None:
        remedy = "calibrate this camera's pose too, or leave it out"
        raise UserError(outer, f"Rot_{name} or T_{name} is missing", remedy)
    K = opencv_intrinsics(inner, f"K_{name}", matrices[f"K_{name}"])
    lens = _lens(inner, f"dist_{name}", matrices.get(f"dist_{name}", matrices.get(f"D_{name}")))
    T = rigid(outer, f"Rot_{name}, T_{name}", _as_matrix(rotation), translation)
    return CalibratedCamera(name, K, T, lens)


def _single(file: Path, matrices: Matrices) -> CalibratedCamera:
    """A file for one camera, under any of the usual names."""
    K = _named(matrices, INTRINSICS)
    if K is None:
        raise UserError(
            file, "holds no camera matrix", f"name it {INTRINSICS[0]} or K; it holds {', '.join(matrices)}"
        )
    extrinsics = _named(matrices, EXTRINSICS)
    rotation, translation = _named(matrices, ROTATION), _named(matrices, TRANSLATION)
    if extrinsics is not None and extrinsics.shape in ((3, 4), (4, 4)):
        rotation, translation = extrinsics[:3, :3], extrinsics[:3, 3]
    if rotation is None or translation is None:
        problem = f"camera {file.stem} has no rotation and translation (R, T or rvec, tvec)"
        remedy = "wim-fast needs to know where cameras stand: calibrate their poses too"
        raise UserError(file, problem, remedy)
    lens = _lens(file, f"the distortion of {file.stem}", _named(matrices, DISTORTION))
    T = rigid(file, f"R and T of {file.stem}", _as_matrix(rotation), translation)
    K = opencv_intrinsics(file, f"the camera matrix of {file.stem}", K)
    return CalibratedCamera(file.stem, K, T, lens, _image_size(file))


def _lens(path: Path, what: str, numbers: Matrix | None) -> Lens:
    """The lens of a file, or of a folder of files."""
    files = opencv_files(path) if path.is_dir() else [path]
    bent = any(_FISHEYE.search(read_text(file)) for file in files)
    return (fisheye if bent else brown)(path, what, numbers)


def _named(matrices: Matrices, names: tuple[str, ...]) -> Matrix | None:
    lower = {key.lower(): matrix for key, matrix in matrices.items()}
    return next((lower[name] for name in names if name in lower), None)


def _as_matrix(rotation: Matrix) -> Matrix:
    """A rotation (3, 3), also of one that is given as axis and angle (3)."""
    return rotation_matrices(np.asarray(rotation, float).reshape(3)) if rotation.size == 3 else rotation


def _image_size(file: Path) -> tuple[int, int] | None:
    """(height, width), if the file tells."""
    text = read_text(file)
    found = [
        re.search(rf"^\s*(?:image_?)?{side}\s*:\s*(\d{{1,6}})\s*$", text, re.M | re.I)
        for side in ("height", "width")
    ]
    return (int(found[0][1]), int(found[1][1])) if found[0] and found[1] else None
