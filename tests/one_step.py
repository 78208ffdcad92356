"""One training step, alone or as one of several processes, and what it leaves: for test_processes.py."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import torch
from tiny_run import SETTINGS

from wim_fast.config import load_config
from wim_fast.ops.backend import select_backend
from wim_fast.processes import Processes, join_processes, leave_processes
from wim_fast.scene.load import load_scene
from wim_fast.training.trainer import Trainer


@dataclasses.dataclass(frozen=True)
class Separate(Processes):
    """Takes its share as one of several would, but averages nothing."""

    def exchange(self, message: torch.Tensor | None) -> torch.Tensor | None:
        return message


class Replayed:
    """In the place of `Recorded`: what functions return lies where it lay the first time, and so must what they are given."""

    def __init__(self) -> None:
        self.places: dict[Any, Any] = {}

    def __call__(self, function: Any, phase: Any, *arguments: torch.Tensor) -> Any:
        result = function(phase, *arguments)
        given, kept = self.places.setdefault((function.__name__, phase), (arguments, result))
        assert all(a is b for a, b in zip(arguments, given, strict=True))
        if kept is not None:
            for place, value in zip((kept[0].values, kept[1]), (result[0].values, result[1]), strict=True):
                place.copy_(value)
        return kept


def take_step(scene: Path, processes: Processes, recorded: Any = None, steps: int = 1) -> dict[str, Any]:
    """The images drawn, the gradients, the distances of the joints and, after the step, the parameters."""
    small = {name: value for name, value in SETTINGS.items() if name != "log_every"}
    config = load_config(None, {**small, "images_per_step": 4, "clip_norm": 1e6})  # gradients as they are
    trainer = Trainer(load_scene(scene), config, SETTINGS["iterations"], select_backend("numba"), processes)
    trainer.step = SETTINGS["iterations"] // 2  # all frames
    drawn: list[torch.Tensor] = []
    draw = trainer.images.draw

    def watched(camera: torch.Tensor, frame: torch.Tensor, *others: Any) -> Any:
        drawn.extend((camera, frame))
        return draw(camera, frame, *others)

    trainer.images.draw = watched  # type: ignore[method-assign]
    trainer.recorded = recorded
    for _ in range(steps):
        trainer.train_step()
    joints = trainer.model.joints
    return {
        "images": torch.stack(drawn),
        "gradients": {name: p.grad for name, p in trainer.model.named_parameters()},
        "distances": [joints.candidate_distance, joints.center_distance],
        "parameters": {name: p.detach() for name, p in trainer.model.named_parameters()},
    }


def take_shares(scene: Path, output: Path) -> None:
    """A step as one of the processes that the environment names, and three more as GPUs take them."""
    processes = join_processes(torch.device("cpu"))
    torch.save(take_step(scene, processes), output / f"{processes.rank}.pt")
    # as GPUs exchange, by messages; and as they take a step, in two parts
    messages = dataclasses.replace(processes, shared_means=None)
    for name, recorded in (("whole", None), ("parts", Replayed())):
        torch.save(take_step(scene, messages, recorded, 3), output / f"{name}{processes.rank}.pt")
    leave_processes()


if __name__ == "__main__":
    take_shares(*map(Path, sys.argv[1:]))
