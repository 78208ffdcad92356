"""A trainer whose step has few points, on any backend, for tests that compare whole steps: Triton's interpreter is slow."""

from __future__ import annotations

import dataclasses

import pytest

from wim_fast.config import Config
from wim_fast.errors import UserError
from wim_fast.ops.backend import Backend, select_backend
from wim_fast.scene.scene import Scene
from wim_fast.training.trainer import Trainer

MODEL = {"parts": 3, "hash_log2_entries": 8, "hash_finest_cell": 0.1, "pose_width": 16, "decoder_width": 16}
SAMPLING = {"eikonal_points": 8, "void_points": 8, "core_points": 8, "surface_points": 4}


def available(name: str) -> Backend:
    """A backend; skips the test where it cannot run."""
    if name == "triton":
        pytest.importorskip("triton", reason="triton is not installed")
    try:
        return select_backend(name)
    except UserError as error:
        pytest.skip(str(error))


def small_trainer(scene: Scene, backend: Backend, lighting: bool = True) -> Trainer:
    """Before its first of ten steps."""
    config = Config()
    model = dataclasses.replace(config.model, lighting=lighting, **MODEL)
    render = dataclasses.replace(config.render, images_per_step=2, rays_per_image=6)
    sampling = dataclasses.replace(config.sampling, **SAMPLING)
    schedule = dataclasses.replace(config.schedule, merge_start=0.0)
    config = dataclasses.replace(config, model=model, render=render, sampling=sampling, schedule=schedule)
    return Trainer(scene, config, 10, backend)
