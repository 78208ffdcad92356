"""The smallest training runs, through the real entry point."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from tiny_scene import ring, write_scene

ITERATIONS = 120
OFTEN = 0.005  # minutes between checkpoints: three a second
# small enough that a step takes a few milliseconds
SETTINGS = {
    "parts": 3,
    "iterations": ITERATIONS,
    "images_per_step": 2,
    "rays_per_image": 24,
    "hash_log2_entries": 8,
    "pose_width": 16,
    "decoder_width": 16,
    "log_every": 10,
}


def flags(**changes: Any) -> list[str]:
    """The settings as flags; None leaves one out."""
    settings = {name: value for name, value in {**SETTINGS, **changes}.items() if value is not None}
    return [text for name, value in settings.items() for text in (f"--{name.replace('_', '-')}", str(value))]


def tiny_scene(folder: Path) -> Path:
    """Six frames of an ellipsoid, five cameras round it."""
    write_scene(folder, frames=6, eyes=ring(5), width=24, solid="ellipsoid")
    return folder


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    """`python -m wim_fast ...`, running."""
    command = [sys.executable, "-m", "wim_fast", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_checkpoint(run: Path, process: subprocess.Popen[str], seconds: float = 300) -> None:
    """Until a checkpoint is there, long enough for kernels to be compiled."""
    end = time.monotonic() + seconds
    while not list(run.glob("checkpoints/*.pt")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


def newest_checkpoint(run: Path) -> dict[str, Any]:
    return torch.load(sorted(run.glob("checkpoints/*.pt"))[-1], weights_only=True)


def differences(a: Any, b: Any, where: str = "") -> list[str]:
    """Where two checkpoints differ, bit for bit."""
    if isinstance(a, dict) and isinstance(b, dict):
        if a.keys() != b.keys():
            return [where]
        return [d for key in a for d in differences(a[key], b[key], f"{where}/{key}")]
    if isinstance(a, (list, tuple)):
        if len(a) != len(b):
            return [where]
        return [
            d for k, (x, y) in enumerate(zip(a, b, strict=True)) for d in differences(x, y, f"{where}/{k}")
        ]
    same = torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
    return [] if same else [where]
