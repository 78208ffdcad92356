"""Camera conventions, each once, brought to ours: world to camera, OpenCV axes, pixel centres at +0.5; and what is checked.

OpenCV, EasyMocap     world to camera, OpenCV axes; pixel centres at whole numbers  -> `opencv_intrinsics`
COLMAP                world to camera, OpenCV axes; pixel centres at +0.5           -> as it is
transforms.json       camera to world, OpenGL axes; pixel centres at +0.5           -> `from_opengl_pose`
raw layout            world to camera for row vectors, OpenGL axes; +0.5            -> `from_opengl_view`
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wim_fast.errors import UserError

Matrix = NDArray[np.float64]

LARGEST = 1e7  # pixels
NO_SKEW = 1e-6  # of the focal length
_AGAIN = "calibrate this camera again or leave it out"


def intrinsics(where: str | Path, what: str, K: ArrayLike) -> Matrix:
    """K (3, 3) in pixels, perhaps with a skew; UserError if it is none."""
    K = np.array(K, float)
    if K.shape != (3, 3) or not np.isfinite(K).all():
        raise UserError(where, f"{what} is not a camera matrix", "it must be 3 x 3 finite numbers, in pixels")
    fx, fy = K[0, 0], K[1, 1]
    if min(fx, fy) <= 0 or np.abs(K).max() > LARGEST:
        problem = f"{what} is not a camera matrix: focal lengths are {fx:g}, {fy:g}, the centre {K[0, 2]:g}, {K[1, 2]:g}"
        raise UserError(where, problem, "focal lengths must be positive, in pixels; " + _AGAIN)
    if not np.allclose(K[[1, 2, 2, 2], [0, 0, 1, 2]], [0, 0, 0, 1]):
        raise UserError(
            where, f"{what} is not a camera matrix", "it must be upper triangular, its last row 0, 0, 1"
        )
    if abs(K[0, 1]) <= NO_SKEW * fx:
        K[0, 1] = 0.0
    return K


def opencv_intrinsics(where: str | Path, what: str, K: ArrayLike) -> Matrix:
    """K (3, 3) with pixel centres at +0.5 from OpenCV's, where they are whole numbers."""
    K = intrinsics(where, what, K)
    K[:2, 2] += 0.5
    return K


def pinhole(where: str | Path, what: str, fx: float, fy: float, cx: float, cy: float) -> Matrix:
    """K (3, 3) of its numbers."""
    return intrinsics(where, what, [[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])


def rigid(where: str | Path, what: str, R: ArrayLike, t: ArrayLike) -> Matrix:
    """T_camera_world (4, 4) from a rotation (3, 3) and translation (3); UserError if it is none."""
    R, t = np.asarray(R, float), np.asarray(t, float).reshape(-1)
    good = R.shape == (3, 3) and t.shape == (3,) and np.isfinite(R).all() and np.isfinite(t).all()
    if not good or not np.allclose(R @ R.T, np.eye(3), atol=1e-3) or np.linalg.det(R) < 0:
        raise UserError(where, f"{what} is not a rotation and translation", _AGAIN)
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = R, t
    return T


def from_opengl_view(where: str | Path, what: str, M: Matrix) -> Matrix:
    """T_camera_world (4, 4) from a view matrix (4, 4) for row vectors with OpenGL axes (x right, y up, z backward)."""
    T = (M * [1, -1, -1, 1]).T  # axes; row vectors to column vectors
    return rigid(where, what, T[:3, :3], T[:3, 3])


def to_opengl_view(T_camera_world: Matrix) -> Matrix:
    """The inverse of `from_opengl_view`."""
    return T_camera_world.T * [1, -1, -1, 1]


def from_opengl_pose(where: str | Path, what: str, M: Matrix) -> Matrix:
    """T_camera_world (4, 4) from camera to world (3 or 4, 4), OpenGL axes. A scale of the axes is left out: some
    writers leave that of the scene there."""
    R = M[:3, :3] * [1, -1, -1]  # columns: the camera's right, down and forward in the world
    scale = np.cbrt(abs(np.linalg.det(R))) if np.isfinite(R).all() else 1.0
    R = R / (scale or 1.0)
    return rigid(where, what, R.T, -R.T @ M[:3, 3])


def rotation_matrices(vectors: Matrix) -> Matrix:
    """Axis-angle vectors (..., 3), OpenCV's `rvec` and SMPL's poses, to rotations (..., 3, 3)."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(*vectors.shape[:-1], 3, 3)
