"""Checkpoints: what a run needs to go on exactly where it was, and what the other commands need of it."""

from __future__ import annotations

import copy
import io
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wim_fast.errors import UserError
from wim_fast.files import read_bytes, write_atomic
from wim_fast.training.learner import Learner
from wim_fast.training.pace import Pace

FORMAT = "wim-fast checkpoint"
FORMAT_VERSION = 5
LARGEST = 2**36  # bytes
KEPT = 2  # newest checkpoints of a run that stay on disk


class DamagedError(UserError):
    """A checkpoint that is not as it was written; the one before it may be."""


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
    """What `save_checkpoint` wrote, on the CPU. UserError if it is not one, damaged, or of a newer format."""
    try:
        buffer = io.BytesIO(read_bytes(path, LARGEST))
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror or error})", "check the file") from None
    try:
        with zipfile.ZipFile(buffer) as archive:  # torch's reader does not compare checksums
            if archive.testzip() is not None:
                raise ValueError
        buffer.seek(0)
        content = torch.load(buffer, map_location="cpu", weights_only=True)
    except Exception:  # whatever the parsers meet
        remedy = "delete it to use the one before it"
        raise DamagedError(path, "is damaged, or was never a checkpoint", remedy) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(path, "is not a checkpoint of wim-fast", "give a run that `wim-fast train` made")
    version = content.get("version")
    if version != FORMAT_VERSION:
        newer = isinstance(version, int) and version > FORMAT_VERSION
        remedy = "update wim-fast" if newer else "use the version of wim-fast that wrote it"
        known = f"this wim-fast reads version {FORMAT_VERSION}"
        raise UserError(path, f"is of {'newer ' if newer else ''}format version {version}; {known}", remedy)
    if wrong := _impossible(content):
        raise DamagedError(path, f"is damaged: {wrong}", "delete it to use the one before it")
    return content


def _impossible(content: Mapping[str, Any]) -> str | None:
    """What of a checkpoint cannot be, whoever wrote it; None if all can. Shapes are for those who know the settings."""
    step, scale, model = (content.get(key) for key in ("step", "coordinate_scale", "model"))
    if type(step) is not int or not 0 <= step <= 10**9:
        return "its step is no number of steps"
    if "inv_s" in content and not (type(content["inv_s"]) is float and 0 < content["inv_s"] < 1e9):
        return "its sharpness is no number"
    if type(scale) is not float or not 1e-12 < scale < 1e12:
        return "its scale is no length"
    for key in ("frame_ids", "camera_ids"):
        ids = content.get(key)
        if not isinstance(ids, (tuple, list)) or not ids or any(type(i) is not int for i in ids):
            return f"{key} are no numbers"
    if type(content.get("pace")) is not str or type(content.get("device")) is not str:
        return "pace or device is missing"
    if not isinstance(model, dict) or not isinstance(content.get("optimizer"), dict):
        return "model or optimiser is missing"
    if not all(isinstance(content.get(key), Tensor) for key in ("generator", "torch_random")):
        return "the state of its random numbers is missing"
    values = model.values()
    if not all(isinstance(x, Tensor) and (not x.is_floating_point() or x.isfinite().all()) for x in values):
        return "its model is not finite"
    return None


def trained_on(content: dict[str, Any]) -> TrainedOn:
    """What the model of a loaded checkpoint was trained on."""
    frames, cameras = tuple(content["frame_ids"]), tuple(content["camera_ids"])
    return TrainedOn(frames, cameras, content["coordinate_scale"])


def restore(trainer: Learner, content: dict[str, Any]) -> None:
    """Put a trainer into a saved state; it goes on as if it had never stopped. ValueError if the state is not one of it.

    If that was saved on another kind of device, whose random numbers are others, new ones are drawn from there on.
    """
    try:
        trainer.restore_learned(content)
    except (RuntimeError, KeyError, TypeError, AttributeError, UserError) as error:
        raise ValueError(str(error)) from None
    trainer.step, trainer.pace = content["step"], Pace.parse(content["pace"])
    if content["device"] == trainer.backend.device.type:
        trainer.generator.set_state(content["generator"])
    else:
        trainer.generator.manual_seed(trainer.config.schedule.seed + trainer.step)
    torch.set_rng_state(content["torch_random"])
