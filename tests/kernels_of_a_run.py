"""Which kernels a training and a picture need in another form than `ops/ahead.py` has compiled: for test_ahead.py."""

from __future__ import annotations

import importlib
import json
import pkgutil

import torch

import wim_fast.ops
from wim_fast.config import load_config
from wim_fast.ops.ahead import SLOWEST_FIRST
from wim_fast.ops.backend import select_backend
from wim_fast.ops.self_test import run_once
from wim_fast.rendering.image import render_image
from wim_fast.training.split import read_split
from wim_fast.training.trainer import Trainer
from wim_fast.training.warm_up import warm_up

SETTINGS = {"parts": 4, "images_per_step": 2, "rays_per_image": 32, "initial_frames": 2, "growth_end": 0.5}


def kernels():
    """Every kernel of the CPU by its name."""
    for module in pkgutil.walk_packages(wim_fast.ops.__path__, "wim_fast.ops."):
        if module.name.endswith(".cpu"):
            for name, value in vars(importlib.import_module(module.name)).items():
                if getattr(value, "targetoptions", {}).get("nogil") and value.__module__ == module.name:
                    yield f"{module.name}.{name}", value


def forms():
    return {name: set(map(str, kernel.signatures)) for name, kernel in kernels()}


def main() -> None:
    backend = select_backend("numba")
    for name in SLOWEST_FIRST:
        run_once(backend, name)
    before = forms()
    split = read_split(load_config("dog", SETTINGS))
    trainer = Trainer(split.scene, split.config, 10, backend)
    warm_up(trainer)
    for step in range(0, 10, 3):
        trainer.step = step
        trainer.train_step()
    with torch.no_grad():
        posed = trainer.model.pose(torch.tensor([0]), backend)
        render_image(trainer.model, posed, split.scene.cameras, 0, trainer.inv_s, backend)
    after = forms()
    print(
        json.dumps(
            [
                sorted(name for name in after if not before[name]),
                {n: sorted(after[n] - before[n]) for n in after},
            ]
        )
    )


if __name__ == "__main__":
    main()
