"""Which parts carry which point of the surface, and where they carry it: linear blend skinning by rigid parts.

The field moves by a smooth union of rigid parts, which no skinning repeats exactly. The weights start from the
model's own in the rest frame (paper section 3.3), as wide as rendering needs them; the film says more: over its
frames, the parts that carry a point rightly keep it on the surface. On a dog this halves the distance of posed
vertices from the field's surface (docs/results.md). Of rigid bodies it says which of them carries each face, and
weights are those of the faces around.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from scipy.sparse import coo_array

from wim_fast.model.articulated_model import Posed
from wim_fast.model.motion import Motion, posed_at
from wim_fast.posing.bodies.surface import Carrying, carrying, share_out
from wim_fast.posing.rigid import rigid
from wim_fast.posing.skeleton import Skeleton
from wim_fast.recordings.selection import evenly
from wim_fast.runs.trained_model import TrainedModel

INFLUENCES = 4  # parts that carry a vertex, at most: what glTF and game engines read
FRAMES = 16  # that are asked which part carries a point, spread over the film
APART = (
    0.1  # world units: parts that carry a point farther apart than that (rms) only lie side by side at rest
)
SMOOTHING = 10  # times that weights are averaged with those of the neighbours
CHUNK = 1 << 18  # points at a time
FAINT = 1e-30  # so that a sum of weights is never 0


def rigid_motions(motion: Motion, rest: Motion) -> Motion:
    """How every part moves the world from its place in `rest` (T = 1) to each of T poses: x -> rotation x + translation."""
    rotation = motion.rotation @ rest.rotation.swapaxes(-1, -2)
    return Motion(rotation, motion.translation - (rotation @ rest.translation[..., None])[..., 0])


def skinned(points: np.ndarray, ids: np.ndarray, weights: np.ndarray, moves: Motion) -> np.ndarray:
    """Points (V, 3) of the rest frame, carried by bones (V, K) with weights (V, K): (T, V, 3).

    moves: T rigid motions of B bones, as of `rigid_motions`.
    """
    return np.stack([_carried(points, ids, moves, t, weights) for t in range(len(moves))])


def bind(
    run: TrainedModel, rest: int, vertices: np.ndarray, faces: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Parts (V, 4) int32 and weights (V, 4) float32, falling, sum 1, of a surface in the frame `rest`.

    A part's weight is the model's times exp(-(e^2 / s^2 + d^2 / D^2) / 2): e is the field's signed distance where
    the part carries the vertex, rms over frames, s the width of the surface that was trained (1 / inv_s), d the
    distance to where the likeliest part carries it, D `APART`. Then neighbours are averaged.
    """
    ids, weights = model_weights(run, posed_at(run.model, run.motion, rest), vertices)
    frames = evenly(range(len(run.motion)), FRAMES)
    moves = rigid_motions(run.motion.at(frames), run.motion.at([rest]))
    off, places = _off_the_surface(run, vertices, ids, moves, frames)
    likely = np.log(np.maximum(weights, FAINT)) - 0.5 * np.square(off * run.inv_s)
    best = places[:, np.arange(len(ids)), likely.argmax(axis=1)]
    apart = np.square(places - best[:, :, None]).sum(axis=-1).mean(axis=0)
    weights = np.exp(np.maximum(likely - 0.5 * apart / APART**2, np.log(FAINT))) * (weights > 0)
    return smoothed(dense(ids, weights / weights.sum(axis=1, keepdims=True), len(run.semi_axes)), faces)


