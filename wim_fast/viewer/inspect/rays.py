"""What happens along rays: the samples that are taken, what they weigh, and what empty-space skipping would lose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, pad

from wim_fast.model.articulated_model import Posed
from wim_fast.ops.samples.reference import RaySamples
from wim_fast.recordings.cameras import Cameras
from wim_fast.rendering.rays import STEP_SIGMOIDS, RayCameras, Rays, sample_rays
from wim_fast.viewer.inspect.culling import part_intervals, spans, within_spans
from wim_fast.viewer.inspect.grid import FrameGrid, cells_on_ray
from wim_fast.viewer.inspect.snapshot import Snapshot

FADE_SIGMOIDS = 12.0  # farther from where the decoder can put a surface, 1 - Phi is below exp(-12)
ROOM = 32  # samples per ray, on average, that arrays of fixed size have room for at first
RAYS_PER_FRAME = 2048  # that the numbers of a frame are taken from, over all cameras
NEGLIGIBLE = 1e-7  # weights below need not be remembered


class DenseRender(NamedTuple):
    """Rays rendered at every step, skipping nothing: N samples, R rays; t = (k + 1/2) * step."""

    points: Tensor  # (N, 3) world
    ray_ids: Tensor  # (N,)
    t: Tensor  # (N,) distance along the ray, world units
    sdf: Tensor  # (N,) world units; at most as far as anything can show and `dense_render`'s margin
    alpha: Tensor  # (N,) of the interval from each sample to the next of its ray; 0 for the last
    weight: Tensor  # (N,) of that interval
    mass: Tensor  # (N,) opacity that belongs to each sample: half of the weight of either interval at it
    num_rays: int

    @property
    def opacity(self) -> Tensor:
        """(R,)"""
        return self.mass.new_zeros(self.num_rays).index_add(0, self.ray_ids, self.mass)


def training_step_length(snapshot: Snapshot) -> float:
    """Distance between samples of a ray, world units: ``3 / s``."""
    return STEP_SIGMOIDS / snapshot.inv_s


def camera_rays(cameras: Cameras, positions: list[int], pixels: Tensor) -> Rays:
    """Rays (V * N) through `pixels` (N, 2) of each of the cameras at `positions`, all of pose 0; centres at +0.5."""
    some = cameras.select(positions)
    calibration = RayCameras.from_matrices(some.intrinsics, some.T_camera_world).to(pixels.device)
    camera = torch.arange(len(some), device=pixels.device)
    origins, directions = calibration.rays(camera, pixels.expand(len(some), -1, -1))
    pose_ids = torch.zeros(directions[..., 0].numel(), dtype=torch.int32, device=pixels.device)
    return Rays(origins.reshape(-1, 3).contiguous(), directions.reshape(-1, 3).contiguous(), pose_ids)


def sample_of_rays(
    snapshot: Snapshot, cameras: Cameras, positions: list[int], count: int = RAYS_PER_FRAME
) -> Rays:
    """About `count` rays, on the same regular pixel grid of each of the cameras at `positions`."""
    width, height = cameras.width, cameras.height
    spacing = max(1.0, (len(positions) * width * height / count) ** 0.5)
    x, y = (torch.arange(0.5 * spacing, size, spacing).floor() + 0.5 for size in (width, height))
    pixels = torch.cartesian_prod(x, y).to(snapshot.backend.device)
    return camera_rays(cameras, positions, pixels)


@torch.no_grad()
def dense_render(snapshot: Snapshot, posed: Posed, rays: Rays, margin: float = 0.1) -> DenseRender:
    """Every step of every ray through the box of the object, `margin` world units wider than anything can show.

    Where the union of the ellipsoids is so far that ``1 - Phi < exp(-12)`` whatever the decoder says, it is not asked;
    where a ray is outside all ellipsoids inflated by that and the margin, nor is the union.
    """
    model, backend, step = snapshot.model, snapshot.backend, training_step_length(snapshot)
    fade = model.field.residual_max + FADE_SIGMOIDS / snapshot.inv_s
    reach = (posed.semi_axes.amax(-1) + fade + margin)[:, None]
    low, high = (posed.translation[0] - reach).amin(0), (posed.translation[0] + reach).amax(0)
    safe = torch.where(rays.directions.abs() < 1e-9, 1e-9, rays.directions)
    ends = torch.stack([(low - rays.origins) / safe, (high - rays.origins) / safe])
    near, far = ends.amin(0).amax(-1).clamp_min(0), ends.amax(0).amin(-1)
    first = (near / step).floor().long()
    counts = torch.where(far > near, (far / step).ceil().long() - first, 0).clamp_min(0)
    ray_ids = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    starts = counts.cumsum(0) - counts
    k = torch.arange(len(ray_ids), device=counts.device) - starts[ray_ids] + first[ray_ids]
    t = (k + 0.5) * step
    points = rays.origins[ray_ids] + t[:, None] * rays.directions[ray_ids]
    pose_ids = torch.zeros(len(t), dtype=torch.int32, device=t.device)
    sdf = torch.full_like(t, fade + margin)
    inside = within_spans(spans(part_intervals(snapshot, posed, rays, fade + margin)), ray_ids, t)
    union = backend.articulated_lookup(points[inside], pose_ids[inside], *posed, 1).union
    sdf[inside] = union.clamp_max(fade + margin)
    near_surface = sdf <= fade
    near, near_ids = points[near_surface], pose_ids[near_surface]
    sdf[near_surface] = model.signed_distance(near, near_ids, posed, backend)
    alpha, weight = interval_weights(sdf, ray_ids, snapshot.inv_s)
    mass = 0.5 * (weight + pad(weight, (1, 0))[:-1])  # the last interval of a ray weighs nothing
    return DenseRender(points, ray_ids, t, sdf, alpha, weight, mass, len(counts))


def interval_weights(sdf: Tensor, ray_ids: Tensor, inv_s: float) -> tuple[Tensor, Tensor]:
    """Alpha and weight (N,) of the interval behind each of N samples, in order along their rays; 0 behind a ray's last.

    ``alpha = max((Phi_k - Phi_{k+1}) / Phi_k, 0)``, weight = alpha times the transmittance before it (paper section 3.4).
    """
    log_phi = logsigmoid(inv_s * sdf.double())
    log_keep = torch.zeros_like(log_phi)
    log_keep[:-1] = torch.where(ray_ids[1:] == ray_ids[:-1], (log_phi.diff()).clamp_max(0), 0)
    before = log_keep.cumsum(0) - log_keep
    is_first = torch.ones_like(ray_ids, dtype=torch.bool)
    is_first[1:] = ray_ids[1:] != ray_ids[:-1]
    at_start = before[is_first][is_first.cumsum(0) - 1] if len(sdf) else before
    alpha = -torch.expm1(log_keep)
    return alpha.to(sdf.dtype), ((before - at_start).exp() * alpha).to(sdf.dtype)


def joined(renders: Sequence[DenseRender]) -> DenseRender:
    """Renders of some rays each as one of all of them, in this order."""
    starts = np.cumsum([0, *(render.num_rays for render in renders)])
    renders = [
        render._replace(ray_ids=render.ray_ids + int(start))
        for render, start in zip(renders, starts, strict=False)
    ]
    columns: dict[str, Any] = {
        name: torch.cat([getattr(render, name) for render in renders])
        for name in DenseRender._fields
        if name != "num_rays"
    }
    return DenseRender(**columns, num_rays=int(starts[-1]))


def remembered(dense: DenseRender) -> DenseRender:
    """Only the samples that weigh something: all that `missed_mass` needs."""
    keep = dense.mass > NEGLIGIBLE
    kept = {name: getattr(dense, name)[keep] for name in DenseRender._fields if name != "num_rays"}
    return DenseRender(**kept, num_rays=dense.num_rays)


def missed_mass(dense: DenseRender, grid: FrameGrid) -> float:
    """Share of the opacity of a dense render that lies outside the occupied cells: what skipping them would lose.

    0 is safe; where nothing is opaque, nothing is missed.
    """
    return mass_outside(dense, grid.contains(dense.points))


def missed_by_intervals(snapshot: Snapshot, posed: Posed, rays: Rays, dense: DenseRender) -> float:
    """Share of the opacity of a dense render outside the spans of its rays: what analytic culling loses.

    It is the tail of the sigmoid beyond the band that training samples, and nothing else.
    """
    span = spans(part_intervals(snapshot, posed, rays))
    return mass_outside(dense, within_spans(span, dense.ray_ids, dense.t))


def mass_outside(dense: DenseRender, inside: Tensor) -> float:
    """Share of the opacity at samples that are not `inside` (N,)."""
    mass = dense.mass.double()
    total = float(mass.sum())
    return float(mass[~inside].sum()) / total if total > 0 else 0.0


class SampleCounts(NamedTuple):
    """How many samples rays have."""

    per_ray: float  # mean over all rays
    per_hit: float  # mean over the rays that have any
    rays_without: float  # share of the rays that have none


@torch.no_grad()
def march_counts(snapshot: Snapshot, posed: Posed, rays: Rays) -> SampleCounts:
    """Of the march that training and rendering use, with samples in the middle of their steps."""
    return counts_of(exact_samples(snapshot, posed, rays).offsets.diff())


def grid_counts(dense: DenseRender, grid: FrameGrid) -> SampleCounts:
    """Steps that fall into occupied cells: what a march through the grid looks up before it drops the needless ones."""
    return counts_inside(dense, grid.contains(dense.points))


def interval_counts(snapshot: Snapshot, posed: Posed, rays: Rays, dense: DenseRender) -> SampleCounts:
    """Steps between the first entry and the last exit of each ray: what analytic culling leaves to the march."""
    span = spans(part_intervals(snapshot, posed, rays))
    return counts_inside(dense, within_spans(span, dense.ray_ids, dense.t))


def counts_inside(dense: DenseRender, inside: Tensor) -> SampleCounts:
    """Of the samples that are `inside` (N,)."""
    zero = torch.zeros(dense.num_rays, dtype=torch.int64, device=inside.device)
    return counts_of(zero.index_add(0, dense.ray_ids, inside.long()))


def counts_of(samples: Tensor) -> SampleCounts:
    """From the number of samples (R,) of each ray."""
    hit = samples[samples > 0].double()
    mean_hit = float(hit.mean()) if len(hit) else 0.0
    return SampleCounts(float(samples.double().mean()), mean_hit, 1.0 - len(hit) / max(len(samples), 1))


def exact_samples(snapshot: Snapshot, posed: Posed, rays: Rays) -> RaySamples:
    """The samples that rendering takes, in the middle of their steps; padded where the backend's arrays have fixed sizes."""
    jitter = torch.full((len(rays.origins),), 0.5, device=rays.origins.device)

    def sampled(capacity: int | None) -> RaySamples:
        d_max, inv_s, backend = snapshot.model.field.residual_max, snapshot.inv_s, snapshot.backend
        return sample_rays(posed, rays, jitter, d_max, inv_s, backend, capacity)

    if not snapshot.backend.needs_capacity:
        return sampled(None)
    capacity = ROOM * len(jitter)
    samples = sampled(capacity)
    missing = int(samples.overflow)
    return sampled(capacity + missing) if missing else samples


