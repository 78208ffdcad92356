"""Which body carries which face of the surface: motion segmentation of what was learned, by a cut.

An ellipsoid does not end where a link ends: a part of the thigh reaches into the shank, and its features shape both.
The film knows better. A face that a body takes along through the frames stays on the learned surface if the body
carries it, and else leaves it, or sinks into it. Where nothing moves that could tell, at a joint's round housing, the
seam between two bodies is as short as may be, and lies where the colour changes, as seams do.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from wim_fast.model.articulated_model import ArticulatedModel
from wim_fast.model.motion import Motion, posed_in
from wim_fast.ops.articulated.reference import MAX_CANDIDATES
from wim_fast.ops.backend import Backend
from wim_fast.posing.bodies.graph_cut import alpha_expansion
from wim_fast.posing.rigid import inverse, moved
from wim_fast.recordings.selection import evenly

LOOKS = 16  # frames, spread over the film
MOST_OFF = 4.0  # widths of the surface: farther off is no worse
COLOR = 100.0  # a squared change of colour by 0.01 counts as much as one width
SEAM = 0.25  # world units: a seam costs as much as so much surface for each unit of its length that is one width off
CONTRAST = 0.05  # where colours differ so much, a seam is e times cheaper
LEAST_SHARE = 0.003  # of the surface: a body that is left with less keeps what its parts hold,
INDIFFERENT = 0.5  # of that, what is off by no more than so many squared widths more than with another body
CHUNK = 1 << 16  # points at a time


class Carrying(NamedTuple):
    """What tells which of B bodies carries V vertices.

    Attributes:
        costs: (V, B) how far a vertex leaves the surface, and changes its colour, if a body takes it along: mean
            square over frames, in widths of the surface; inf of bodies without a part that matters there.
        nearest: (V,) the body of the nearest part.
    """

    costs: np.ndarray
    nearest: np.ndarray

    def united(self, group: np.ndarray) -> Carrying:
        """Of groups of bodies, each of which carries what one of its bodies does; `group` (B,) 0..G-1."""
        costs = np.full((len(self.costs), group.max() + 1), np.inf)
        np.minimum.at(costs.T, group, self.costs.T)
        return Carrying(costs, group[self.nearest])


@torch.no_grad()
def carrying(
    model: ArticulatedModel,
    motion: Motion,
    bodies: np.ndarray,
    body_of_part: np.ndarray,
    rest: int,
    vertices: np.ndarray,
    inv_s: float,
    backend: Backend,
    learned: np.ndarray | None = None,
) -> Carrying:
    """What the film tells of vertices. A body carries what suits its motion, or the one that was learned.

    Args:
        motion: of the P parts, in T frames.
        bodies: (T, B, 4, 4) body to world.
        body_of_part: (P,).
        rest: the frame in which the vertices are.
        vertices: (V, 3) world.
        inv_s: sharpness of the surface, 1 / world units.
        learned: (T, B, 4, 4) as `bodies`.
    """
    of_way = np.arange(bodies.shape[1])  # the body that moves so
    if learned is not None:
        others = np.flatnonzero((learned != bodies).any(axis=(0, 2, 3)))
        bodies, of_way = np.concatenate([bodies, learned[:, others]], axis=1), np.append(of_way, others)
    frames = [rest, *evenly(range(len(motion)), LOOKS)]
    posed = posed_in(model, motion.at(frames))

    def points(values: np.ndarray, position: int) -> tuple[torch.Tensor, torch.Tensor]:
        at = torch.as_tensor(values, dtype=torch.float32, device=backend.device)
        return at, torch.full((len(at),), position, dtype=torch.int32, device=backend.device)

    with backend.computing():
        count = min(MAX_CANDIDATES, len(body_of_part))
        lookup = backend.articulated_lookup(*points(vertices, 0), *posed, count)
        near = body_of_part[lookup.part_ids.cpu().numpy()]
        asked = np.zeros((len(vertices), of_way.max() + 1), bool)
        asked[np.arange(len(vertices))[:, None], near] = True
        vertex, way = np.nonzero(asked[:, of_way])
        total, before = np.zeros(len(vertex)), np.zeros((len(vertex), 3))
        for position, frame in enumerate(frames):
            there = moved((bodies[frame] @ inverse(bodies[rest]))[way], vertices[vertex])
            some = zip(*(x.split(CHUNK) for x in points(there, position)), strict=True)
            values = [model.evaluate(x, ids, posed, backend, lit=False) for x, ids in some]
            rgb = torch.cat([part.rgb for part in values]).double().cpu().numpy()
            if position == 0:
                before = rgb
                continue
            off = torch.cat([part.sdf for part in values]).double().cpu().numpy() * inv_s
            total += np.minimum(np.square(off), MOST_OFF**2) + COLOR * np.square(rgb - before).sum(axis=1)
    costs = np.full(asked.shape, np.inf)
    np.minimum.at(costs, (vertex, of_way[way]), np.minimum(total / (len(frames) - 1), MOST_OFF**2))
    return Carrying(costs, near[:, 0])


def share_out(carried: Carrying, vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """(F,) the body of each face, as `cut` has it, but that no body which may carry something goes without.

    See `LEAST_SHARE`. Arguments as for `cut`.
    """
    body = cut(carried, vertices, faces, colors, SEAM)
    costs, area = costs_of_faces(carried, faces), areas(vertices, faces)
    least = costs[np.arange(len(faces)), body]
    share = np.bincount(body, area, costs.shape[1])
    for lost in np.flatnonzero(share < LEAST_SHARE * area.sum()).tolist():
        body[held(carried, faces, lost) & (costs[:, lost] <= least + INDIFFERENT)] = lost
    return body


def cut(
    carried: Carrying, vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray, seam: float
) -> np.ndarray:
    """(F,) the body of each face: the least sum of what faces cost, by area, and of seams, by length.

    Args:
        carried: of the vertices.
        vertices: (V, 3) world.
        faces: (F, 3).
        colors: (V, 3) in [0, 1].
        seam: see `SEAM`.
    """
    pairs, ends = neighbours(faces)
    length = np.linalg.norm(vertices[ends[:, 0]] - vertices[ends[:, 1]], axis=1)
    change = np.square(np.diff(colors[faces].mean(axis=1)[pairs], axis=1)[:, 0]).sum(axis=1)
    costs = areas(vertices, faces)[:, None] * costs_of_faces(carried, faces)
    return alpha_expansion(costs, pairs, seam * length * np.exp(-change / CONTRAST**2))


def held(carried: Carrying, faces: np.ndarray, body: int) -> np.ndarray:
    """(F,) whether a body's parts are the nearest to most corners of a face."""
    return 2 * (carried.nearest[faces] == body).sum(axis=1) > faces.shape[1]


def costs_of_faces(carried: Carrying, faces: np.ndarray) -> np.ndarray:
    """(F, B) means of their corners'; inf where a body may carry none of them."""
    of_corners = carried.costs[faces]
    may = np.isfinite(of_corners)
    return np.where(may.any(axis=1), np.where(may, of_corners, MOST_OFF**2).mean(axis=1), np.inf)


def areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F,) of triangles."""
    first, second, third = np.swapaxes(vertices[faces], 0, 1)
    return 0.5 * np.linalg.norm(np.cross(second - first, third - first), axis=1)


def neighbours(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Faces that share an edge, (E, 2), and the two vertices of that edge, (E, 2)."""
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    of_face = np.tile(np.arange(len(faces)), 3)
    order = np.lexsort(edges.T)
    edges, of_face = edges[order], of_face[order]
    same = (edges[1:] == edges[:-1]).all(axis=1)
    return np.stack([of_face[:-1][same], of_face[1:][same]], axis=1), edges[1:][same]
