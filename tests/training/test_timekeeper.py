"""Minutes are kept on machines whose speed changes, and the pace that kept them can be repeated."""

import json
import signal
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from tiny_run import differences, flags, newest_checkpoint, tiny_scene

from wim_fast.cli import main
from wim_fast.config import from_yaml
from wim_fast.ops.backend import select_backend
from wim_fast.processes import ALONE
from wim_fast.training import loop, timekeeper
from wim_fast.training.pace import GUESS, Pace
from wim_fast.training.step import StepReport
from wim_fast.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("bare_training")

MINUTES = 2.0
REPORT = StepReport((), torch.zeros(3), 1)


class FakeTrainer:
    """Steps that cost `cost(progress, now)` seconds, on a clock of its own."""

    def __init__(self, cost: Callable[[float, float], float], pace: Pace, step: int = 0) -> None:
        self.cost, self.pace, self.step, self.now = cost, pace, step, 0.0
        self.processes, self.backend = ALONE, select_backend("numba")
        self.course = [self.progress]

    @property
    def progress(self) -> float:
        return self.pace.progress(self.step)

    @property
    def iterations(self) -> int:
        return self.pace.iterations

    def train(self, minutes: float, until: float = 1.0) -> None:
        keeper = timekeeper.Timekeeper(self, minutes)  # type: ignore[arg-type]
        while self.step < self.iterations and self.progress < until:
            self.now += self.cost(self.progress, self.now)
            self.step += 1
            keeper.stepped(REPORT)
            self.course.append(self.progress)


@pytest.fixture
def fake(monkeypatch) -> Callable[..., FakeTrainer]:
    def make(cost: Callable[[float, float], float], pace: Pace | None = None, step: int = 0) -> FakeTrainer:
        trainer = FakeTrainer(cost, pace or Pace.steady(GUESS), step)
        monkeypatch.setattr(timekeeper.time, "monotonic", lambda: trainer.now)
        return trainer

    return make


def growing(progress: float) -> float:
    """Seconds of a step: frames are added, the surface sharpens, the merge loss joins."""
    return 0.02 * (1 + 0.8 * min(progress / 0.5, 1) + 0.3 * (progress > 0.75))


@pytest.mark.parametrize(
    "cost",
    [
        lambda progress, now: 0.02,
        lambda progress, now: growing(progress),
        lambda progress, now: growing(progress) * (1.25 if now > 60 else 1),
        lambda progress, now: growing(progress) * (1.5 if now > 60 else 1),
        lambda progress, now: growing(progress) * (1 if now > 60 else 1.5),
        lambda progress, now: growing(progress) * (1.25 if now % 20 > 10 else 1),
        lambda progress, now: growing(progress) * (3 if now > 118 else 1),
        lambda progress, now: growing(progress) + (2.0 if now % 30 < 0.03 else 0),  # checkpoints and previews
        lambda progress, now: 2.0 if now == 0 else 0.003,  # a GPU records its first steps
        lambda progress, now: 7.0,
    ],
    ids=[
        "even",
        "growing",
        "a quarter",
        "a half",
        "faster",
        "to and fro",
        "at the end",
        "hiccups",
        "recording",
        "few steps",
    ],
)
def test_training_ends_when_its_minutes_are_over(fake, cost):
    trainer = fake(cost)
    trainer.train(MINUTES)
    assert trainer.now == pytest.approx(60 * MINUTES, rel=0.05)
    course = trainer.course
    assert course[0] == 0.0
    assert course[-1] == 1.0
    assert all(before < after for before, after in pairwise(course))
    assert len(trainer.pace.changes) < 80
    again = [Pace.parse(str(trainer.pace)).progress(step) for step in range(len(course))]
    assert again[:-1] == course[:-1]


def test_progress_is_time(fake):
    trainer = fake(lambda progress, now: growing(progress) * (1.25 if now > 60 else 1))
    trainer.train(MINUTES, until=0.75)
    assert trainer.now == pytest.approx(0.75 * 60 * MINUTES, rel=0.02)


def test_a_resumed_run_takes_the_rest(fake):
    first = fake(lambda progress, now: growing(progress))
    first.train(MINUTES, until=0.4)
    resumed = fake(lambda progress, now: 3 * growing(progress), first.pace, first.step)
    resumed.train(MINUTES)
    assert resumed.now == pytest.approx(0.6 * 60 * MINUTES, rel=0.05)
    assert first.course[-1] == resumed.course[0] < resumed.course[1]


def test_almost_no_time(fake):
    trainer = fake(lambda progress, now: 5.0)
    trainer.train(0.001)
    assert trainer.step == trainer.iterations == 1
    assert trainer.progress == 1.0


# Real runs


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_scene(tmp_path_factory.mktemp("scene") / "tiny")


