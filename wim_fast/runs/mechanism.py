"""The mechanism of a run: the rigid links its parts make up, and joints of known kinds between them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from wim_fast.posing.bodies.sequence import pose_noise, some_frames
from wim_fast.posing.ellipsoids import surface_metric
from wim_fast.posing.joints.choice import Poses, choose_joints
from wim_fast.posing.joints.fit import over_the_film
from wim_fast.posing.joints.mechanism import Mechanism, bodies, part_poses, stage_frames
from wim_fast.posing.rigid import inverse, logarithm, mean_places, rigid
from wim_fast.posing.skeleton import Node, PartsFound
from wim_fast.runs.bodies import bodies_of
from wim_fast.runs.skeleton import skeleton_of
from wim_fast.runs.trained_model import TrainedModel

NOISE = 0.5
"""By how many pixels at the object poses are off, where kinds of joints are chosen (`bodies.sequence.pose_noise`).

On a robot's arm the true poses of its links differ from learned ones by 2 to 8 mm, a sixth to two thirds of a pixel."""


@dataclass(frozen=True)
class FittedMechanism:
    """What `fit_run` finds. World frame and units.

    Attributes:
        what: the N nodes of the mechanism are.
        mechanism: over all frames trained on.
        link_of_node: (N,) the first node of the rigid link of each node: the one whose joint moves it.
        link_of_part: (P,) the same for the node that carries each part.
        turn_residual, shift_residual: (P,) rms over the frames by which a part's learned pose differs from the
            mechanism's: degrees, and world units at its centre.
        surface_residual: (P,) rms, world units, by which that moves the part's surface, along its normal for the
            most: what can be seen of it.
    """

    what: Node
    mechanism: Mechanism
    link_of_node: np.ndarray
    link_of_part: np.ndarray
    turn_residual: np.ndarray
    shift_residual: np.ndarray
    surface_residual: np.ndarray


def fit_run(run: TrainedModel, parts_found: PartsFound = None) -> FittedMechanism:
    """The simplest mechanism that explains a run's poses (`posing/joints/choice.py`).

    Args:
        parts_found: None: which parts are one link follows from the joints between parts. Else each of so many bodies
            (`skeleton.PartsFound`) is a link.
    """
    skeleton, learned = skeleton_of(run, parts_found), rigid(run.motion.rotation, run.motion.translation)
    own_metric = surface_metric(run.semi_axes)
    poses, metric = learned, own_metric
    if parts_found is not None:
        found = bodies_of(run, skeleton.count)
        poses, metric = found.motion, found.metric
    some = some_frames(len(poses))
    noise = pose_noise(run.inv_s, run.config.for_masks().inv_s_pixels, NOISE)
    known = Poses(poses[some], skeleton.joints[some], metric, noise)
    chosen = choose_joints(known, skeleton.tree, may_unite=parts_found is None)[0]
    mechanism = over_the_film(_at_the_joints(chosen, known.joints), poses, metric, some)
    links = bodies(mechanism)
    off = _off(part_poses(mechanism, len(poses)), poses, learned, skeleton.node_of_part, own_metric)
    return FittedMechanism(skeleton.what, mechanism, links, links[skeleton.node_of_part], *off)


def _off(
    fitted: np.ndarray, poses: np.ndarray, learned: np.ndarray, node_of_part: np.ndarray, metric: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Residuals (P,) of the parts, as `FittedMechanism` has them.

    Args:
        fitted, poses: (T, N, 4, 4) of the nodes, by the mechanism and as they are.
        learned: (T, P, 4, 4) of the parts, each at its mean place on its node.
        metric: (P, 6, 6) of the parts.
    """
    on_node = mean_places(poses[:, node_of_part], learned)
    twist = logarithm(inverse(learned) @ fitted[:, node_of_part] @ on_node)

    def rms(square: np.ndarray) -> np.ndarray:
        return np.sqrt(square.mean(axis=0))

    turn, shift = (rms((half**2).sum(-1)) for half in (twist[..., 3:], twist[..., :3]))
    return np.degrees(turn), shift, rms(np.einsum("tpi,pij,tpj->tp", twist, metric, twist))


def _at_the_joints(mechanism: Mechanism, joints: np.ndarray) -> Mechanism:
    """Hinges slid along their axes, which changes nothing else, to where they are nearest to the learned joints.

    joints: (T, P-1, 3) in the world, in the order of the tree's edges.
    """
    for part in mechanism.tree.order[1:].tolist():
        joint = mechanism.joints[part]
        if joint.kind == "revolute":
            to_hinge = inverse(stage_frames(mechanism, len(joints))[part][0])
            learned = joints[:, mechanism.tree.parent_edge[part]]
            along = np.einsum("tj,tj->t", to_hinge[:, 2, :3], learned) + to_hinge[:, 2, 3]
            shift = rigid(np.eye(3), np.array([0.0, 0.0, along.mean()]))
            slid = replace(joint, offset=joint.offset @ shift, mount=inverse(shift) @ joint.mount)
            mechanism = mechanism.replaced(part, slid)
    return mechanism
