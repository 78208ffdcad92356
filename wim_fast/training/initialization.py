"""Where the parts begin: k-means of the visual hull, with the principal axes of each cluster as its ellipsoid.

Or at random, as in the paper, which does not say how: see `random_parts`.
"""

from __future__ import annotations

import numpy as np

from wim_fast.config import Config
from wim_fast.errors import UserError
from wim_fast.scene.scene import Scene
from wim_fast.scene.visual_hull import look_at, visual_hull

Ellipsoids = tuple[
    np.ndarray, np.ndarray, np.ndarray
]  # rotation (P, 3, 3), translation (P, 3), semi_axes (P, 3)

RANDOM_SPREAD = 0.1  # world units: an object is about 1.2 long
RANDOM_SEMI_AXIS = 0.07  # world units


def initial_parts(scene: Scene, config: Config) -> Ellipsoids:
    """Ellipsoids that share out the visual hull of one frame, see `starting_frame`; or random ones at its middle."""
    frame, model = starting_frame(scene, config.schedule.initial_frames), config.model
    if not model.hull_start:
        return random_parts(look_at(scene.cameras, scene.mask[:, frame]), model.parts, config.schedule.seed)
    points = visual_hull(scene.cameras, scene.mask[:, frame], resolution=96)
    if len(points) < 4 * model.parts:
        problem = f"the visual hull of frame {scene.frame_ids[frame]} has too few points ({len(points)}) for {model.parts} parts"
        raise UserError("parts", problem, "ask for fewer --parts, or check masks and cameras")
    seed = config.schedule.seed
    return parts_from_points(points, model.parts, model.minimum_semi_axis, model.initial_shrink, seed)


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
