"""Where a run is written, and with which settings it is trained: a new one, or one that goes on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wim_fast import config as config_module
from wim_fast.config import SETTINGS, Config, load_config
from wim_fast.errors import UserError
from wim_fast.settings import as_text
from wim_fast.training.run_folder import LOCK, RunFolder
from wim_fast.training.split import lasting_name, lasting_paths

RUNS = Path("runs")


def new_run(
    output: str | Path | None, settings: Mapping[str, Any], config_file: str | Path | None = None
) -> tuple[Config, RunFolder]:
    """The settings of a run to be trained, and its folder, which must be empty.

    Args:
        output: the folder; None: runs/SCENE_n, the next number.
        settings: by name, over those of `config_file`.
        config_file: a file of settings in place of the scene's own.
    """
    config = load_config(None, settings, config_file=config_file)
    folder = RunFolder(Path(output) if output is not None else next_folder(config.scene.scene))
    check_free(folder.path)
    return config, folder


def run_to_resume(output: str | Path | None, settings: Mapping[str, Any]) -> tuple[Config, RunFolder]:
    """The settings and the folder of a run that was begun.

    Args:
        output: the folder; None: the newest run of the scene.
        settings: may repeat the run's but not change them; the backend may be another one.
    """
    scene = settings.get("scene", SETTINGS["scene"].default)
    folder = RunFolder(Path(output) if output is not None else newest_folder(scene))
    return resumed_config(folder, settings), folder


def numbered_runs(scene: str) -> tuple[str, dict[int, Path]]:
    """The name of a scene and its {n: runs/NAME_n}."""
    name = Path(scene).resolve().name or "scene"
    found = ((re.fullmatch(rf"{re.escape(name)}_(\d+)", path.name), path) for path in RUNS.glob(f"{name}_*"))
    return name, {int(match[1]): path for match, path in found if match}


def next_folder(scene: str) -> Path:
    """runs/NAME_n with the first number that is larger than all others."""
    name, runs = numbered_runs(scene)
    return RUNS / f"{name}_{max(runs, default=0) + 1}"


def newest_folder(scene: str) -> Path:
    """runs/NAME_n with the largest number; UserError if there is none."""
    name, runs = numbered_runs(scene)
    if not runs:
        raise UserError(RUNS / f"{name}_1", "there is no run to continue", "name it with --output RUN")
    return runs[max(runs)]


def check_free(path: Path) -> None:
    """UserError if something is already there."""
    if path.is_dir() and all(entry.name == LOCK for entry in path.iterdir()):
        return
    if path.exists():
        remedy = "choose another --output, or go on with this run: --resume"
        raise UserError(path, "exists already", remedy)


def resumed_config(folder: RunFolder, settings: Mapping[str, Any]) -> Config:
    """The settings of the run; those given may repeat them but not change them."""
    remedy = "name a folder that `wim-fast train` made with --output"
    if not folder.path.is_dir():
        raise UserError(folder.path, "there is no such run", remedy)
    if not folder.config.is_file():
        raise UserError(folder.path, "is not a run: it has no config.yaml", remedy)
    config = folder.read_config()
    given = dict(settings)
    if config.schedule.minutes is None:
        given.pop("minutes", None)  # they have become a pace
    config = config_module.replace(config, backend=given.pop("backend", config.render.backend))
    given |= lasting_paths(given)
    if "scene" in given:
        given["scene"] = lasting_name(given["scene"])
    wanted = config_module.replace(config, **given)
    for name in given:
        setting = SETTINGS[name]
        now, then = setting.of(wanted), setting.of(config)
        if now != then:
            raise UserError(
                folder.config,
                f"{setting.flag} is {as_text(now)}, but the run has {as_text(then)}",
                "leave the flag out, or start a new run",
            )
    return config
