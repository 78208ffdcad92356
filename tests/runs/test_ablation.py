"""Ablations: which runs are wanted, how they are trained side by side, what is measured of them."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from tiny_run import SETTINGS

from wim_fast.config import load_config
from wim_fast.errors import UserError
from wim_fast.evaluation.centers import centers_outside
from wim_fast.recordings.cameras import Cameras
from wim_fast.runs.ablation import pool
from wim_fast.runs.ablation.jobs import Job, plan_jobs
from wim_fast.runs.ablation.measure import lines_of, measure_run, pixel_shares
from wim_fast.runs.ablation.variants import OURS, VARIANTS, chosen_variants
from wim_fast.runs.run import load_run
from wim_fast.sections import LossConfig
from wim_fast.settings import declared_settings
from wim_fast.training.observer import Stop
from wim_fast.training.run_folder import RunFolder


def test_each_variant_leaves_one_thing_out() -> None:
    """What it changes are settings, and none of them has the changed value in ours."""
    ours = load_config("dog")
    known = declared_settings(type(ours))
    for variant in VARIANTS.values():
        config = load_config("dog", dict(variant.settings))
        changed = {name for name in known if known[name].of(config) != known[name].of(ours)}
        if variant.name == "paper":
            assert {"preset", "hull_start", "lighting", "hull_weight", "iterations"} <= changed
        else:
            assert changed == set(variant.settings)
    assert [v.name for v in chosen_variants(["paper", "ours"])] == ["ours", "paper"]
    assert chosen_variants(None) == list(VARIANTS.values())
    with pytest.raises(UserError, match=r"no variant no-merges. Did you mean no-merge\?"):
        chosen_variants(["no-merges"])


def test_every_loss_has_a_variant() -> None:
    """But colour and mask, without which nothing is learned."""
    weights = {field.name for field in fields(LossConfig) if field.name.endswith("_weight")}
    weights |= {"joint_weight_start", "joint_weight_end"}
    left_out = {name for variant in VARIANTS.values() for name in variant.settings}
    assert weights - left_out == {"photo_weight", "mask_weight", "block_weight"}


def test_plan(tmp_path: Path) -> None:
    """Seed after seed; all have ours' length, also where a preset brings one; other settings are refused."""
    variants = chosen_variants(["ours", "no-merge", "paper"])
    jobs = plan_jobs(tmp_path, variants, 2, {"scene": "dog", "minutes": 0.5, "parts": 7, "merge_weight": 3})
    assert [job.name for job in jobs[:4]] == [
        "ours, seed 0",
        "no-merge, seed 0",
        "paper, seed 0",
        "ours, seed 1",
    ]
    assert {(job.config.schedule.minutes, job.config.schedule.iterations) for job in jobs} == {(0.5, None)}
    assert {job.config.model.parts for job in jobs} == {7}
    assert [job.config.loss.merge_weight for job in jobs[:3]] == [3, 0, 3]
    assert [job.config.schedule.seed for job in jobs] == [0, 0, 0, 1, 1, 1]
    assert jobs[2].config.render.rays_per_image == 384
    assert jobs[2].config.model.top_parts == 7  # of the 8 that the paper's preset has
    assert jobs[4].folder.path == tmp_path / "no-merge" / "seed_1"
    plan_jobs(
        tmp_path, variants[:1], 5, {"minutes": 0.5, "parts": 7, "merge_weight": 3}
    )  # more seeds are welcome
    with pytest.raises(UserError, match="trained with another --parts"):
        plan_jobs(tmp_path, variants, 2, {"minutes": 0.5, "parts": 8, "merge_weight": 3})
    with pytest.raises(UserError, match="0 seeds"):
        plan_jobs(tmp_path, variants, 0, {})


class Process:
    """Stands for a training: works for some polls, then has finished, or has failed."""

    alive: ClassVar[list[Process]] = []
    most: ClassVar[int] = 0

    def __init__(self, folder: Path, polls: int, fails: bool) -> None:
        self.folder, self.polls, self.fails, self.asked = folder, polls, fails, False
        self.returncode = None
        Process.alive.append(self)
        Process.most = max(Process.most, len(Process.alive))

    def poll(self) -> int | None:
        self.polls -= 1
        if self.polls > 0:
            return None
        if self.returncode is None:
            self.returncode = int(self.fails)
            Process.alive.remove(self)
            name = "train.stderr" if self.fails else "evaluation.json"
            (self.folder / name).write_text("error: no memory\n\n" if self.fails else "{}")
        return self.returncode

    def send_signal(self, number: int) -> None:
        self.asked = True

    def wait(self, seconds: float = 0) -> None:
        pass

    def kill(self) -> None:
        assert self.asked
        Process.alive.remove(self)


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """`start_tethered` starts none; the arguments that it got. The run of seed 1 fails."""
    started = []

    def start(arguments, errors, environment) -> Process:
        started.append(arguments)
        path = Path(arguments[arguments.index("--output") + 1])
        assert environment == {"OMP_NUM_THREADS": "1"}
        return Process(path, 1 + 2 * (len(started) % 3), "seed_1" in path.name)

    monkeypatch.setattr(pool, "start_tethered", start)
    monkeypatch.setattr(pool, "POLL_SECONDS", 0.0)
    Process.alive, Process.most = [], 0
    return started


