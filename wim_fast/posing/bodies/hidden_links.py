"""Links that hide in a joint: bodies that turn against each other about two axes have a third one between them.

The housing of a hip turns about an axis round which it looks the same, so that nothing seen is lost if it goes with
the trunk, or with the thigh. But the thigh tells: it turns about the hip's axis and about its own. So joints are taken
to be hinges. Where one that is fitted to the learned motion changes more of what is seen than a body is worth, and two
hinges whose axes meet change little, there is a link between the two bodies, and the part nearest to where the axes
meet is what shows of it. A ball, or a spine that bends everywhere, is no pair of hinges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wim_fast.posing.bodies.pairs import BodyPair, take_bodies
from wim_fast.posing.bodies.structure import BodyStructure
from wim_fast.posing.bodies.unions import Judge, Moved
from wim_fast.posing.joints.mechanism import part_poses
from wim_fast.posing.rigid import carried

LEFT = 0.25
"""Two hinges may leave so much of what one changes: a ball leaves more."""

LEAST_ANGLE = 30.0
"""Degrees between two axes. Nearly parallel ones meet anywhere, and are a hinge that slips."""

WORTH = 1.5
"""A link must save so many times what a body is worth: it is told by how others move, and their poses have errors."""

SHOWN = 0.5
"""A part is the link's if it changes no more, as it moves with it, than such a share of what the link saves."""

REACH = 2.0
"""So many of its largest semi-axes from the joint, at most, is the middle of the part that is the link's."""


@dataclass(frozen=True)
class HiddenLink:
    """A link between two bodies. World frame and units.

    Attributes:
        part: all that is seen of it.
        between: a part of either body, those nearest to the joint; first of the body that `part` is of otherwise.
        poses: (T, 4, 4) of the part as the link moves it.
        joint: (T, 3) where the axes meet.
        saving: so much more of what is seen changes without it.
    """

    part: int
    between: tuple[int, int]
    poses: np.ndarray
    joint: np.ndarray
    saving: float


def find_hidden_links(
    poses: np.ndarray,
    semi_axes: np.ndarray,
    bodies: BodyStructure,
    judge: Judge,
    some: Sequence[int],
    worth: float,
) -> list[HiddenLink]:
    """The links that hide in the joints of a tree, each with a part of its own.

    Args:
        poses: (T, P, 4, 4) part to world.
        semi_axes: (P, 3).
        judge: of parts in frames `some`.
        worth: a body more must save so much of what is seen.
    """
    take_bodies(judge, poses, bodies, some)
    edges = zip(bodies.edges.tolist(), bodies.joints.swapaxes(0, 1), strict=True)
    pairs = [BodyPair.of(poses, bodies, first, second, joint) for (first, second), joint in edges]
    hinges = [part_poses(pair.fitted("revolute", 0, some)[0], len(some)) for pair in pairs]
    lost = [trial.cost for trial in judge.trials([p.moved(m) for p, m in zip(pairs, hinges, strict=True)])]
    found: list[HiddenLink] = []
    least = WORTH * worth
    for k in np.argsort(lost)[::-1].tolist():
        link = _link(pairs[k], lost[k], poses, semi_axes, found, judge, some) if lost[k] >= least else None
        if link is not None and link.saving >= least:
            found.append(link)
    return found


def _link(
    pair: BodyPair,
    lost: float,
    poses: np.ndarray,
    semi_axes: np.ndarray,
    others: Sequence[HiddenLink],
    judge: Judge,
    some: Sequence[int],
) -> HiddenLink | None:
    """The link between two bodies of which a hinge has `lost` so much of what is seen; `others` keep what they have."""
    mechanism = pair.universal(some)
    saving = lost - judge.trials([pair.moved(part_poses(mechanism, len(some)))])[0].cost
    angle = np.degrees(np.arccos(np.clip(mechanism.joints[1].between[2, 2], -1.0, 1.0)))
    taken = {link.part for link in others}
    kept = {part for link in others for part in link.between}
    members = [[part for part in own if part not in taken] for own in pair.parts]
    parts = [part for own in members if len(own) > 1 for part in own if part not in kept]
    if saving < (1 - LEFT) * lost or not LEAST_ANGLE <= angle <= 180.0 - LEAST_ANGLE:
        return None
    motion = pair.link_between(mechanism, some)
    joint = motion[:, :3, 3]
    away = np.linalg.norm(poses[:, :, :3, 3] - joint[:, None], axis=2).mean(axis=0)
    parts = sorted((p for p in parts if away[p] <= REACH * semi_axes[p].max()), key=away.__getitem__)
    with_link = carried(motion[:, None], poses[:, parts])
    changes = judge.trials([Moved([part], with_link[some, [k]][:, None]) for k, part in enumerate(parts)])
    at = next((k for k, change in enumerate(changes) if change.cost <= SHOWN * saving), None)
    if at is None:
        return None
    members.sort(key=lambda own: parts[at] not in own)
    own, other = (min((p for p in parts_of if p != parts[at]), key=away.__getitem__) for parts_of in members)
    return HiddenLink(parts[at], (own, other), with_link[:, at], joint, saving)
