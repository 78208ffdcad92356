"""Which kind of joint each edge of the tree is: the simplest that explains the learned poses within their noise.

A mechanism is judged by the Bayesian information criterion, misfit / noise + log(n) * (numbers it is described by):
constants once, values in every frame. All joints are judged together, for the poses of parts are uncertain in ways that
only their neighbours can tell: a round link that turns about its own axis looks the same, what it carries does not.
Kinds are changed one by one, from the leaves of the tree to its root, until no change of a single joint gains anything;
then axes are held at right angles, or parallel, to those above them, where that gains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from wim_fast.posing.joints.fit import correlation_time, fit_mechanism
from wim_fast.posing.joints.mechanism import (
    AXIAL,
    DIMENSIONS,
    Hold,
    Joint,
    Kind,
    Mechanism,
    axis_above,
    free,
    freedoms,
    held_offset,
    neighbourhood,
    part_of,
    part_poses,
    put_back,
)
from wim_fast.posing.joints.start import start_joint
from wim_fast.posing.rigid import inverse
from wim_fast.posing.tree import RootedTree

QUICK = (8, 0.03)
"""Iterations and tolerance of the fits that only compare."""

HOLD_WITHIN = np.radians(30.0)
"""So near to a right angle, or to none, an axis may be held there."""

STARTS: tuple[tuple[Kind, int], ...] = (
    ("fixed", 0),
    ("revolute", 0),
    ("revolute", 1),
    ("prismatic", 0),
    ("universal", 0),
    ("universal", 1),
    ("ball", 0),
)
"""Kinds, and which principal axis of the motion their fit starts from."""


@dataclass(frozen=True)
class Poses:
    """Learned poses, and how sure they are.

    Attributes:
        parts: (T, P, 4, 4) part to world.
        joints: (T, P-1, 3) in the world, in the order of the tree's edges.
        metric: (P, 6, 6) `surface_metric`.
        noise: rms shift of a part's surface, world units, by which poses are off.
        correlation: frames in which their error is forgotten (`correlation_time`).
    """

    parts: np.ndarray
    joints: np.ndarray
    metric: np.ndarray
    noise: float
    correlation: float = 1.0

    def of(self, around: np.ndarray, window: RootedTree, tree: RootedTree) -> Poses:
        """Of some parts, whose tree is `window`."""
        joints = np.zeros((len(self.parts), len(around) - 1, 3))
        for k, part in enumerate(around.tolist()):
            if window.parent[k] >= 0:
                joints[:, window.parent_edge[k]] = self.joints[:, tree.parent_edge[part]]
        return replace(self, parts=self.parts[:, around], joints=joints, metric=self.metric[around])

    def criterion(self, mechanism: Mechanism, misfit: float) -> float:
        """Of a mechanism with this sum of misfits, see the module; times `correlation`."""
        frames, parts = self.parts.shape[:2]
        constants = sum(joint.constants for joint in mechanism.joints)
        values = frames * sum(freedoms(joint.kind) for joint in mechanism.joints)
        samples = DIMENSIONS * frames * parts / self.correlation
        return DIMENSIONS * misfit / self.noise**2 + np.log(samples) * (self.correlation * constants + values)


def choose_joints(
    poses: Poses, tree: RootedTree, sweeps: int = 4, may_unite: bool = True
) -> tuple[Mechanism, Poses]:
    """The mechanism that the criterion prefers, and the poses with their correlation measured.

    may_unite: whether a joint may be fixed, which makes one body of two parts; else only the root may.
    """
    mechanism = fit_mechanism(start_mechanism(poses, tree), poses.parts, poses.metric)[0]
    starts = tuple(start for start in STARTS if may_unite or start[0] != "fixed")
    for candidates in (partial(_other_kinds, starts=starts), _other_holds):
        if candidates is _other_holds:
            poses = replace(poses, correlation=correlation_time(mechanism, poses.parts, poses.metric))
        ask = set(tree.order.tolist())
        for _ in range(sweeps):
            changed: set[int] = set()
            for part in [part for part in tree.order[::-1].tolist() if part in ask]:
                after = _best_change(poses, mechanism, part, candidates)
                changed |= {part} if after is not mechanism else set()
                mechanism = after
            if not changed:
                break
            ask = {near for part in changed for near in neighbourhood(tree, part, 1).tolist()}
            mechanism = fit_mechanism(mechanism, poses.parts, poses.metric)[0]
    return fit_mechanism(mechanism, poses.parts, poses.metric, iterations=100, tolerance=1e-5)[0], poses


def start_mechanism(poses: Poses, tree: RootedTree) -> Mechanism:
    """All joints revolute, each explaining what it can of its own edge; the root is free."""
    joints: list[Joint | None] = [None] * len(tree.parent)
    joints[tree.root] = free(poses.parts[:, tree.root])
    for part in tree.order[1:].tolist():
        parent = joints[tree.parent[part]]
        assert parent is not None
        above = poses.parts[:, tree.parent[part]]
        joints[part] = _joint("revolute", poses, tree, part, above, parent.mount, 0)
    return Mechanism(tree, tuple(joint for joint in joints if joint is not None))


def _joint(
    kind: Kind, poses: Poses, tree: RootedTree, part: int, above: np.ndarray, mount: np.ndarray, choice: int
) -> Joint:
    """`start_joint` of a part, its parent at `above` (T, 4, 4) mounted on its link by `mount`."""
    to_parent = inverse(above)
    learned = poses.joints[:, tree.parent_edge[part]]
    guess = (to_parent[:, :3, :3] @ learned[..., None])[..., 0] + to_parent[:, :3, 3]
    return start_joint(kind, to_parent @ poses.parts[:, part], guess, mount, choice)


def _best_change(poses: Poses, mechanism: Mechanism, part: int, candidates: Candidates) -> Mechanism:
    """With the joint of a part that the criterion prefers, its surroundings fitted again; itself if it has it."""
    around = neighbourhood(mechanism.tree, part)
    window = part_of(mechanism, around, len(poses.parts))
    there = poses.of(around, window.tree, mechanism.tree)
    own, misfit = fit_mechanism(window, there.parts, there.metric, *QUICK)
    best, least = own, there.criterion(own, misfit)
    for candidate in candidates(there, own, int(np.flatnonzero(around == part)[0])):
        goal = (least - there.criterion(candidate, 0.0)) * poses.noise**2 / DIMENSIONS
        if goal > 0:
            fitted, misfit = fit_mechanism(candidate, there.parts, there.metric, *QUICK, goal=goal)
            value = there.criterion(fitted, misfit)
            if value < least:
                best, least = fitted, value
    return mechanism if best is own else put_back(mechanism, best, around)


def _other_kinds(
    poses: Poses, mechanism: Mechanism, part: int, starts: tuple[tuple[Kind, int], ...]
) -> Iterator[Mechanism]:
    """The mechanism with another joint of a part, for every one of `starts` of another kind."""
    tree, old = mechanism.tree, mechanism.joints[part]
    frames, still = len(poses.parts), np.eye(4)
    if part == tree.root:
        if old.kind == "free":
            middle = poses.parts[frames // 2, part]
            yield mechanism.replaced(part, Joint("fixed", middle, still, still, ()))
        return
    parent = tree.parent[part]
    above = part_poses(mechanism, frames)[:, parent]
    for kind, choice in starts:
        if kind != old.kind:
            joint = _joint(kind, poses, tree, part, above, mechanism.joints[parent].mount, choice)
            yield mechanism.replaced(part, joint)


def _other_holds(poses: Poses, mechanism: Mechanism, part: int) -> Iterator[Mechanism]:
    """The mechanism with the axis of a part's joint held at another angle to the axis above, if it is near that."""
    joint = mechanism.joints[part]
    if joint.kind not in AXIAL or not axis_above(mechanism, part):
        return
    slope = abs(joint.offset[2, 2])  # the cosine between the axes
    near: tuple[tuple[Hold, bool], ...] = (
        ("perpendicular", slope < np.sin(HOLD_WITHIN)),
        ("parallel", slope > np.cos(HOLD_WITHIN)),
    )
    for hold, close in near:
        if close and hold != joint.hold:
            yield mechanism.replaced(part, replace(joint, offset=held_offset(joint.offset, hold), hold=hold))


Candidates = Callable[[Poses, Mechanism, int], Iterator[Mechanism]]
