"""Formulas of structure, each once: the tree over parts, how parts move against each other; joints are in `ops.structure`.

Tensors of any precision: training calls them in float32 with gradients, `posing` in float64 with arrays.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from wim_fast.config import ModelConfig, StructureConfig

# the settings' defaults, for what is not training
CANDIDATE_SHARE = ModelConfig.candidate_share  # of each semi-axis (supplement A.4)
CENTER_WEIGHT = StructureConfig.center_weight  # lambda_l (A.7)
MERGE_DISTANCE = StructureConfig.merge_distance  # D-bar (A.7)
MOTION_WEIGHT = StructureConfig.merge_motion_weight  # lambda_motion (A.7)


def spanning_tree(
    candidate_distance: np.ndarray, center_distance: np.ndarray, center_weight: float = CENTER_WEIGHT
) -> tuple[np.ndarray, np.ndarray]:
    """Greedy minimum spanning tree over parts (paper section 3.5; Kruskal).

    The cost of joining parts i < j is the least of their 36 mean squared candidate distances plus
    `center_weight` times the mean squared distance of their centres. Ties go to the smaller (i, j), then to
    the smaller (m, n), so the result depends on nothing but the numbers. Only entries with i < j are read.

    Args:
        candidate_distance: (P, P, 6, 6); [i, j, m, n] belongs to candidate m of part i and n of part j.
        center_distance: (P, P).

    Returns:
        edges (P-1, 2) with i < j, in the order of increasing cost, and edge_candidates (P-1, 2): the chosen
        candidate (0..5) of either part.

    Raises:
        ValueError: if a distance is not finite.
    """
    candidate_distance = np.asarray(candidate_distance, float)
    num_parts = len(candidate_distance)
    rows, columns = np.triu_indices(num_parts, 1)
    num_candidates = candidate_distance.shape[-1]
    flat = candidate_distance[rows, columns].reshape(len(rows), num_candidates**2)
    best = flat.argmin(axis=1)
    cost = flat.min(axis=1) + center_weight * np.asarray(center_distance, float)[rows, columns]
    if not np.isfinite(cost).all():
        raise ValueError("spanning_tree: distances must be finite")

    label = np.arange(num_parts)
    chosen: list[int] = []
    for k in np.argsort(cost, kind="stable"):
        i, j = label[rows[k]], label[columns[k]]
        if i != j:
            label[label == max(i, j)] = min(i, j)
            chosen.append(int(k))
    pick = np.array(chosen, dtype=int)
    edges = np.stack([rows[pick], columns[pick]], axis=1)
    candidates = np.stack([best[pick] // num_candidates, best[pick] % num_candidates], axis=1)
    return edges, candidates


def relative_motion(
    rotation: Tensor, translation: Tensor, motion_weight: float = MOTION_WEIGHT, *, exact: bool = False
) -> Tensor:
    """m_ij (P, P): how much part j moves as seen from part i over F frames (paper section 3.5).

    The standard deviation over time of the relative rotation R_i^T R_j, averaged over its 9 entries, plus `motion_weight`
    times that of the relative translation R_i^T (t_j - t_i), averaged over its 3. Not symmetric: the translation is seen
    in part i's frame.

    Args:
        rotation: (F, P, 3, 3) part to world.
        translation: (F, P, 3) world units.
        exact: without it, deviations of rotations have a floor of 0.001, where gradients are finite and float32 holds the
            mean of squares that is faster to compute.
    """
    if exact:
        turn = torch.einsum("fiab,fjac->fijbc", rotation, rotation)
        rotation_deviation = turn.std(0, correction=0).mean((-1, -2))
    else:
        rotation_deviation = _variance_of_turns(rotation).clamp_min(1e-6).sqrt().mean((1, 3))
    offset = translation[:, None] - translation[:, :, None]  # (F, i, j, 3) = t_j - t_i
    relative_translation = offset @ rotation  # (F, i, j, 3) = R_i^T (t_j - t_i)
    centered = relative_translation - relative_translation.mean(0)
    floor = 0.0 if exact else 1e-12
    translation_deviation = ((centered**2).mean(0) + floor).sqrt().mean(-1)
    return rotation_deviation + motion_weight * translation_deviation


def _variance_of_turns(rotation: Tensor) -> Tensor:
    """Over time, of the entries of R_i^T R_j: (P, 3, P, 3), from E[x] and E[x^2] as two matrix products."""
    frames, parts = rotation.shape[:2]
    columns = rotation.permute(1, 3, 0, 2)  # (P, b, F, a)
    products = (columns[..., :, None] * columns[..., None, :]).reshape(parts * 3, -1)
    columns = columns.reshape(parts * 3, -1)
    mean, mean_square = columns @ columns.T / frames, products @ products.T / frames
    return (mean_square - mean**2).view(parts, 3, parts, 3)
