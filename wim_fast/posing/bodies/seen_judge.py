"""How much of what is seen of a model changes where some of its parts move otherwise than they were learned.

No film is needed: parallel rays look at the model from all around. A part that is hidden, or that turns about an axis
round which it looks the same, changes nothing, however its pose differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from wim_fast.model.articulated_model import ArticulatedModel
from wim_fast.model.motion import semi_axes_of
from wim_fast.ops.backend import Backend
from wim_fast.posing.bodies.unions import Moved, Trial
from wim_fast.recordings.selection import evenly
from wim_fast.rendering.rays import BAND_SIGMOIDS, Rays, image_ids, sample_divisions, shown_samples

LOOKS = 10  # frames, spread over the film
DIRECTIONS = 8  # in each of them
GRID = 20  # rays along a side of each picture
RAYS = 512  # in each frame, of those near the object
CHUNK = 1 << 15  # rays at a time
ROOM = 24  # samples per ray, on average, that arrays of fixed size have room for at first
ASTRAY = 10.0  # times as far from the middle as other parts are: not looked at
OPAQUE = 0.5  # a ray that sees so much of the object is one that meets it


class _Seen(NamedTuple):
    color: Tensor  # (R, 4) on white, and opacity
    nearest: Tensor  # (S,) part at each sample
    ray_ids: Tensor  # (S,)
    is_near: Tensor  # (S,) bool, the surface


class SeenJudge:
    """Judges motions by the mean squared change of what rays see: three colours on white, and opacity.

    The mean is over the rays that meet the object where all parts are as they were learned. See `unions.Judge`.
    """

    def __init__(self, model: ArticulatedModel, poses: np.ndarray, inv_s: float, backend: Backend) -> None:
        """
        Args:
            poses: (T, P, 4, 4) of the parts as they were learned.
            inv_s: sharpness s of the surface, 1 / world units.
        """
        self.model, self.inv_s, self.backend = model, inv_s, backend
        self.frames = evenly(range(len(poses)), LOOKS)
        self.poses = poses[self.frames]
        rng = np.random.default_rng(0)
        rays = parallel_rays(self.poses[..., :3, 3], semi_axes_of(model).max(axis=1), rng)
        rays = Rays(*(x.to(backend.device) for x in rays))
        seen = self._look(rays, self.poses)
        self.sees = np.zeros((len(rays.origins), poses.shape[1]), bool)  # rays, parts
        self.sees[tuple(x[seen.is_near].cpu().numpy() for x in (seen.ray_ids, seen.nearest))] = True
        near = np.flatnonzero(self.sees.any(axis=1))
        near = np.sort(rng.permutation(near)[: RAYS * len(self.frames)])
        self.rays, self.sees = _rays_at(rays, near), self.sees[near]
        self.color = seen.color[torch.from_numpy(near).to(backend.device)]
        self.change = np.zeros(len(near))  # squared, of each ray
        self.met = max(int((self.color[:, 3] > OPAQUE).sum()), 1)

    def trials(self, moved: Sequence[Moved]) -> list[Trial]:
        """See `unions.Judge`; poses in the T frames that this was made of."""
        rays = [np.flatnonzero(self.sees[:, parts].any(axis=1)) for parts, _ in moved]
        chunks = _chunks([len(rows) for rows in rays])
        return [trial for some in chunks for trial in self._trials(moved[some], rays[some])]

    def _trials(self, moved: Sequence[Moved], rays: Sequence[np.ndarray]) -> Iterator[Trial]:
        """Each motion as those of the `rays` see it that see its parts."""
        poses = np.tile(self.poses, (len(moved), 1, 1, 1, 1))
        for own, (parts, there) in zip(poses, moved, strict=True):
            own[:, parts] = there[self.frames]
        sizes = [len(rows) for rows in rays]
        rows, copy = np.concatenate(rays), np.repeat(np.arange(len(moved)), sizes)
        change = self._change(rows, copy, poses)
        for motion, own_rows, own in zip(moved, rays, np.split(change, np.cumsum(sizes)[:-1]), strict=True):
            yield Trial(float((own - self.change[own_rows]).sum()) / self.met, (motion, own_rows, own))

    def take(self, trial: Trial) -> None:
        """See `unions.Judge`."""
        (parts, poses), rows, change = trial.state
        self.poses[:, parts] = poses[self.frames]
        self.change[rows] = change

    def _change(self, rows: np.ndarray, copy: np.ndarray, poses: np.ndarray) -> np.ndarray:
        """(N,) squared, of rays `rows` (N,), where they see number `copy` (N,) of some poses (M, F, P, 4, 4)."""
        if not len(rows):
            return np.zeros(0)
        rays, pose = _rays_at(self.rays, rows), torch.from_numpy(len(self.frames) * copy)
        rays = rays._replace(pose_ids=rays.pose_ids + pose.to(rays.pose_ids))
        seen = self._look(rays, poses.reshape(-1, *self.poses.shape[1:]))
        before = self.color[torch.from_numpy(rows).to(self.color.device)]
        return (seen.color - before).square().sum(1).double().cpu().numpy()

    @torch.no_grad()
    def _look(self, rays: Rays, poses: np.ndarray) -> _Seen:
        """What rays see of parts in poses (F, P, 4, 4)."""
        backend, count = self.backend, len(rays.origins)
        posed = self.model.posed(
            *(torch.from_numpy(x).float().to(backend.device) for x in (poses[..., :3, :3], poses[..., :3, 3]))
        )
        middle = torch.full((count,), 0.5, device=backend.device)
        divisions = sample_divisions(self.inv_s)
        room = ROOM * count if backend.needs_capacity else None
        with backend.computing():
            while True:
                samples, _ = shown_samples(
                    self.model, posed, rays, middle, self.inv_s, divisions, backend, room, room
                )
                if room is None or not int(samples.overflow):
                    break
                room += int(samples.overflow)
            values = self.model.evaluate(samples.points, samples.pose_ids, posed, backend)
            seen = backend.composite(values.sdf, values.rgb, samples.t, samples.offsets, self.inv_s)
        white = 1 - seen.opacity[:, None]
        per_ray = samples.offsets.diff()
        ray_ids = torch.repeat_interleave(per_ray)
        rows = len(ray_ids)  # the others are padding
        return _Seen(
            torch.cat([seen.rgb + white, seen.opacity[:, None]], 1),
            values.nearest_part[:rows].long(),
            ray_ids,
            values.sdf[:rows] < BAND_SIGMOIDS / self.inv_s,
        )


def parallel_rays(centers: np.ndarray, radii: np.ndarray, rng: np.random.Generator) -> Rays:
    """Rays that look at balls from all around, in each frame from other directions; but not at those that are astray.

    Args:
        centers: (F, P, 3) world.
        radii: (P,) world units.
    """
    origins, directions = [], []
    cells = np.stack(np.meshgrid(np.arange(GRID), np.arange(GRID), indexing="ij"), axis=-1).reshape(-1, 2)
    for frame in centers:
        away = np.linalg.norm(frame - np.median(frame, axis=0), axis=1)
        here = away <= ASTRAY * np.median(away)
        for axes in Rotation.random(random_state=rng).as_matrix() @ _frames_around(DIRECTIONS):
            there, reach = frame[here] @ axes, radii[here, None]  # (P, 3) across, down and along the rays
            low, high = (there - reach).min(axis=0), (there + reach).max(axis=0)
            across = low[:2] + (high - low)[:2] * (cells + rng.random(cells.shape)) / GRID
            start = np.concatenate([across, np.full((len(across), 1), low[2])], axis=1)
            origins.append(start @ axes.T)
            directions.append(np.broadcast_to(axes[:, 2], start.shape))

    def tensor(rows: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.concatenate(rows)).float()

    pose_ids = image_ids(len(centers), DIRECTIONS * GRID**2, torch.device("cpu"))
    return Rays(tensor(origins), tensor(directions), pose_ids)


def _frames_around(count: int) -> np.ndarray:
    """(N, 3, 3) right-handed frames whose third axes, their last columns, are spread over the sphere."""
    height = 1 - (2 * np.arange(count) + 1) / count
    turn = np.pi * (1 + 5**0.5) * (np.arange(count) + 0.5)
    return (
        Rotation.from_euler("z", turn[:, None]) * Rotation.from_euler("y", np.arccos(height)[:, None])
    ).as_matrix()


def _rays_at(rays: Rays, rows: np.ndarray) -> Rays:
    at = torch.from_numpy(rows).to(rays.origins.device)
    return Rays(*(x[at] for x in rays))


def _chunks(sizes: Sequence[int]) -> Iterator[slice]:
    """One after the other: together as many as `CHUNK` allows, at least one."""
    first = total = 0
    for position, size in enumerate(sizes):
        if position > first and total + size > CHUNK:
            yield slice(first, position)
            first, total = position, 0
        total += size
    if sizes:
        yield slice(first, len(sizes))