def train(scene: Path, run: Path, *arguments: str, **changes: object) -> None:
    settings = {"iterations": None, "minutes": 0.05, "threads": 1, **changes}
    assert main(["train", "--scene", str(scene), "--output", str(run), *arguments, *flags(**settings)]) == 0


@pytest.fixture
def clock(monkeypatch):
    """The clock that minutes are kept by: a step takes `seconds(now)` of it, 20 ms unless a test says otherwise."""

    class Clock:
        now = 0.0
        seconds = staticmethod(lambda now: 0.02)
        monotonic = staticmethod(lambda: Clock.now)

    step = Trainer.train_step

    def timed(trainer: Trainer) -> StepReport:
        Clock.now += Clock.seconds(Clock.now)
        return step(trainer)

    monkeypatch.setattr(Trainer, "train_step", timed)
    monkeypatch.setattr(timekeeper, "time", Clock)
    return Clock


def test_a_run_can_be_repeated_from_its_config(scene, tmp_path, capsys):
    train(scene, tmp_path / "a", minutes=0.02)
    assert "0.02 minutes; writing to" in capsys.readouterr().out
    config = from_yaml(tmp_path / "a" / "config.yaml")
    assert (config.schedule.iterations, config.schedule.minutes) == (None, None)
    assert config.schedule.pace is not None
    pace = Pace.parse(config.schedule.pace)
    checkpoint = newest_checkpoint(tmp_path / "a")
    assert (checkpoint["step"], checkpoint["pace"]) == (pace.iterations, config.schedule.pace)
    rows = [json.loads(line) for line in (tmp_path / "a" / "metrics.jsonl").read_text().splitlines()]
    assert [row["progress"] for row in rows] == sorted(row["progress"] for row in rows)
    assert (rows[-1]["step"], rows[-1]["progress"], rows[-1]["seconds_left"]) == (pace.iterations, 1.0, 0.0)

    again = ["train", "--config", str(tmp_path / "a" / "config.yaml"), "--output", str(tmp_path / "b")]
    assert main([*again, "--threads", "1"]) == 0
    assert differences(checkpoint, newest_checkpoint(tmp_path / "b")) == []
    finished = ["train", "--resume", "--output", str(tmp_path / "a"), "--minutes", "0.02", "--threads", "1"]
    assert main(finished) == 0
    assert differences(checkpoint, newest_checkpoint(tmp_path / "a")) == []


def test_a_run_that_was_stopped_takes_the_rest_and_can_be_repeated(
    scene, tmp_path, capsys, monkeypatch, clock
):
    run, step = tmp_path / "stopped", Trainer.train_step
    half = False

    def interrupted(trainer: Trainer) -> StepReport:
        nonlocal half
        if not half and trainer.progress > 0.5 and trainer.step > 1 and trainer.step < trainer.iterations:
            half = True
            signal.raise_signal(signal.SIGINT)
        return step(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", interrupted)
        with pytest.raises(SystemExit):
            train(scene, run, minutes=0.02)
    assert "% of the way, and saved" in capsys.readouterr().out
    assert from_yaml(run / "config.yaml").schedule.minutes == 0.02
    stopped = newest_checkpoint(run)
    assert 0.4 < Pace.parse(stopped["pace"]).progress(stopped["step"]) < 1
    resume = ["train", "--resume", "--output", str(run), "--threads", "1"]
    assert main([*resume, "--minutes", "3"]) == 2
    assert "--minutes is 3, but the run has 0.02" in capsys.readouterr().err
    assert main(resume) == 0
    done = newest_checkpoint(run)
    assert done["step"] > stopped["step"]
    again = ["train", "--config", str(run / "config.yaml"), "--output", str(tmp_path / "again")]
    assert main([*again, "--threads", "1"]) == 0
    assert differences(done, newest_checkpoint(tmp_path / "again")) == []


@pytest.mark.parametrize("minutes", [1e-6, 0.002])
def test_hardly_any_time(scene, tmp_path, minutes):
    train(scene, tmp_path / "run", minutes=minutes)
    assert newest_checkpoint(tmp_path / "run")["step"] >= 1


def test_steps_that_become_slower(scene, tmp_path, monkeypatch, clock):
    """By half from the middle on."""
    clock.seconds = lambda now: 0.02 if now < 1.5 else 0.03
    before = []
    original = loop.Timekeeper

    def started(trainer: Trainer, minutes: float) -> timekeeper.Timekeeper:
        before.append(clock.now)
        return original(trainer, minutes)

    monkeypatch.setattr(loop, "Timekeeper", started)
    train(scene, tmp_path / "run")
    assert clock.now - before[0] == pytest.approx(3.0, rel=0.05)
