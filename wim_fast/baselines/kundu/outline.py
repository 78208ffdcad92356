"""A soft mask of a mesh that knows how it changes when vertices move: sigmoid of the signed distance to the outline.

A rasteriser says which pixels the mesh covers. The outline is made of pieces of those edges at which the surface turns
away and beyond which nothing is covered; every pixel's distance to the nearest piece has a gradient to the two vertices
of its edge. So a step costs one rasterisation and one distance a pixel, whatever the number of faces.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wim_fast.ops.compiled import kernel

PIECE = 2.0  # pixels: edges are divided into pieces that are no longer, for part of an edge may be hidden
BESIDE = 1.0  # pixels from a piece of the outline to where nothing is covered
REACH = 6.0  # times the softness: farther pixels are covered or not, without gradient


class Edges(NamedTuple):
    """The E edges of a mesh."""

    ends: np.ndarray  # (E, 2) vertices
    sides: np.ndarray  # (E, 2) faces; -1 where there is only one


class Outline(NamedTuple):
    """S pieces of edges in a picture."""

    ends: np.ndarray  # (S, 2) vertices of the edge
    span: np.ndarray  # (S, 2) where on it the piece begins and ends, shares in [0, 1]


def mesh_edges(faces: np.ndarray) -> Edges:
    """Of faces (F, 3). An edge of three faces and more counts as one of the first two."""
    ends = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    owner = np.tile(np.arange(len(faces)), 3)
    unique, edge = np.unique(ends, axis=0, return_inverse=True)
    order = np.argsort(edge.reshape(-1), kind="stable")
    first = np.searchsorted(edge.reshape(-1)[order], np.arange(len(unique)))
    count = np.diff(np.append(first, len(order)))
    second = np.where(count > 1, owner[order[np.minimum(first + 1, len(order) - 1)]], -1)
    return Edges(unique, np.stack([owner[order[first]], second], axis=1))


def find_outline(pixels: np.ndarray, faces: np.ndarray, edges: Edges, covered: np.ndarray) -> Outline:
    """The pieces of edges that bound what is covered.

    Args:
        pixels: (V, 2) where vertices are in the picture, all in front of the camera.
        covered: (H, W) bool, pixels whose centres a face covers.
    """
    a, b, c = (pixels[faces[:, k]] for k in range(3))
    left = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0]) > 0
    turns = (edges.sides[:, 1] < 0) | (left[edges.sides[:, 0]] != left[edges.sides[:, 1]])
    ends = edges.ends[turns]
    start, along = pixels[ends[:, 0]], pixels[ends[:, 1]] - pixels[ends[:, 0]]
    length = np.linalg.norm(along, axis=1)
    near = (length > 0) & _in_view(start, along, covered.shape)
    ends, start, along, length = ends[near], start[near], along[near], length[near]
    pieces = np.ceil(length / PIECE).astype(np.int64)
    of = np.repeat(np.arange(len(ends)), pieces)
    number = np.arange(len(of)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    span = np.stack([number, number + 1], axis=1) / pieces[of, None]
    middle = start[of] + span.mean(axis=1, keepdims=True) * along[of]
    aside = BESIDE * np.stack([-along[:, 1], along[:, 0]], axis=1)[of] / length[of, None]
    bounds = ~_covered_at(covered, middle + aside) | ~_covered_at(covered, middle - aside)
    return Outline(ends[of[bounds]], span[bounds])


def _in_view(start: np.ndarray, along: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Which edges (N, 2) may be seen: one much outside would be divided into many pieces for nothing."""
    low, high = np.minimum(start, start + along), np.maximum(start, start + along)
    margin = max(size)
    return ((high > -margin) & (low < np.array(size[::-1]) + margin)).all(axis=1) & (
        np.linalg.norm(along, axis=1) < 4 * margin
    )


def _covered_at(covered: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Whether the pixels at (N, 2) are covered; beyond the border of the picture as at the border."""
    height, width = covered.shape
    x, y = np.floor(pixels).astype(np.int64).T
    return covered[y.clip(0, height - 1), x.clip(0, width - 1)]


def soft_mask(pixels: Tensor, outline: Outline, covered: np.ndarray, softness: float) -> Tensor:
    """(H, W) coverage: sigmoid of the distance (pixels) to the outline, inside positive, over `softness`.

    Args:
        pixels: (V, 2) where vertices are, the pixel centres at + 0.5; gradients go to them.
        covered: (H, W) bool.
    """
    height, width = covered.shape
    hard = torch.from_numpy(covered).to(pixels)
    if not len(outline.ends):
        return hard
    ends = torch.from_numpy(outline.ends).to(pixels.device)
    span = torch.from_numpy(outline.span).to(pixels)
    corners = pixels[ends]  # (S, 2, 2)
    begin, end = ((1 - t) * corners[:, 0] + t * corners[:, 1] for t in (span[:, :1], span[:, 1:]))
    nearest, distance = np.zeros(covered.shape, np.int64), np.full(covered.shape, np.inf)
    reach = REACH * softness
    _find_nearest(*(x.detach().double().cpu().numpy() for x in (begin, end)), reach, nearest, distance)
    band = np.flatnonzero(distance.reshape(-1) < reach)
    at = torch.from_numpy(np.stack([band % width, band // width], axis=1)).to(pixels) + 0.5
    piece = torch.from_numpy(nearest.reshape(-1)[band]).to(pixels.device)
    begin, along = begin[piece], (end - begin)[piece]
    share = ((at - begin) * along).sum(-1) / along.square().sum(-1).clamp_min(1e-12)
    off = at - begin - share.clamp(0, 1)[:, None] * along
    away = (off.square().sum(-1) + 1e-12).sqrt()
    where = torch.from_numpy(band).to(pixels.device)
    sign = 2 * hard.flatten()[where] - 1
    return hard.flatten().index_put((where,), torch.sigmoid(sign * away / softness)).view(height, width)


@partial(kernel, parallel=False)
def _find_nearest(begin, end, reach, nearest, distance):  # type: ignore[no-untyped-def]
    """For every pixel the nearest of S pieces (S, 2) that is within reach, and how far it is; infinitely far: none."""
    height, width = nearest.shape
    for s in range(len(begin)):
        ax, ay = begin[s]
        dx, dy = end[s, 0] - ax, end[s, 1] - ay
        square = max(dx * dx + dy * dy, 1e-12)
        left, right = max(0, int(min(ax, ax + dx) - reach)), min(width - 1, int(max(ax, ax + dx) + reach))
        top, bottom = max(0, int(min(ay, ay + dy) - reach)), min(height - 1, int(max(ay, ay + dy) + reach))
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                x, y = column + 0.5 - ax, row + 0.5 - ay
                share = min(max((x * dx + y * dy) / square, 0.0), 1.0)
                away = np.sqrt((x - share * dx) ** 2 + (y - share * dy) ** 2)
                if away < distance[row, column]:
                    distance[row, column] = away
                    nearest[row, column] = s
