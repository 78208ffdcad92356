"""A tiny trained run to look at: what the tests of the commands share (the fixture `tiny_run`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tiny_run import flags
from tiny_scene import ring, write_scene

from wim_fast.cli import main

FRAMES, TRAINED_FRAMES = 14, 10
TRAINED, OTHERS = (0, 1, 2, 3), (4, 5)
SIZE = 24


@dataclass(frozen=True)
class TinyRun:
    """Where the run and its recording are."""

    path: Path
    scene: Path


def train_tiny_run(folder: Path, *more: str) -> TinyRun:
    """An ellipsoid that moves along x, trained on 4 of 6 cameras and the first 10 of 14 frames in seconds; `more` flags."""
    scene, run = folder / "recording", folder / "run"
    write_scene(scene, frames=FRAMES, eyes=ring(6), width=SIZE, solid="ellipsoid")
    settings = flags(scene=scene, output=run, iterations=150, rays_per_image=24, frames=f"0:{TRAINED_FRAMES}")
    assert main(["train", *settings, "--train-cameras", *map(str, TRAINED), *more]) == 0
    return TinyRun(run, scene)
