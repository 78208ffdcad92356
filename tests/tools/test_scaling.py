"""`tools/scaling.py`: what it makes of its measurements."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

from scaling import fit

from wim_fast.processes import Processes
from wim_fast.sections import SamplingConfig
from wim_fast.training.step import shared_sampling


def test_the_fit_finds_what_is_repeated_and_what_is_shared():
    assert fit({n: 30 + 50 / n for n in (1, 2, 4, 8)}) == pytest.approx((30, 50))
    assert fit({1: 80.0}) == (0, 80)


def test_all_processes_draw_as_many_points_as_one():
    whole, part = SamplingConfig(), shared_sampling(SamplingConfig(), Processes(1, 4))
    assert 4 * part.eikonal_points == whole.eikonal_points
    assert 4 * part.void_points == whole.void_points
    assert part.core_points == whole.core_points  # of each image
