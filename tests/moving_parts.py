"""Parts that move as the links of a mechanism do, and a judge that needs no model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from wim_fast.posing.bodies.sequence import SEEN, BodySequence, find_bodies
from wim_fast.posing.bodies.unions import Moved, Trial
from wim_fast.posing.ellipsoids import part_contacts, surface_metric
from wim_fast.posing.rigid import inverse, logarithm, rigid

NOISE = 0.01  # rms shift of a part's surface for which it is not worth to have a body more


class ShiftJudge:
    """Judges by the mean squared shift of the parts' surfaces, in place of what is seen of them."""

    def __init__(self, poses: np.ndarray, metric: np.ndarray) -> None:
        self.poses, self.metric, self.shift = poses, metric, np.zeros(len(metric))
        self.judged = 0

    def trials(self, moved: Sequence[Moved]) -> list[Trial]:
        trials = []
        for parts, poses in moved:
            twist = logarithm(inverse(self.poses[:, parts]) @ poses)
            shift = np.einsum("tpi,pij,tpj->p", twist, self.metric[parts], twist) / len(poses)
            trials.append(Trial(float((shift - self.shift[parts]).sum()), (parts, shift)))
        self.judged += len(moved)
        return trials

    def take(self, trial: Trial) -> None:
        parts, self.shift[parts] = trial.state


def bodies_of(poses: np.ndarray, semi_axes: np.ndarray) -> BodySequence:
    """What is hidden does not count."""
    exposed = np.clip(part_contacts(poses, semi_axes).exposed[:, None, None] / 0.03, 1e-3, 1.0)
    metric = exposed * surface_metric(semi_axes) * SEEN / NOISE**2
    return find_bodies(poses, semi_axes, ShiftJudge(poses, metric))


def at(x: float, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    """(4, 4) to a place."""
    return rigid(np.eye(3), np.array([x, y, z]))


def turned(axis: tuple[float, float, float], angles: np.ndarray) -> np.ndarray:
    """(T, 4, 4) about an axis through the origin."""
    return rigid(Rotation.from_rotvec(angles[:, None] * np.array(axis)).as_matrix(), np.zeros(3))
