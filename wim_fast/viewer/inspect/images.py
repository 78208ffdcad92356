"""Pictures: what the model renders beside what was filmed, and how far apart they are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from wim_fast.compositing import over_uint8, to_uint8
from wim_fast.evaluation.metrics import psnr
from wim_fast.model.articulated_model import Posed
from wim_fast.recordings.cameras import Cameras
from wim_fast.rendering.image import render_image
from wim_fast.viewer.inspect.snapshot import Film, Snapshot


class Comparison(NamedTuple):
    """One camera's pictures, (H, W, 3) uint8."""

    rendered: np.ndarray
    filmed: np.ndarray
    difference: np.ndarray  # brightness = absolute difference, black where they agree
    psnr: float  # dB


def render(snapshot: Snapshot, posed: Posed, cameras: Cameras, index: int, background: float) -> np.ndarray:
    """(H, W, 3) uint8 of the first pose, over a grey in [0, 1]."""
    image = render_image(snapshot.model, posed, cameras, index, snapshot.inv_s, snapshot.backend)
    return to_uint8(image.over(background))


def compare(snapshot: Snapshot, posed: Posed, film: Film, frame: int, index: int) -> Comparison:
    """What camera number `index` filmed of a frame, and what the model renders there."""
    rendered = render(snapshot, posed, film.cameras, index, film.background)
    filmed = over_uint8(film.images(frame)[index], film.background)
    difference = np.abs(rendered.astype(int) - filmed).astype(np.uint8)
    return Comparison(rendered, filmed, difference, psnr(rendered / 255.0, filmed / 255.0))


def free_camera(
    position: np.ndarray, rotation: np.ndarray, vertical_fov: float, width: int, height: int
) -> Cameras:
    """A camera anywhere: position (3,) world, rotation (3, 3) camera to world (OpenCV axes), field of view in radians."""
    T = np.eye(4)
    T[:3, :3] = rotation.T
    T[:3, 3] = -rotation.T @ position
    focal = 0.5 * height / np.tan(0.5 * vertical_fov)
    K = np.array([[focal, 0, 0.5 * width], [0, focal, 0.5 * height], [0, 0, 1.0]])
    return Cameras((0,), K[None], T[None], width, height)
