"""Where the parts begin: k-means of the visual hull, with the principal axes of each cluster as its ellipsoid."""

from __future__ import annotations

import numpy as np

Ellipsoids = tuple[
    np.ndarray, np.ndarray, np.ndarray
]  # rotation (P, 3, 3), translation (P, 3), semi_axes (P, 3)

SHRINK = 0.8  # a hull of few views is fatter than the object


def parts_from_points(points: np.ndarray, parts: int, minimum_semi_axis: float, seed: int) -> Ellipsoids:
    """Ellipsoids that share out a solid: rotation (P, 3, 3), translation (P, 3), semi_axes (P, 3), float32.

    Args:
        points: (M, 3) world points that fill the object, M >= parts.

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
        semi_axes[part] = np.maximum(SHRINK * np.sqrt(5 * np.maximum(variance, 0)), 1.2 * minimum_semi_axis)
    return rotation.astype(np.float32), centers.astype(np.float32), semi_axes.astype(np.float32)
