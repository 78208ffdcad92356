"""wim-fast: re-posable articulated models from multi-view video.

What people need is here, and is imported when it is first used: docs/python.md shows how.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from wim_fast.threads import wait_asleep

wait_asleep()

__version__ = "0.1.0"

if TYPE_CHECKING:
    from wim_fast.errors import SceneWarning, UserError
    from wim_fast.export.export import Exported, export_run
    from wim_fast.recordings.cameras import Cameras
    from wim_fast.recordings.read import read_recording
    from wim_fast.recordings.recording import Recording
    from wim_fast.report.report import Report, write_report
    from wim_fast.runs.evaluate import Evaluation
    from wim_fast.runs.run import Poses, Run, load_run
    from wim_fast.runs.train import train
    from wim_fast.scene.load import load_scene
    from wim_fast.scene.scene import Scene
    from wim_fast.training.observer import TrainingStep

_MODULES = {
    "Cameras": "recordings.cameras",
    "Evaluation": "runs.evaluate",
    "Exported": "export.export",
    "Poses": "runs.run",
    "Recording": "recordings.recording",
    "Report": "report.report",
    "Run": "runs.run",
    "Scene": "scene.scene",
    "SceneWarning": "errors",
    "TrainingStep": "training.observer",
    "UserError": "errors",
    "export_run": "export.export",
    "load_run": "runs.run",
    "load_scene": "scene.load",
    "read_recording": "recordings.read",
    "train": "runs.train",
    "write_report": "report.report",
}
"""{name: the module that defines it}. The imports above tell the same to type checkers."""

__all__ = [
    "Cameras",
    "Evaluation",
    "Exported",
    "Poses",
    "Recording",
    "Report",
    "Run",
    "Scene",
    "SceneWarning",
    "TrainingStep",
    "UserError",
    "export_run",
    "load_run",
    "load_scene",
    "read_recording",
    "train",
    "write_report",
]


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: `import wim_fast` alone takes no time."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
