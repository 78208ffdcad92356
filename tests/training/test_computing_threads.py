"""A step of the compiled kernels leaves the cores to them: torch's part of it runs on one thread, kernels on some."""

import numba
import one_step
import pytest
import torch
from tiny_run import tiny_scene

from wim_fast import processes
from wim_fast.processes import ALONE, computing_threads
from wim_fast.training import trainer


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_torch_has_one_thread_in_a_step_and_all_after_it(tmp_path, monkeypatch, three_threads):
    counts = []
    losses = trainer.training_losses

    def watched(*args):
        counts.append(torch.get_num_threads())
        return losses(*args)

    monkeypatch.setattr(trainer, "training_losses", watched)
    one_step.take_step(tiny_scene(tmp_path / "tiny"), ALONE)
    assert counts == [1]
    assert torch.get_num_threads() == 3


def test_kernels_have_no_more_threads_than_pieces_of_work(monkeypatch):
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("numba was started with one thread")
    before = numba.get_num_threads()
    numba.set_num_threads(2)
    try:
        with computing_threads():
            assert numba.get_num_threads() == 2
        monkeypatch.setattr(processes, "MOST_THREADS", 1)
        with computing_threads():
            assert numba.get_num_threads() == 1
        assert numba.get_num_threads() == 2
    finally:
        numba.set_num_threads(before)
