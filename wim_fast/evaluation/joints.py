"""Joint error: how well the true joints follow from the learned parts (supplement A.10)."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from wim_fast.posing.regression import RIDGE, fit_linear_map


@dataclass(frozen=True)
class JointError:
    """Mean distance between regressed and true joints on the test frames, as a share of the extent.

    Attributes:
        error: the headline: supplement A.10, eq. 19, with ridge `RIDGE`.
        error_least_norm: as the paper measures: least squares of least norm, without a ridge. The frames that fit
            leave it underdetermined in short videos.
        error_mean_pose: baseline: every joint at its mean over the frames that fit.
        extent: world units, see `object_extent`.
        num_fit_frames, num_test_frames: every 10th frame fits, the rest test.
    """

    error: float
    error_least_norm: float
    error_mean_pose: float
    extent: float
    num_fit_frames: int
    num_test_frames: int

    def to_dict(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)


def object_extent(joints: np.ndarray, points: np.ndarray | None = None) -> float:
    """Size of the object: the largest side of its bounding box in a frame, averaged over frames.

    Of the object's points (T, M, 3) where there are any, else of the joints (T, J, 3). Per frame, so that an
    object which travels is not the larger for it. A single point shows no size: then one world unit, which is
    about the object's by the automatic scale.
    """
    cloud = np.asarray(joints if points is None or not np.size(points) else points, float)
    return float((cloud.max(axis=1) - cloud.min(axis=1)).max(axis=1).mean()) or 1.0


@dataclass(frozen=True)
class JointDistances:
    """How far regressed joints are from the true ones on F test frames; (F, J), world units.

    Attributes:
        test_frames: (F,) positions among the frames given.
        ridge, least_norm, mean_pose: by regression, as in `JointError`.
    """

    test_frames: np.ndarray
    ridge: np.ndarray
    least_norm: np.ndarray
    mean_pose: np.ndarray


def joint_distances(moving: np.ndarray, joints: np.ndarray, fit_every: int = 10) -> JointDistances | None:
    """True joints regressed from the points of a model, frame by frame (supplement A.10, eq. 19).

    The frames given are consecutive ones of a video: frames 0, 10, 20, ... fit the map, the others test it.

    Args:
        moving: (T, N, 3) points of the model: of ours part centres and joint candidates.
        joints: (T, J, 3) true joints of the same frames, world units.

    Returns:
        None if there are no joints, or no frame to test on.
    """
    joints, source = np.asarray(joints, float), np.asarray(moving, float)
    if len(joints) != len(source):
        raise ValueError(f"{len(joints)} frames of joints, {len(source)} of the model")
    fits = np.arange(len(joints)) % fit_every == 0
    if fits.all() or joints.shape[1] == 0:
        return None

    def distances(regressed: np.ndarray) -> np.ndarray:
        return np.linalg.norm(regressed - joints[~fits], axis=-1)

    def with_ridge(ridge: float) -> np.ndarray:
        return distances(fit_linear_map(source[fits], joints[fits], ridge) @ source[~fits])

    return JointDistances(
        test_frames=np.flatnonzero(~fits),
        ridge=with_ridge(RIDGE),
        least_norm=with_ridge(0.0),
        mean_pose=distances(joints[fits].mean(axis=0)),
    )


def joint_error(
    moving: np.ndarray, joints: np.ndarray, points: np.ndarray | None = None, fit_every: int = 10
) -> JointError | None:
    """The mean of `joint_distances` (MPJPE) as a share of the object's extent.

    Args:
        points: (T, M, 3) true points of the object, for its extent.

    Returns:
        None if there are no joints, or no frame to test on.
    """
    found = joint_distances(moving, joints, fit_every)
    if found is None:
        return None
    extent = object_extent(joints, points)
    return JointError(
        error=float(found.ridge.mean() / extent),
        error_least_norm=float(found.least_norm.mean() / extent),
        error_mean_pose=float(found.mean_pose.mean() / extent),
        extent=extent,
        num_fit_frames=len(joints) - len(found.test_frames),
        num_test_frames=len(found.test_frames),
    )
