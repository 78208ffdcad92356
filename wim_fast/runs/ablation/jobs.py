"""The runs of an ablation, each in a folder of its own: which are wanted, and how far they are.

OUTPUT/settings.yaml            of `ours`; all runs share them but for what a variant changes
OUTPUT/VARIANT/seed_0/          a run, as `wim-fast train` makes it
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wim_fast import config as config_module
from wim_fast.config import SETTINGS, Config, load_config, to_yaml
from wim_fast.errors import UserError
from wim_fast.files import write_atomic
from wim_fast.runs.ablation.variants import Variant
from wim_fast.sections import MOST_TOP_PARTS, PAPER
from wim_fast.training.run_folder import RunFolder
from wim_fast.training.split import lasting_name

LAST_BYTES = 1 << 14  # of metrics.jsonl: more than a line of it
MEASURED = 0.01  # of a run's progress is what comes after its last step


@dataclass(frozen=True)
class Job:
    """A run that is wanted."""

    variant: Variant
    seed: int
    config: Config
    folder: RunFolder

    @property
    def name(self) -> str:
        """For a person."""
        return f"{self.variant.name}, seed {self.seed}"

    @property
    def finished(self) -> bool:
        """Training measures a run when it has ended, and not before."""
        return self.folder.evaluation.is_file()

    @property
    def progress(self) -> float:
        """Share of it that is done, in [0, 1], as the run has last written it; 1 only when it has finished."""
        if self.finished:
            return 1.0
        try:
            with self.folder.metrics.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - LAST_BYTES))
                lines = file.read().split(b"\n")
            trained = float(json.loads(lines[-2])["progress"])  # after its end stands nothing, or half a line
            return min(trained, 1.0) * (1 - MEASURED)
        except (OSError, IndexError, ValueError, KeyError):
            return 0.0


def plan_jobs(
    output: Path,
    variants: Sequence[Variant],
    seeds: int,
    settings: Mapping[str, Any],
    config_file: str | Path | None = None,
) -> list[Job]:
    """All runs that are wanted, seed after seed.

    Args:
        output: folder of the ablation.
        seeds: how many: 0, 1, ...
        settings: by name, of all runs; a variant's own have the last word.
        config_file: a file of settings in place of the scene's own.

    UserError if `output` holds an ablation with other settings.
    """
    if seeds < 1:
        raise UserError("--seeds", f"{seeds} seeds are not possible", "give at least 1")
    base = dict(settings)
    base["scene"] = lasting_name(str(base.get("scene", SETTINGS["scene"].default)))
    ours = load_config(None, {**base, "seed": 0}, config_file=config_file)
    length = {name: SETTINGS[name].of(ours) for name in ("iterations", "minutes", "pace")}
    base |= {name: value for name, value in length.items() if value is not None}  # a preset may have another
    remember_settings(output / "settings.yaml", ours)

    def job(variant: Variant, seed: int) -> Job:
        values = {**base, **variant.settings, "seed": seed}
        if values.get("preset") == PAPER:  # it reads the features of all parts, however few there are
            values["top_parts"] = min(MOST_TOP_PARTS, ours.model.num_parts)
        config = load_config(None, values, config_file=config_file)
        return Job(variant, seed, config, RunFolder(output / variant.name / f"seed_{seed}"))

    return [job(variant, seed) for seed in range(seeds) for variant in variants]


def remember_settings(file: Path, ours: Config) -> None:
    """For the next time; UserError if the last time they were others."""
    if not file.is_file():
        write_atomic(file, to_yaml(ours).encode())
        return
    known = config_module.from_yaml(file)
    differ = [setting.flag for setting in SETTINGS.values() if setting.of(known) != setting.of(ours)]
    if differ:
        problem = f"the runs beside it were trained with another {', '.join(differ)}"
        raise UserError(file, problem, "give the same settings, or another --output")
