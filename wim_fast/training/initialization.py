"""Where the parts begin: k-means of the visual hull, with the principal axes of each cluster as its ellipsoid.

Or at random, as in the paper, which does not say how: see `random_parts`.
"""

from __future__ import annotations

import numpy as np

from wim_fast.config import Config
from wim_fast.errors import UserError
from wim_fast.recordings.selection import evenly
from wim_fast.scene.limbs import count_limbs
from wim_fast.scene.scene import Scene
from wim_fast.scene.visual_hull import look_at, visual_hull
from wim_fast.sections import LEAST_AUTO, MOST_AUTO

Ellipsoids = tuple[
    np.ndarray, np.ndarray, np.ndarray
]  # rotation (P, 3, 3), translation (P, 3), semi_axes (P, 3)

HULL_CELLS = 96  # along the longest side of the visual hull
POINTS_PER_PART = 4  # of the hull, at the least
PER_LIMB = 10  # parts, where their number is left open
LOOKS = 6  # frames in which limbs are counted
LIMB_CELLS = 48  # along the longest side of the visual hull, for that

RANDOM_SPREAD = 0.1  # world units: an object is about 1.2 long
RANDOM_SEMI_AXIS = 0.07  # world units


def initial_parts(scene: Scene, config: Config) -> Ellipsoids:
    """Ellipsoids that share out the visual hull of one frame, see `starting_frame`; or random ones at its middle."""
    frame, model = starting_frame(scene, config.schedule.initial_frames), config.model
    if not model.hull_start:
        return random_parts(
            look_at(scene.cameras, scene.mask[:, frame]), model.num_parts, config.schedule.seed
        )
    points = visual_hull(scene.cameras, scene.mask[:, frame], resolution=HULL_CELLS)
    if len(points) < POINTS_PER_PART * model.num_parts:
        hull = f"the visual hull of frame {scene.frame_ids[frame]}"
        problem = f"{hull} has too few points ({len(points)}) for {model.num_parts} parts"
        raise UserError("parts", problem, "ask for fewer --parts, or check masks and cameras")
    seed = config.schedule.seed
    return parts_from_points(points, model.num_parts, model.minimum_semi_axis, model.initial_shrink, seed)


def enough_parts(scene: Scene) -> int:
    """`PER_LIMB` parts for each limb of the object, `LEAST_AUTO` to `MOST_AUTO`: an arm bends in one row, a hand in five.

    Limbs touch in one frame and not in others, and hulls of few views have some that are none: the median counts.
    """
    cameras_that_see = scene.sees_object.sum(0)
    frames = np.flatnonzero(cameras_that_see == cameras_that_see.max())
    limbs = [_limbs(scene, frame) for frame in evenly(frames.tolist(), LOOKS)]
    return int(np.clip(round(PER_LIMB * float(np.median(limbs))), LEAST_AUTO, MOST_AUTO))


def _limbs(scene: Scene, frame: int) -> int:
    """Of the visual hull of a frame; none of one that is too thin to begin with many parts."""
    points = visual_hull(scene.cameras, scene.mask[:, frame], LIMB_CELLS)
    return count_limbs(points) if len(points) >= POINTS_PER_PART * MOST_AUTO else 0


def random_parts(middle: np.ndarray, parts: int, seed: int) -> Ellipsoids:
    """Balls of one size about a point (3,), turned anyhow: rotation (P, 3, 3), translation (P, 3), semi_axes (P, 3)."""
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng(seed)
    translation = middle + RANDOM_SPREAD * rng.normal(size=(parts, 3))
    rotation = Rotation.from_quat(rng.normal(size=(parts, 4))).as_matrix()
    semi_axes = np.full((parts, 3), RANDOM_SEMI_AXIS)
    return rotation.astype(np.float32), translation.astype(np.float32), semi_axes.astype(np.float32)


def starting_frame(scene: Scene, initial_frames: int) -> int:
    """The frame whose hull gives the first parts: the one that most cameras see, at least two where there are two.

    The earliest of several, of the frames that training begins with if it can be. UserError if there is none.
    """
    cameras_that_see = scene.sees_object.sum(0)
    fewest = min(2, scene.num_cameras)
    for frames in (cameras_that_see[:initial_frames], cameras_that_see):
        if frames.max() >= fewest:
            return int(frames.argmax())
    problem = f"no frame shows the object in {fewest} cameras"
    raise UserError(scene.name, problem, "check the masks")


def parts_from_points(
    points: np.ndarray, parts: int, minimum_semi_axis: float, shrink: float, seed: int
) -> Ellipsoids:
    """Ellipsoids that share out a solid: rotation (P, 3, 3), translation (P, 3), semi_axes (P, 3), float32.

    Args:
        points: (M, 3) world points that fill the object, M >= parts.
        minimum_semi_axis: world units; first semi-axes are 1.2 times that at least.
        shrink: of semi-axes against those of the points, as a hull of few views is fatter than the object.

    A solid ellipsoid with semi-axes r has the covariance diag(r^2 / 5).
    """
    from scipy.cluster.vq import kmeans2

    rng = np.random.default_rng(seed)
    if len(points) > 20000:
        points = points[rng.choice(len(points), 20000, replace=False)]
    centers, labels = kmeans2(points, parts, iter=30, minit="++", seed=rng, missing="warn")
    rotation, semi_axes = np.tile(np.eye(3), (parts, 1, 1)), np.full((parts, 3), 2 * minimum_semi_axis)
    for part in range(parts):
        members = points[labels == part]
        if len(members) < 8:
            continue
        variance, axes = np.linalg.eigh(np.cov(members.T))
        axes[:, 0] *= np.sign(np.linalg.det(axes))
        rotation[part] = axes
        semi_axes[part] = np.maximum(shrink * np.sqrt(5 * np.maximum(variance, 0)), 1.2 * minimum_semi_axis)
    return rotation.astype(np.float32), centers.astype(np.float32), semi_axes.astype(np.float32)