def jobs_of(folder: Path, count: int) -> list[Job]:
    config = load_config("dog")
    return [Job(OURS, seed, config, RunFolder(folder / f"seed_{seed}")) for seed in range(count)]


def test_so_many_at_once(tmp_path: Path, trainings: list[list[str]]) -> None:
    jobs = jobs_of(tmp_path, 6)
    jobs[2].folder.create("")
    jobs[2].folder.evaluation.write_text("{}")
    told = []
    failed = pool.train_jobs(jobs, 2, Stop(), lambda *args: told.append(args))
    assert failed == {"ours, seed 1": "no memory"}
    assert Process.most == 2
    assert not Process.alive
    assert len(trainings) == 5  # one was finished
    assert trainings[0] == ["train", "--resume", "--output", str(tmp_path / "seed_0"), "--threads", "1"]
    assert load_config(None, config_file=jobs[0].folder.config) == jobs[0].config
    assert told[-1] == ("training 6 runs, % of each", 600, 600)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_stopping_ends_what_runs(tmp_path: Path, trainings: list[list[str]]) -> None:
    stop, jobs = Stop(), jobs_of(tmp_path, 4)
    pool.train_jobs(jobs, 2, stop, lambda *_: setattr(stop, "asked", True))
    assert len(trainings) == 2
    assert not Process.alive


def test_progress_is_what_was_written_last(tmp_path: Path) -> None:
    job = jobs_of(tmp_path, 1)[0]
    assert job.progress == 0.0
    job.folder.create("")
    rows = [json.dumps({"progress": k / 10, "filler": "x" * 3000}) for k in range(8)]
    job.folder.metrics.write_text("\n".join([*rows, '{"progr']))
    assert job.progress == pytest.approx(0.7 * 0.99)
    job.folder.evaluation.write_text("{}")
    assert job.progress == 1.0


def test_centers_outside() -> None:
    """Two cameras at right angles, 10 x 10 pixels of 0.1 at distance 1."""
    K = np.tile([[10.0, 0, 5], [0, 10, 5], [0, 0, 1]], (2, 1, 1))
    T = np.tile(np.eye(4), (2, 1, 1))
    T[:, 2, 3] = 1.0  # the origin lies 1 in front
    T[1, :3, :3] = [[0, 0, -1], [0, 1, 0], [1, 0, 0]]
    masks = np.zeros((2, 10, 10), np.uint8)
    masks[:, 3:7, 3:7] = 1
    masks[1, :, 7:] = 2  # unreliable: z < -0.2 of the second camera
    centers = np.array(
        [[0, 0, 0], [0.3, 0, 0], [0, 0, 0.4], [0, 0, -0.25], [0.1, 0.1, 0.1], [0, 0, -2], [9, 0, 0]]
    )
    found = centers_outside(centers, Cameras((0, 1), K, T, 10, 10), masks)
    # the fourth is unreliable in one and seen on the object in the other; the sixth and seventh are in no picture
    assert found.tolist() == [False, True, True, False, False, False, False]


def test_measures_of_a_run(tiny_run, tmp_path: Path) -> None:
    """From evaluation.json, and the parts of the picture itself."""
    run = load_run(tiny_run.path)
    shares = pixel_shares(run)
    assert shares.sum() == pytest.approx(1.0)
    assert len(shares) == SETTINGS["parts"]
    job = Job(OURS, 0, run.config, RunFolder(tiny_run.path))
    measured = measure_run(job)
    written = json.loads((tiny_run.path / "evaluation.json").read_text())
    assert measured.values["psnr"] == written["test cameras"]["psnr"]
    assert measured.values["joint_error"] == pytest.approx(100 * written["joints"]["error"])
    assert measured.values["idle_parts"] == (shares < 1e-3).sum()
    assert 0 <= measured.values["centers_outside"] <= SETTINGS["parts"]
    other = replace(measured, values={**measured.values, "psnr": measured.values["psnr"] + 2})
    missing = Job(VARIANTS["no-merge"], 0, run.config, RunFolder(tmp_path))
    ours, none = lines_of([job, missing], [measured, other])
    assert ours.values["psnr"] == pytest.approx((measured.values["psnr"] + 1, np.sqrt(2)))
    assert (none.name, none.runs, none.values) == ("without merge loss", 0, {})
