"""Cameras in YAML files that OpenCV's FileStorage wrote.

EasyMocap's `intri.yml` and `extri.yml` (K_01, dist_01; Rot_01 or R_01, T_01), in two files or in one; or one file for
each camera with a camera matrix, distortion, and rotation and translation under any of their usual names. World to
camera, pixel centres at whole numbers: half a pixel is added.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from wim_fast.errors import UserError
from wim_fast.recordings.calibration.calibrated import CalibratedCamera, Matrix, opencv_lens, read_text
from wim_fast.recordings.calibration.opencv_yaml import read_matrices
from wim_fast.recordings.filmed import opencv_intrinsics, rigid
from wim_fast.recordings.smpl import rotation_matrices

ENDINGS = (".yml", ".yaml")
INTRINSICS = ("camera_matrix", "cameramatrix", "intrinsic_matrix", "intrinsics", "intrinsic", "k", "m", "mtx")
DISTORTION = ("distortion_coefficients", "distortion", "dist_coeffs", "distcoeffs", "dist_coeff", "dist", "d")
ROTATION = ("rotation_matrix", "rotation", "rot", "r", "rvec", "rodrigues")
TRANSLATION = ("translation_vector", "translation", "t", "tvec", "trans")
EXTRINSICS = ("extrinsic_matrix", "extrinsics", "extrinsic", "t_camera_world", "world_to_camera", "rt")

Matrices = Mapping[str, Matrix]


def opencv_files(folder: Path) -> list[Path]:
    """YAML files of a folder, sorted."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in ENDINGS and p.is_file())


def find_easymocap(folder: Path) -> Path | None:
    return folder if (folder / "intri.yml").is_file() else None


def read_easymocap_cameras(folder: Path) -> list[CalibratedCamera]:
    """The cameras of `intri.yml` and `extri.yml`."""
    for file in (folder / "intri.yml", folder / "extri.yml"):
        if not file.is_file():
            raise UserError(file, "is missing", "intri.yml and extri.yml belong together")
    inner, outer = read_matrices(folder / "intri.yml"), read_matrices(folder / "extri.yml")
    return _suffixed(folder, {**outer, **inner})


def read_opencv(path: Path) -> list[CalibratedCamera]:
    """The cameras of a file that holds them all, or of a folder with a file for each."""
    files = opencv_files(path) if path.is_dir() else [path]
    if not files:
        raise UserError(path, "there are no .yml files", "give the folder that holds the cameras' files")
    contents = {file: read_matrices(file) for file in files}
    if any(key.startswith("K_") for matrices in contents.values() for key in matrices):
        return _suffixed(path, {k: m for matrices in contents.values() for k, m in matrices.items()})
    return [_single(file, matrices) for file, matrices in contents.items()]


def _suffixed(where: Path, matrices: Matrices) -> list[CalibratedCamera]:
    """K_<name>, dist_<name>, Rot_<name> or R_<name>, T_<name>."""
    found = []
    for name in (key[2:] for key in matrices if key.startswith("K_")):
        rotation = matrices.get(f"Rot_{name}", matrices.get(f"R_{name}"))
        distortion = matrices.get(f"dist_{name}", matrices.get(f"D_{name}"))
        found.append(
            _camera(where, name, matrices[f"K_{name}"], distortion, rotation, matrices.get(f"T_{name}"), None)
        )
    if not found:
        raise UserError(
            where, "holds no camera matrix K_01, K_02, ...", "check that these are the cameras' files"
        )
    return found


def _single(file: Path, matrices: Matrices) -> CalibratedCamera:
    K = _named(matrices, INTRINSICS)
    if K is None:
        raise UserError(
            file, "holds no camera matrix", f"name it {INTRINSICS[0]} or K; it holds {', '.join(matrices)}"
        )
    extrinsics, rotation, translation = _named(matrices, EXTRINSICS), None, None
    if extrinsics is not None and extrinsics.shape in ((3, 4), (4, 4)):
        rotation, translation = extrinsics[:3, :3], extrinsics[:3, 3]
    else:
        rotation, translation = _named(matrices, ROTATION), _named(matrices, TRANSLATION)
    size = [
        re.search(rf"^\s*(?:image_?)?{side}\s*:\s*(\d{{1,6}})\s*$", read_text(file), re.M | re.I)
        for side in _SIDES
    ]
    shape = (int(size[0][1]), int(size[1][1])) if size[0] and size[1] else None
    return _camera(file, file.stem, K, _named(matrices, DISTORTION), rotation, translation, shape)


_SIDES = ("height", "width")


def _named(matrices: Matrices, names: tuple[str, ...]) -> Matrix | None:
    lower = {key.lower(): matrix for key, matrix in matrices.items()}
    return next((lower[name] for name in names if name in lower), None)


def _camera(
    where: Path,
    name: str,
    K: Matrix,
    distortion: Matrix | None,
    rotation: Matrix | None,
    translation: Matrix | None,
    size: tuple[int, int] | None,
) -> CalibratedCamera:
    if rotation is None or translation is None:
        problem = f"camera {name} has no rotation and translation (R, T or rvec, tvec)"
        raise UserError(
            where, problem, "wim-fast needs to know where cameras stand: calibrate their poses too"
        )
    if rotation.size == 3:
        rotation = rotation_matrices(np.asarray(rotation, float).reshape(3))
    K = opencv_intrinsics(where, f"the camera matrix of {name}", K)
    if abs(K[0, 1]) > 1e-6 * K[0, 0]:
        raise UserError(where, f"the camera matrix of {name} has a skew", "calibrate without skew")
    lens = opencv_lens(where, f"the distortion of {name}", distortion)
    return CalibratedCamera(name, K, rigid(where, f"R and T of {name}", rotation, translation), lens, size)
