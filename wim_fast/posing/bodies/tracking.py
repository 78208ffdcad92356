"""Bodies follow the surface that they carry: iterated closest points (Besl and McKay 1992), in the learned field.

A body's motion is made of its parts', and parts that lie across a joint draw it along with what is beyond. But which
faces of the surface a body carries is known (`posing/bodies/surface.py`), and in every frame so is the surface: the
body is moved to where its own faces lie on it. Where that leaves a motion open, as about the axis of a round link, it
stays as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch

from wim_fast.model.articulated_model import ArticulatedModel
from wim_fast.model.motion import Motion, posed_at, posed_in, semi_axes_of
from wim_fast.ops.backend import Backend
from wim_fast.posing.bodies.seams import shape_grid
from wim_fast.posing.bodies.structure import BodyStructure
from wim_fast.posing.bodies.surface import (
    INDIFFERENT,
    LEAST_SHARE,
    MOST_OFF,
    Carrying,
    areas,
    carrying,
    costs_of_faces,
    cut,
    held,
)
from wim_fast.posing.rest_frame import least_overlapping
from wim_fast.posing.rigid import exponential, inverse, logarithm, moved, skew

POINTS = 128  # of the surface of each body
LEAST_AREA = 1e-3  # square world units: a body that carries less is left as it is
ROUNDS = 3
SEAM = 1.0  # in world units, see `surface.SEAM`: more, so that a body needs more surface to be one
OUTLYING = 2.0  # widths of the surface: points that are farther off count less (Cauchy's weights)
STAY = 0.02  # what a shift of the points costs, as a share of what one along the normal does
TAP = 0.003  # world units, of the differences that give the normal
AT_ONCE = 64  # frames
CHUNK = 1 << 16  # points at a time
CORNERS = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)


class _Shape(NamedTuple):
    rest: int  # the frame that it is taken from
    vertices: np.ndarray  # (V, 3) world
    faces: np.ndarray  # (F, 3)
    colors: np.ndarray  # (V, 3)
    area: np.ndarray  # (F,)


@dataclass(frozen=True)
class SurfaceTracker:
    """A trained model whose bodies are tracked; `motion`: of its P parts in T frames; `inv_s`: see `SeenJudge`."""

    model: ArticulatedModel
    motion: Motion
    inv_s: float
    backend: Backend

    def tracked(self, poses: np.ndarray, bodies: BodyStructure) -> np.ndarray:
        """The poses (T, P, 4, 4) of the parts, each moved as its body is."""
        found = self._followed(bodies.motion, self._points(bodies))
        change = found @ inverse(bodies.motion)
        return change[:, bodies.body_of_part] @ poses

    def lost(self, bodies: BodyStructure) -> tuple[int, int] | None:
        """A body of which no surface is left, for another takes it along as well, and that other.

        A part of either; None: there is no such body.
        """
        shape = self._shape
        if bodies.count < 2 or not len(shape.faces):
            return None
        carried, body = self._shared_out(bodies)
        costs, area, parts = costs_of_faces(carried, shape.faces), shape.area, bodies.parts()
        share = np.bincount(body, area, bodies.count)
        for lost in np.argsort(share).tolist():
            if share[lost] >= LEAST_SHARE * area.sum():
                break
            own = held(carried, shape.faces, lost) & (body != lost)
            if not own.any():
                continue
            taker = int(np.bincount(body[own], area[own], bodies.count).argmax())
            off = np.minimum(costs[own, taker], MOST_OFF**2) - np.minimum(costs[own, lost], MOST_OFF**2)
            if np.average(off, weights=area[own]) <= INDIFFERENT:
                return parts[lost][0], parts[taker][0]
        return None

    @cached_property
    def _shape(self) -> _Shape:
        """The surface, in the frame in which parts overlap least."""
        rest = least_overlapping(self.motion, semi_axes_of(self.model))
        posed = posed_at(self.model, self.motion, rest)
        with torch.no_grad(), self.backend.computing():
            vertices, faces = shape_grid(self.model, posed, self.backend).zero_crossing()
            at = torch.as_tensor(vertices, dtype=torch.float32, device=self.backend.device)
            here = torch.zeros(len(at), dtype=torch.int32, device=self.backend.device)
            colors = self.model.evaluate(at, here, posed, self.backend, lit=False).rgb.cpu().numpy()
        return _Shape(rest, vertices, faces, colors, areas(vertices, faces))

    def _shared_out(self, bodies: BodyStructure) -> tuple[Carrying, np.ndarray]:
        """What the film tells of the vertices, and the body of each face (F,)."""
        rest, vertices, faces, colors, _ = self._shape
        motion, own = bodies.motion, bodies.body_of_part
        carried = carrying(self.model, self.motion, motion, own, rest, vertices, self.inv_s, self.backend)
        return carried, cut(carried, vertices, faces, colors, SEAM)

    def _points(self, bodies: BodyStructure) -> list[np.ndarray]:
        """Of each body's surface in the rest frame, (n, 3) world; none of a body that hardly has any."""
        shape = self._shape
        if not len(shape.faces):
            return [shape.vertices] * bodies.count
        body = self._shared_out(bodies)[1]
        rng, middle = np.random.default_rng(0), shape.vertices[shape.faces].mean(axis=1)
        points: list[np.ndarray] = []
        for k in range(bodies.count):
            own = np.flatnonzero(body == k)
            whole = shape.area[own].sum()
            some = rng.choice(own, POINTS, p=shape.area[own] / whole) if whole >= LEAST_AREA else own[:0]
            points.append(middle[some])
        return points

    def _followed(self, bodies: np.ndarray, points: list[np.ndarray]) -> np.ndarray:
        """The bodies' motion (T, B, 4, 4) that keeps their points on the surface."""
        found, rest = bodies.copy(), self._shape.rest
        has = [k for k, own in enumerate(points) if len(own)]
        if not has:
            return found
        local = np.stack([moved(inverse(bodies[rest, k]), points[k]) for k in has])  # (B, n, 3)
        shifts = np.concatenate([np.broadcast_to(np.eye(3), (*local.shape, 3)), -skew(local)], axis=-1)
        stay = STAY * np.einsum("bnki,bnkj->bij", shifts, shifts) / local.shape[1]
        for first in range(0, len(found), AT_ONCE):
            frames = slice(first, first + AT_ONCE)
            found[frames, has] = self._drawn(found[frames, has], frames, local, shifts, stay)
        return found

    def _drawn(
        self, start: np.ndarray, frames: slice, local: np.ndarray, shifts: np.ndarray, stay: np.ndarray
    ) -> np.ndarray:
        """Bodies (F, B, 4, 4) in some frames, drawn to the surface: Gauss-Newton steps.

        Args:
            local: (B, n, 3) points of theirs, in the bodies' frames.
            shifts: (B, n, 3, 6) how these move by a twist.
            stay: (B, 6, 6) what a twist away from `start` costs.
        """
        now = start
        for _ in range(ROUNDS):
            distance, normal = self._distances(moved(now[:, :, None], local), frames)
            along = np.einsum("tbji,tbnj->tbni", now[..., :3, :3], normal)  # in the bodies' frames
            slope = np.einsum("tbna,bnai->tbni", along, shifts)
            weight = 1.0 / (1.0 + np.square(distance * self.inv_s / OUTLYING)) / local.shape[1]
            square = np.einsum("tbni,tbnj,tbn->tbij", slope, slope, weight, optimize=True) + stay
            back = np.einsum("bij,tbj->tbi", stay, logarithm(inverse(now) @ start))
            pull = back - np.einsum("tbni,tbn,tbn->tbi", slope, distance, weight)
            now = now @ exponential(np.linalg.solve(square, pull[..., None])[..., 0])
        return now

    @torch.no_grad()
    def _distances(self, points: np.ndarray, frames: slice) -> tuple[np.ndarray, np.ndarray]:
        """Signed distance (F, B, n) of points (F, B, n, 3) from the surface in each frame, and its gradient."""
        device, posed = self.backend.device, posed_in(self.model, self.motion.at(frames))
        taps = points[..., None, :] + TAP * CORNERS
        frame = np.broadcast_to(np.arange(len(points))[:, None, None, None], taps.shape[:-1])
        at = torch.as_tensor(taps.reshape(-1, 3), dtype=torch.float32, device=device)
        ids = torch.as_tensor(frame.reshape(-1), dtype=torch.int32, device=device)
        with self.backend.computing():
            some = zip(at.split(CHUNK), ids.split(CHUNK), strict=True)
            sdf = torch.cat([self.model.signed_distance(x, i, posed, self.backend) for x, i in some])
        corner = sdf.double().cpu().numpy().reshape(taps.shape[:-1])
        return corner.mean(axis=-1), 0.75 / TAP * corner @ CORNERS