class RayProbe(NamedTuple):
    """One ray, looked at closely. N samples at every step through the box, M cells crossed."""

    origin: np.ndarray  # (3,) world
    direction: np.ndarray  # (3,) unit
    t: np.ndarray  # (N,) world units
    points: np.ndarray  # (N, 3)
    sdf: np.ndarray  # (N,) world units
    alpha: np.ndarray  # (N,)
    weight: np.ndarray  # (N,)
    taken: np.ndarray  # (N,) bool: the march of training takes this sample
    intervals: (
        np.ndarray
    )  # (P, 2) where the ray enters and leaves each inflated ellipsoid; (inf, -inf) where it does not
    in_grid: np.ndarray  # (N,) bool: it lies in an occupied cell
    cells: np.ndarray  # (M, 3) indices, in order along the ray
    cell_t: np.ndarray  # (M, 2) where the ray enters and leaves
    cell_occupied: np.ndarray  # (M,) bool
    opacity: float  # rendered densely
    depth: float  # mean distance, world units; NaN where nothing is seen
    missed: float  # share of the opacity that lies outside the grid

    @property
    def parts_met(self) -> np.ndarray:
        """The parts whose inflated ellipsoids the ray meets."""
        return np.flatnonzero(np.isfinite(self.intervals[:, 0]))

    @property
    def span(self) -> tuple[float, float] | None:
        """From the first entry to the last exit; None where the ray meets no inflated ellipsoid."""
        met = self.intervals[self.parts_met]
        return (float(met[:, 0].min()), float(met[:, 1].max())) if len(met) else None


