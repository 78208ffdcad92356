"""Where the template begins: upright on the scene's hull, as large as it, turned so that it covers most of it.

A.9 says nothing of it; in the original the template lies in the image as it is given.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from wim_fast.baselines.schmidtke.template import Array, Template
from wim_fast.errors import UserError
from wim_fast.recordings.cameras import up_axis
from wim_fast.scene.scene import Scene
from wim_fast.scene.visual_hull import visual_hull

TURNS = 36  # about the up axis that are tried
HULL_RESOLUTION = 48


class Placement(NamedTuple):
    """Template to world: ``x_world = scale * rotation @ x + offset``."""

    rotation: Array  # (3, 3)
    scale: float  # world units per template unit
    offset: Array  # (3,)


def place_template(template: Template, scene: Scene, frame: int) -> Placement:
    """By the visual hull of the frame at this position. UserError if the masks do not meet there."""
    points = visual_hull(scene.cameras, scene.mask[:, frame], HULL_RESOLUTION)
    if len(points) < len(template.names):
        problem = f"the masks of frame {scene.frame_ids[frame]} leave no hull to put the template on"
        raise UserError(scene.path, problem, "check masks and cameras")
    return place_on(template, points, up_axis(scene.cameras))


def place_on(template: Template, points: Array, up: Array) -> Placement:
    """The placement on points (M, 3) that fill the object; `up`: (3,) unit, where the template's z goes.

    Mean and mean square distance from it are the points'; of `TURNS` turns about `up` it takes the one under which the
    Gaussians, each where it is largest, cover the points best.
    """
    middle, spread = mean_and_spread(template)
    center = points.mean(0)
    scale = float(np.sqrt(np.square(points - center).sum(1).mean()) / spread)
    upright = _upright(up)
    best = None
    for angle in np.arange(TURNS) * (2 * np.pi / TURNS):
        cos, sin = np.cos(angle), np.sin(angle)
        rotation = upright @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        at = middle + (points - center) @ rotation / scale
        covered = _largest(template, at).mean()
        if best is None or covered > best[0]:
            best = covered, rotation
    assert best is not None
    return Placement(best[1], scale, center - scale * best[1] @ middle)


def mean_and_spread(template: Template) -> tuple[Array, float]:
    """Mean (3,) of the Gaussians as solids, each as heavy as it is large, and the root mean square distance from it."""
    weight = template.sigmas.prod(1) / template.sigmas.prod(1).sum()
    middle = weight @ template.centers
    square = np.square(template.centers - middle).sum(1) + np.square(template.sigmas).sum(1)
    return middle, float(np.sqrt(weight @ square))


def _largest(template: Template, points: Array) -> Array:
    """(M,) the largest of the Gaussians at template points (M, 3)."""
    offset = (points[:, None] - template.centers) / template.sigmas
    return np.exp(-0.5 * np.square(offset).sum(-1).min(1))


def _upright(up: Array) -> Array:
    """A rotation (3, 3) that takes z to `up`."""
    x = np.cross(up, np.eye(3)[np.argmin(np.abs(up))])
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(up, x), up], axis=1)
