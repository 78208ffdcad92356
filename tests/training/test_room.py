"""Arrays of fixed size: their room is measured, followed, and told of when it grows."""

import pytest
import torch
from tiny_scene import ring, write_scene

from wim_fast.config import load_config
from wim_fast.ops.backend import select_backend
from wim_fast.scene.load import load_scene
from wim_fast.training.loop import StepCheck
from wim_fast.training.observer import Observer
from wim_fast.training.room import AHEAD, EXACT, LOW, MULTIPLE, Room
from wim_fast.training.run_folder import RunFolder
from wim_fast.training.step_report import StepReport, on_host
from wim_fast.training.trainer import Trainer
from wim_fast.training.warm_up import warm_up


def report(marched=0, decoded=0, dropped=0, marched_dropped=0) -> StepReport:
    """Of a step that kept so many samples."""
    numbers = [torch.tensor(float(x)) for x in (0.01, decoded, dropped, marched, marched_dropped)]
    return StepReport.of(("photo",), torch.ones(1), 64, numbers)


def test_room_is_that_of_the_fullest_step_and_more():
    steps = [report(50_000, 9_000), report(70_000, 5_000)]
    room = Room(80_000, 10_000).measured(steps)
    for rows, needed in zip(room, (70_000, 9_000), strict=True):
        assert rows % MULTIPLE == 0
        assert AHEAD * needed <= rows < AHEAD * needed + MULTIPLE
    assert room.grown(steps) == room


def test_room_grows_before_samples_are_dropped():
    room = Room(65_536, 8_192)
    almost = report(int(65_536 / LOW) + 10, 1_000)
    assert room.grown([almost]).marched >= AHEAD * almost.num_marched
    assert room.grown([almost]).decoded == room.decoded


def test_what_was_dropped_counts_as_needed():
    """Of the samples that were not marched, as many would have shown as of the others."""
    full = report(10_000, 1_000, dropped=10_500, marched_dropped=10_000)
    room = Room(10_000, 1_000).grown([full])
    assert room.marched >= AHEAD * 20_000
    assert room.decoded >= AHEAD * 1_500 * 2


def test_arrays_of_exact_size_need_no_room():
    assert EXACT.grown([report(10**6)]) == EXACT.measured([report(10**6)]) == EXACT


def test_reports_come_to_the_host_as_they_are():
    reports = [report(10, 5, 3, 2), report(20)._replace(names=("photo", "mask"), values=torch.arange(7.0))]
    assert [r.losses for r in on_host(reports)] == [{"photo": 1.0}, {"photo": 0.0, "mask": 1.0}]
    first, second = on_host(reports)
    assert (first.num_marched, first.num_samples, first.num_dropped, first.num_marched_dropped) == (
        10,
        5,
        3,
        2,
    )
    assert second.squared_error == 2.0
    assert on_host([]) == []


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scene") / "tiny"
    write_scene(folder, frames=3, eyes=ring(3), width=32, solid="ellipsoid")
    return load_scene(folder)


class Forgetful:
    """In the place of `Recorded`: calls what it is given, and counts how often it was to record anew."""

    times = 0

    def __call__(self, function, *arguments):
        return function(*arguments)

    def forget(self):
        self.times += 1


def fixed_trainer(scene, **settings) -> Trainer:
    """On the CPU, with arrays of fixed size."""
    small = {"parts": 3, "hash_log2_entries": 8, "pose_width": 16, "decoder_width": 16, "iterations": 50}
    config = load_config(None, {**small, "images_per_step": 4, "rays_per_image": 256, **settings})
    backend = select_backend("numba")._replace(needs_capacity=True)
    trainer = Trainer(scene, config, 50, backend)
    trainer.recorded = Forgetful()
    return trainer


def test_room_is_measured_before_the_first_step(scene):
    """As much as the sharpest surface needs, whatever the first guess, and nothing else has changed."""
    exact = fixed_trainer(scene)
    exact.backend, exact.room = select_backend("numba"), EXACT
    exact.step = exact.iterations
    needed = exact.train_step()
    for guess in (1, 200):
        trainer = fixed_trainer(scene, marched_per_ray=guess, decoded_per_ray=guess)
        before = trainer.room
        warm_up(trainer)
        assert trainer.step == 0
        assert trainer.recorded.times > 0
        assert (trainer.room.marched > before.marched) == (guess == 1)
        assert needed.num_marched < trainer.room.marched < 2 * needed.num_marched + MULTIPLE
        assert needed.num_samples < trainer.room.decoded < 3 * needed.num_samples + MULTIPLE
        trainer.step = trainer.iterations
        assert trainer.train_step().num_dropped == 0


def test_a_surface_that_sharpens_gets_more_room(scene, tmp_path):
    """It is told, with what was lost; and the numbers are those of arrays of exact size, but for that."""
    trainer = fixed_trainer(scene, final_inv_s=900.0, initial_inv_s=900.0)
    trainer.room = Room(2_048, 1_024)
    observer, told = Observer(), []
    observer.say = told.append
    check = StepCheck(trainer, RunFolder(tmp_path / "run"), observer)
    check.every = 2
    for _ in range(2):
        check(trainer.train_step())
    assert trainer.recorded.times == 1
    assert len(told) == 1
    assert "step 2: room for" in told[0]
    assert "samples were dropped in 2 steps" in told[0]
    for _ in range(4):
        last = trainer.train_step()
        check(last)
    assert last.num_dropped == 0
    assert len(told) == 1
    exact = fixed_trainer(scene, final_inv_s=900.0, initial_inv_s=900.0)
    exact.backend, exact.room = select_backend("numba"), EXACT
    same = fixed_trainer(scene, final_inv_s=900.0, initial_inv_s=900.0)
    same.room = trainer.room
    ours, theirs = same.train_step(), exact.train_step()
    assert ours.losses == pytest.approx(theirs.losses, rel=1e-3)
