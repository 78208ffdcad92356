"""One training step, to be read from top to bottom."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from wim_fast.config import Config
from wim_fast.model.articulated_model import ArticulatedModel, Posed
from wim_fast.model.camera_corrections import CameraCorrections
from wim_fast.ops.backend import Backend
from wim_fast.ops.samples.reference import RaySamples
from wim_fast.ops.shape_losses.reference import tetrahedron
from wim_fast.processes import Processes
from wim_fast.profiling import stage
from wim_fast.rendering.rays import image_ids, shown_samples
from wim_fast.sections import SamplingConfig
from wim_fast.training import schedule
from wim_fast.training.batch import TrainingImages
from wim_fast.training.room import Room
from wim_fast.training.step_report import StepReport

PAST, COMING = 6, 4  # frames in use and not yet in use whose accelerations are kept small
CANDIDATES = 8  # random points for each of the void loss, which takes those that no camera judges


class StepResult(NamedTuple):
    """Loss terms that still carry their graph, their weights, and what is worth logging."""

    names: tuple[str, ...]  # of the n terms
    terms: Tensor  # (n,)
    weights: Tensor  # (n,) their weights: the gradient of the loss by the terms
    report: StepReport


@stage("losses")
def training_losses(
    model: ArticulatedModel,
    corrections: CameraCorrections | None,
    images: TrainingImages,
    config: Config,
    now: schedule.ScheduleValues,
    phase: schedule.Phase,
    backend: Backend,
    generator: torch.Generator,
    processes: Processes,
    room: Room,
) -> StepResult:
    """Draw a batch, render it, and compare: every weighted term of eq. 10 of the supplement.

    Nothing in it waits for a GPU, so that it can be recorded. Without `corrections` cameras are as given; `room`: the rows
    of the arrays of samples.
    """
    render, weights, sampling = config.render, config.loss, shared_sampling(config.sampling, processes)
    device, inv_s, masks = backend.device, now.inv_s, images.silhouettes.masks

    # data; all processes draw the same images, and each takes its share
    frame = schedule.draw_frames(render.images_per_step, now, config.schedule, generator)
    camera = torch.randint(images.num_cameras, (render.images_per_step,), generator=generator, device=device)
    frame, camera = processes.share(frame), processes.share(camera)
    learned = None if corrections is None else corrections()
    if learned is None:
        cameras, moment = images.cameras, frame.float()
    else:
        cameras = images.cameras.corrected(learned.numbers, backend.corrected_cameras)
        lateness, color = learned.seen_by(camera)
        moment = frame + lateness
    # ellipsoids are not the shape: they lead the parts, but would mislead the cameras
    projection = images.projection if learned is None else cameras.projection()
    batch = images.draw(camera, frame, render.rays_per_image, generator, backend, cameras, now.level)
    num_rays = len(batch.alpha)

    # rendering: samples along the rays, less those that would not show; taps round some of them for the losses of shape;
    # points that no camera judges and points of the object's core (their numbers drawn in any case: no weight changes what
    # other terms draw); all of it decoded in one go
    others, order = [], torch.rand(images.num_frames, generator=generator, device=device)
    if phase.merging:
        others.append(order.argsort()[: sampling.merge_frames])
    if phase.growing:
        others.append(newest_frames(now.active_frames, images.num_frames))
    posed, *moving = posed_together(model, [moment, *others], backend)
    jitter = torch.rand(num_rays, generator=generator, device=device)
    samples, marched = shown_samples(model, posed, batch.rays, jitter, inv_s, phase.divisions, backend, *room)
    rows = len(samples.points)
    of_taps = weights.eikonal_weight, weights.volume_weight, weights.fit_weight
    num_tapped = sampling.eikonal_points if max(of_taps) > 0 else 0
    tapped = tapped_samples(samples, num_tapped, generator)
    taps, tap_pose_ids = eikonal_taps(samples, tapped, sampling.eikonal_tap)
    num_void = sampling.void_points if weights.void_weight > 0 else 0
    direction, uniform = void_candidates(posed, sampling.void_points, generator)
    void = backend.unjudged_points(
        *posed[:3], model.field.residual_max, direction, uniform, frame, projection, masks, num_void
    )
    core, has_core = images.silhouettes.core_points(frame, sampling.core_points, generator)
    if weights.hull_weight == 0:
        core, has_core = core[:0], has_core[:0]
    core_pose_ids = image_ids(len(frame), sampling.core_points, device)[: len(core)]
    points = torch.cat([samples.points, void.points, taps, core])
    pose_ids = torch.cat([samples.pose_ids, void.pose_ids, tap_pose_ids, core_pose_ids])
    values = model.evaluate(points, pose_ids, posed, backend)
    sdf, void_sdf, tap_sdf, core_sdf = values.sdf.split([rows, num_void, len(taps), len(core)])
    tap_union, core_union = values.union[rows + num_void :].split([len(taps), len(core)])
    rendered = backend.composite(sdf, values.rgb[:rows], samples.t, samples.offsets, inv_s)

    # colour, mask, shape
    if weights.random_background:
        background = torch.rand(num_rays, 3, generator=generator, device=device)
    else:
        background = torch.full((1, 3), config.scene.background_grey, device=device)
    seen = rendered.rgb
    if learned is not None:
        seen = (seen.view(len(camera), -1, 3) @ color.transpose(1, 2)).view(-1, 3)
    filmed = batch.rgb, batch.alpha, batch.weight
    counted = render.rays_per_image, batch.even
    image = backend.image_losses(seen, rendered.opacity, *filmed, background, now.doubt, *counted)
    terms = {"photo": image.photo, "mask": image.mask}

    # shape
    light = rendered.transmittance[tapped]
    lost = torch.cat([core_union, core_sdf + sampling.core_inside])  # by the ellipsoids, by the surface
    of_core, of_void = (lost, has_core.repeat(2)), (void_sdf, void.unjudged)
    shape = backend.shape_losses(tap_sdf.view(4, -1), light, *of_void, *of_core, sampling.eikonal_tap, inv_s)
    terms |= {"eikonal": shape.eikonal, "volume": shape.volume}
    if weights.fit_weight > 0:
        terms["fit"] = fit_loss(tap_union, tap_sdf, model.field.residual_max)
    if weights.void_weight > 0:
        terms["void"] = shape.void
    if weights.hull_weight > 0:
        terms["hull"] = shape.hull

    # silhouettes
    uniform = torch.rand(len(frame), sampling.mask_pixels, generator=generator, device=device)
    shape = len(posed.semi_axes), sampling.surface_points, 3
    direction = torch.randn(shape, generator=generator, device=device)
    if weights.silhouette_weight > 0 or weights.part_center_weight > 0:
        found = backend.silhouette_losses(
            *posed[:3], direction, uniform, camera, frame, projection, masks, sampling.dead_zone
        )
        if weights.silhouette_weight > 0:
            terms["silhouette"] = found.silhouette
        if weights.part_center_weight > 0:
            terms["part_center"] = found.part_center

    if learned is not None:
        terms["cameras"] = learned.prior

    # structure
    structure, joints = config.structure, model.joints
    joints.observe(*posed[:3], model.candidate_share, structure.distance_rate, backend.observe_distances)
    tree = joints.edges, joints.edge_candidates
    terms |= backend.structure_losses(
        *posed[:3], *tree, model.candidate_share, structure.separation_sigma
    )._asdict()
    if phase.merging:
        distance, motion_weight = structure.merge_distance, structure.merge_motion_weight
        terms["merge"] = backend.merge_loss(*moving[0][:2], distance, motion_weight)
    if phase.growing:
        terms["motion"] = motion_loss(*moving[-1][:3])

    names = tuple(terms)
    losses, shares = torch.stack([*terms.values()]), now.weights_of(names)
    counts = samples.offsets[-1], samples.overflow, marched.offsets[-1], marched.overflow
    report = StepReport.of(names, losses * shares, num_rays, [image.squared_error, *counts])
    return StepResult(names, losses, shares, report)


def shared_sampling(sampling: SamplingConfig, processes: Processes) -> SamplingConfig:
    """What one of several processes draws, so that all of them draw as much as one alone; what is per image stays."""
    if processes.count == 1:
        return sampling
    return dataclasses.replace(
        sampling,
        eikonal_points=processes.part(sampling.eikonal_points),
        void_points=processes.part(sampling.void_points),
    )


def posed_together(model: ArticulatedModel, moments: Sequence[Tensor], backend: Backend) -> tuple[Posed, ...]:
    """The learned poses at each of several lists of frames, (F,) each: all by one pass of the network."""
    if len(moments) == 1:
        return (model.pose(moments[0], backend),)
    posed = model.pose(torch.cat([*moments]), backend)
    sizes = [len(frames) for frames in moments]
    parts = zip(posed.rotation.split(sizes), posed.translation.split(sizes), strict=True)
    return tuple(Posed(*part, *posed[2:]) for part in parts)


def tapped_samples(samples: RaySamples, count: int, generator: torch.Generator) -> Tensor:
    """Positions of `count` random samples, or none where there are no samples."""
    uniform = torch.rand(count, generator=generator, device=samples.points.device)
    return (uniform * samples.offsets[-1]).long() if len(samples.points) else uniform[:0].long()


def eikonal_taps(samples: RaySamples, tapped: Tensor, tap: float) -> tuple[Tensor, Tensor]:
    """Four points (4 * N, 3) round each of the N samples `tapped`, tap after tap, and their pose ids.

    `tap`: their distance from it along each axis, world units.
    """
    center = samples.points[tapped].detach()
    taps = torch.add(center, tetrahedron(center.device)[:, None], alpha=tap)  # (4, N, 3)
    return taps.reshape(-1, 3), samples.pose_ids[tapped.expand(4, -1)].flatten()


def fit_loss(union: Tensor, sdf: Tensor, residual_max: float) -> Tensor:
    """How far the ellipsoids are from the shape: the mean square of what the field adds to their union, as a share of the
    most that it can. The shape is taken as it is. (Of our own.)

    Args:
        union, sdf: (N,) of the ellipsoids alone, and of the model, world units, near its surface.
    """
    squares = torch.nn.functional.mse_loss(union, sdf.detach(), reduction="sum")
    return squares * (1 / (residual_max**2 * max(len(sdf), 1)))


def newest_frames(active: Tensor, num_frames: int) -> Tensor:
    """The last of the `active` () frames in use and the first of those to come, (`PAST` + `COMING`,) of `num_frames`."""
    return (active + _window(active.device)).clamp(0, num_frames - 1)


@functools.cache
def _window(device: torch.device) -> Tensor:
    return torch.arange(-PAST, COMING, device=device)


def motion_loss(rotation: Tensor, translation: Tensor, semi_axes: Tensor) -> Tensor:
    """Mean square of the accelerations of the parts' centres and of the ends of their semi-axes, world units per frame^2.

    So a new frame begins where those before it lead, and a limb that passes another does not change places with it. (Of
    our own.)

    Args:
        rotation (T, P, 3, 3), translation (T, P, 3): poses in successive frames. semi_axes: (P, 3), no gradient.
    """
    ends = translation[:, :, None] + (rotation * semi_axes.detach()[:, None]).transpose(2, 3)
    points = torch.cat([translation[:, :, None], ends], dim=2)  # (T, P, 4, 3)
    accelerations = _second_differences(len(points), points.device) @ points.flatten(1)
    return torch.nn.functional.mse_loss(accelerations, _still(accelerations.shape, points.device))


@functools.cache
def _second_differences(count: int, device: torch.device) -> Tensor:
    """(T - 2, T) times the root of 3: a mean over x, y and z of their squares is that of vectors."""
    return 3**0.5 * torch.eye(count, device=device).diff(n=2, dim=0)


@functools.cache
def _still(shape: torch.Size, device: torch.device) -> Tensor:
    return torch.zeros(shape, device=device)


def void_candidates(posed: Posed, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random numbers of at least `CANDIDATES * count` candidates, n for each part of each pose.

    Normal ones (F, P, n, 3) and some in [0, 1), (2, F, P, n): `direction` and `uniform` of the op `unjudged_points`.
    """
    frames, parts = posed.translation.shape[:2]
    shape = frames, parts, -(-CANDIDATES * count // (frames * parts))
    uniform = torch.rand(2, *shape, generator=generator, device=generator.device)
    return torch.randn(*shape, 3, generator=generator, device=generator.device), uniform
