"""Checkpoints: what a run needs to go on exactly where it was, and what the other commands need of it."""

from __future__ import annotations

import copy
import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from wim_fast.errors import UserError
from wim_fast.files import write_atomic
from wim_fast.training.learner import Learner
from wim_fast.training.pace import Pace

FORMAT = "wim-fast checkpoint"
FORMAT_VERSION = 5
KEPT = 2  # newest checkpoints of a run that stay on disk


@dataclass(frozen=True)
class TrainedOn:
    """What a model was trained on; positions in it are positions in these tuples."""

    frame_ids: tuple[int, ...]
    camera_ids: tuple[int, ...]
    coordinate_scale: float  # file units per world unit


def save_checkpoint(path: Path, trainer: Learner, trained_on: TrainedOn) -> None:
    """Write the whole state of `trainer`: a complete file takes the name `path`, or nothing changes.

    Raises OSError if it cannot be written (disk full); no unfinished file is left then.
    """
    facts = {"format": FORMAT, "version": FORMAT_VERSION, **asdict(trained_on)}
    content = {**facts, **_state(trainer)}
    buffer = io.BytesIO()  # torch's own file writer reports a full disk in words of its own
    torch.save(content, buffer)
    write_atomic(path, buffer.getbuffer())


def snapshot(trainer: Learner) -> dict[str, Any]:
    """A copy of the state in memory, for `restore`."""
    return copy.deepcopy(_state(trainer))


def _state(trainer: Learner) -> dict[str, Any]:
    """Everything that changes while training."""
    return {
        "step": trainer.step,
        "pace": str(trainer.pace),
        **trainer.learned(),
        "device": trainer.backend.device.type,
        "generator": trainer.generator.get_state(),
        "torch_random": torch.get_rng_state(),
    }


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What `save_checkpoint` wrote, on the CPU. UserError if it is not one, or of a newer format."""
    try:
        buffer = io.BytesIO(path.read_bytes())
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror or error})", "check the file") from None
    try:
        content = torch.load(buffer, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its parsers meet
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        problem = f"is damaged, or no checkpoint ({reason})"
        raise UserError(path, problem, "delete it to use an older one") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(path, "is not a checkpoint of wim-fast", "give a run that `wim-fast train` made")
    version = content.get("version")
    if version != FORMAT_VERSION:
        newer = isinstance(version, int) and version > FORMAT_VERSION
        remedy = "update wim-fast" if newer else "use the version of wim-fast that wrote it"
        known = f"this wim-fast reads version {FORMAT_VERSION}"
        raise UserError(path, f"is of {'newer ' if newer else ''}format version {version}; {known}", remedy)
    return content


def trained_on(content: dict[str, Any]) -> TrainedOn:
    """What the model of a loaded checkpoint was trained on."""
    frames, cameras = tuple(content["frame_ids"]), tuple(content["camera_ids"])
    return TrainedOn(frames, cameras, content["coordinate_scale"])


def restore(trainer: Learner, content: dict[str, Any]) -> None:
    """Put a trainer into a saved state; it goes on as if it had never stopped.

    If that was saved on another kind of device, whose random numbers are others, new ones are drawn from there on.
    """
    trainer.restore_learned(content)
    trainer.step, trainer.pace = content["step"], Pace.parse(content["pace"])
    if content["device"] == trainer.backend.device.type:
        trainer.generator.set_state(content["generator"])
    else:
        trainer.generator.manual_seed(trainer.config.schedule.seed + trainer.step)
    torch.set_rng_state(content["torch_random"])
