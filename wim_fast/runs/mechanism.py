"""The mechanism of a run: the rigid bodies its parts make up, and joints of known kinds between them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from wim_fast.posing.body_structure import FRAMES, pose_noise, some_frames
from wim_fast.posing.ellipsoids import surface_metric
from wim_fast.posing.joint_choice import Poses, choose_joints
from wim_fast.posing.mechanism import Joint, Mechanism, bodies, spread, stage_frames
from wim_fast.posing.mechanism_fit import fit_mechanism, residuals
from wim_fast.posing.rigid import inverse, rigid
from wim_fast.runs.skeleton import tree_of
from wim_fast.runs.trained_model import TrainedModel

NOISE = 0.5
"""By how many pixels at the object poses are off, where kinds of joints are chosen (`body_structure.pose_noise`).

On a robot's arm the true poses of its links differ from learned ones by 2 to 8 mm, a sixth to two thirds of a pixel."""


@dataclass(frozen=True)
class FittedMechanism:
    """What `fit_run` finds. World frame and units.

    Attributes:
        mechanism: over all frames trained on.
        body_of_part: (P,) the first part of the rigid body of each part.
        turn_residual, shift_residual: (P,) rms over the frames by which a part's learned pose differs from the
            mechanism's: degrees, and world units at its centre.
        surface_residual: (P,) rms, world units, by which that moves the part's surface, along its normal for the
            most: what can be seen of it.
    """

    mechanism: Mechanism
    body_of_part: np.ndarray
    turn_residual: np.ndarray
    shift_residual: np.ndarray
    surface_residual: np.ndarray


def fit_run(run: TrainedModel) -> FittedMechanism:
    """The simplest mechanism that explains a run's poses (`posing/joint_choice.py`)."""
    poses = rigid(run.motion.rotation, run.motion.translation)
    metric = surface_metric(run.semi_axes)
    count = len(poses)
    some = some_frames(count)
    noise = pose_noise(run.inv_s, run.config.render.inv_s_pixels, NOISE)
    known = Poses(poses[some], run.joints_in(run.motion)[some], metric, noise)
    mechanism = _at_the_joints(choose_joints(known, tree_of(run))[0], known.joints)
    mechanism = _over_the_film(mechanism, poses, metric, some)
    twist = residuals(mechanism, poses)

    def rms(square: np.ndarray) -> np.ndarray:
        return np.sqrt(square.mean(axis=0))

    return FittedMechanism(
        mechanism,
        bodies(mechanism),
        np.degrees(rms((twist[..., 3:] ** 2).sum(-1))),
        rms((twist[..., :3] ** 2).sum(-1)),
        rms(np.einsum("tpi,pij,tpj->tp", twist, metric, twist)),
    )


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


def _over_the_film(
    mechanism: Mechanism, poses: np.ndarray, metric: np.ndarray, some: np.ndarray
) -> Mechanism:
    """From frames `some` to all of them, some at a time: the values of the others start from the nearest."""
    count = len(poses)
    if len(some) == count:
        return mechanism
    nearest = np.abs(np.arange(count)[:, None] - some).argmin(axis=1)
    pieces = []
    for frames in np.array_split(np.arange(count), -(-count // FRAMES)):
        piece = spread(mechanism, nearest[frames])
        pieces.append(fit_mechanism(piece, poses[frames], metric, tolerance=1e-5, values_only=True)[0])
    joints = []
    for part, joint in enumerate(mechanism.joints):
        motions = [[piece.joints[part].motion[k] for piece in pieces] for k in range(len(joint.motion))]
        whole = tuple(np.concatenate(motion) for motion in motions)
        joints.append(Joint(joint.kind, joint.offset, joint.between, joint.mount, whole, joint.hold))
    return Mechanism(mechanism.tree, tuple(joints))