def bind_to_bodies(
    run: TrainedModel,
    skeleton: Skeleton,
    rest: int,
    vertices: np.ndarray,
    faces: np.ndarray,
    colors: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Bodies (V, 4) int32 and weights (V, 4) float32, as `bind` has them of parts: of the faces round each vertex.

    colors: (V, 3) in [0, 1].
    """
    body = share_out(carried_by(run, skeleton, rest, vertices), vertices, faces, colors)
    own = np.zeros((len(vertices), max(skeleton.count, INFLUENCES)))
    np.add.at(own, (faces, body[:, None]), 1.0)
    return smoothed(own / own.sum(axis=1, keepdims=True), faces)


def carried_by(run: TrainedModel, skeleton: Skeleton, rest: int, vertices: np.ndarray) -> Carrying:
    """What the film tells of which node of a skeleton carries which vertex (V, 3) of the frame `rest`.

    A link whose motion was told by its hinges carries what suits that motion, and what suits the learned one: the model's
    surface was shaped by it.
    """
    nodes, of_part = rigid(skeleton.motion.rotation, skeleton.motion.translation), skeleton.node_of_part
    was = skeleton.learned
    learned = None if was is None else rigid(was.rotation, was.translation)
    return carrying(run.model, run.motion, nodes, of_part, rest, vertices, run.inv_s, run.backend, learned)


@torch.no_grad()
def model_weights(run: TrainedModel, posed: Posed, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest parts (N, K) at world points (N, 3) of a pose (F = 1), and their weights (N, K); K <= 4."""
    count = min(INFLUENCES, len(run.semi_axes))
    lookup = run.backend.articulated_lookup
    found = [lookup(x, pose_ids, *posed, count) for x, pose_ids in chunks(run, points)]
    ids = np.concatenate([part.part_ids.cpu().numpy() for part in found])
    weights = np.concatenate([part.part_weights.cpu().numpy() for part in found]).astype(np.float64)
    return ids, weights


def chunks(run: TrainedModel, points: np.ndarray) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Points (N, 3) on the backend's device, some at a time, and pose 0 for each of them."""
    for some in torch.as_tensor(points, dtype=torch.float32, device=run.backend.device).split(CHUNK):
        yield some, torch.zeros(len(some), dtype=torch.int32, device=some.device)


def dense(ids: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """Weights (V, K) of `ids` (V, K) as (V, N) of all bones, at least `INFLUENCES` of them; repeated ones added up."""
    out = np.zeros((len(ids), max(count, INFLUENCES)))
    np.add.at(out, (np.arange(len(ids))[:, None], ids), weights)
    return out


def smoothed(weights: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (V, N) averaged with those of neighbours in the mesh; bones and weights of the largest four, see `bind`."""
    count = len(weights)
    edges = np.concatenate(
        [faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]
    )  # both ways in a closed mesh
    joined = coo_array((np.ones(len(edges)), tuple(edges.T)), shape=(count, count)).tocsr()
    neighbours = np.maximum(joined.sum(axis=1), 1)[:, None]
    for _ in range(SMOOTHING):
        weights = 0.5 * (weights + joined @ weights / neighbours)
    order = np.argsort(-weights, axis=1, kind="stable")[:, :INFLUENCES]
    largest = np.take_along_axis(weights, order, axis=1)
    order = np.where(largest > 0, order, order[:, :1])
    largest /= largest.sum(axis=1, keepdims=True)
    return order.astype(np.int32), largest.astype(np.float32)


@torch.no_grad()
def _off_the_surface(
    run: TrainedModel, points: np.ndarray, ids: np.ndarray, moves: Motion, frames: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Where each part alone carries a point in each frame, (T, N, K, 3), and its distance from the surface there.

    The signed distance is (N, K), rms over the frames.
    """
    places = np.stack(
        [
            np.stack([_carried(points, ids[:, [k]], moves, t) for k in range(ids.shape[1])], axis=1)
            for t in range(len(moves))
        ]
    ).astype(np.float32)
    square = np.zeros(ids.shape)
    for place, frame in zip(places, frames, strict=True):
        posed = posed_at(run.model, run.motion, frame)
        at = chunks(run, place.reshape(-1, 3))
        sdf = torch.cat([run.model.signed_distance(x, pose, posed, run.backend) for x, pose in at])
        square += np.square(sdf.cpu().numpy().reshape(ids.shape))
    return np.sqrt(square / len(frames)), places


def _carried(
    points: np.ndarray, ids: np.ndarray, moves: Motion, t: int, weights: np.ndarray | None = None
) -> np.ndarray:
    """(N, 3) the mean, by weights (N, K), of where bones (N, K) carry points in pose `t`; of one bone without."""
    total = np.zeros((len(points), 3))
    for k in range(ids.shape[1]):
        rotation, translation = moves.rotation[t][ids[:, k]], moves.translation[t][ids[:, k]]
        place = np.einsum("nij,nj->ni", rotation, points) + translation
        total += place if weights is None else weights[:, [k]] * place
    return total