@torch.no_grad()
def probe_ray(
    snapshot: Snapshot, posed: Posed, grid: FrameGrid, origin: np.ndarray, direction: np.ndarray
) -> RayProbe:
    """Everything about one ray. origin, direction: (3,) world, unit direction."""
    device = snapshot.backend.device
    start = torch.as_tensor(origin, dtype=torch.float32, device=device)
    along = torch.as_tensor(direction, dtype=torch.float32, device=device)
    rays = Rays(start[None], along[None], torch.zeros(1, dtype=torch.int32, device=device))
    dense = dense_render(snapshot, posed, rays, margin=0.05)
    step = training_step_length(snapshot)
    exact = exact_samples(snapshot, posed, rays)
    number = (dense.t / step - 0.5).round().long()
    marched = exact.t[: int(exact.offsets[-1])]
    taken = torch.isin(number, (marched / step - 0.5).round().long())
    cells, cell_t = cells_on_ray(grid, start, along)
    i, j, k = cells.unbind(-1)
    opacity = float(dense.mass.sum())
    depth = float((dense.mass * dense.t).sum()) / opacity if opacity > 1e-3 else float("nan")

    def array(x: Tensor) -> np.ndarray:
        return x.cpu().numpy()

    return RayProbe(
        origin=np.asarray(origin, float),
        direction=np.asarray(direction, float),
        t=array(dense.t),
        points=array(dense.points),
        sdf=array(dense.sdf),
        alpha=array(dense.alpha),
        weight=array(dense.weight),
        taken=array(taken),
        intervals=array(part_intervals(snapshot, posed, rays)[0]),
        in_grid=array(grid.contains(dense.points)),
        cells=array(cells),
        cell_t=array(cell_t),
        cell_occupied=array(grid.occupied[i, j, k]),
        opacity=opacity,
        depth=depth,
        missed=missed_mass(dense, grid),
    )


def interval_ends(probe: RayProbe, across: np.ndarray | None = None, apart: float = 0.0) -> np.ndarray:
    """World positions (M, 2, 3) of entry and exit in each of the M inflated ellipsoids that the ray meets.

    To be seen where they overlap, they can be drawn beside the ray: the k-th is shifted by (k + 1) `apart`, world units,
    at right angles to the ray and to the direction `across` (3,).
    """
    met = probe.intervals[probe.parts_met]
    ends = probe.origin + met[..., None] * probe.direction
    if across is None:
        return ends
    beside = np.cross(probe.direction, across)
    beside *= apart / np.linalg.norm(beside)
    return ends + np.arange(1, len(met) + 1)[:, None, None] * beside
