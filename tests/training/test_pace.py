"""Progress from steps: even, or changed on the way."""

from itertools import pairwise

import pytest

from wim_fast.errors import UserError
from wim_fast.training.pace import Pace


@pytest.mark.parametrize("iterations", [1, 3, 7, 49, 5762, 200_000])
def test_a_steady_pace_is_the_share_of_the_steps_bit_for_bit(iterations):
    pace = Pace.steady(iterations)
    for step in range(0, iterations, max(iterations // 1000, 1)):
        assert pace.progress(step) == step / iterations
    assert pace.progress(iterations) == pace.progress(iterations + 5) == 1.0


def test_changes_bend_progress_but_never_break_it():
    pace = Pace.steady(100).changed(20, 60).changed(40, 200).changed(190, 191)
    progress = [pace.progress(step) for step in range(192)]
    assert progress[0] == 0.0
    assert progress[20] == 0.2
    assert progress[40] == pytest.approx(0.6)
    assert progress[41] - progress[40] == pytest.approx(0.4 / 160)
    assert all(before < after for before, after in pairwise(progress))
    assert progress[191] == 1.0


def test_progress_until_a_change_is_what_it_was_before_it():
    """What a run computed on the way, one that repeats its pace computes again."""
    pace, on_the_way = Pace.steady(1000), {}
    for step in range(1, 300):
        on_the_way[step] = pace.progress(step)
        if step % 7 == 0:
            pace = pace.changed(step, step + 300 - step * 2 // 3)
            assert pace.progress(step) == on_the_way[step]
    assert {step: pace.progress(step) for step in on_the_way} == on_the_way


def test_an_end_that_is_there():
    pace = Pace.steady(100).changed(30, 20)
    assert pace.iterations == 30
    assert pace.progress(29) == 0.29
    assert pace.progress(30) == 1.0


def test_as_text():
    pace = Pace.steady(1000).changed(1, 620).changed(12, 600)
    assert str(pace) == "0:1000 1:620 12:600"
    assert Pace.parse(str(pace)) == pace
    assert Pace.parse("0:1000 30:30").iterations == 30


@pytest.mark.parametrize(
    "text",
    ["", "600", "0:600 5", "5:600", "0:0", "0:-3", "0:60 60:70", "0:60 8:50 8:40", "0:60 8:7", "0:60 a:b"],
)
def test_what_is_no_pace(text):
    with pytest.raises(UserError, match=r"schedule\.pace: .* is not a pace"):
        Pace.parse(text)
