"""What a training takes of the machine's memory, estimated before it is taken."""

from __future__ import annotations

import psutil
import torch

from wim_fast.config import Config
from wim_fast.errors import UserError
from wim_fast.files import amount
from wim_fast.model.articulated_model import ArticulatedModel

NUMBER = 4  # bytes
LEARNED = 4  # numbers for each parameter: value, gradient, two moments
KEPT = 3  # numbers for each that a network computes: it, its gradient, and one on the way


def check_memory(config: Config, device: torch.device) -> None:
    """UserError if model and steps would take more than is free on the device."""
    model, step = NUMBER * LEARNED * parameter_count(config), step_bytes(config)
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    if model + step <= free:
        return
    if model > step:
        remedy = "lower --hash-log2-entries, --decoder-width, --pose-width or their layers"
    else:
        remedy = "lower --images-per-step, --rays-per-image or the points of the losses"
    raise UserError(
        "memory", f"training would take about {amount(model + step)}, and {amount(free)} are free", remedy
    )


def parameter_count(config: Config) -> int:
    """Numbers that are learned, from a model that takes no memory."""
    with torch.device("meta"):
        return sum(p.numel() for p in ArticulatedModel(config.model, num_frames=2).parameters())


def step_bytes(config: Config) -> int:
    """What a step computes: samples that are marched and decoded, poses, points of the losses. About right."""
    render, sampling, model = config.render, config.sampling, config.model
    images, rays = render.images_per_step, render.images_per_step * render.rays_per_image
    decoded = rays * render.decoded_per_ray + 4 * sampling.eikonal_points + 9 * sampling.void_points
    per_sample = 100 + KEPT * (32 + model.decoder_width * model.decoder_layers)
    per_image = (
        KEPT * (model.pose_width * model.pose_layers + 9 * model.num_parts)
        + 16 * model.num_parts * sampling.surface_points
        + 16 * (sampling.mask_pixels + sampling.core_points)
    )
    merged = sampling.merge_frames * 27 * model.num_parts
    structure = (7 * model.num_parts) ** 2 * KEPT
    return NUMBER * (
        32 * rays * render.marched_per_ray + per_sample * decoded + per_image * images + merged + structure
    )
