"""What of a run's turntable its training cameras confirm."""

from __future__ import annotations

import dataclasses

import pytest
from trained_run import TinyRun

import wim_fast
from wim_fast.model.motion import Motion
from wim_fast.runs.turntable_check import unconfirmed_share


@pytest.fixture(scope="module")
def run(tiny_run: TinyRun) -> wim_fast.Run:
    return wim_fast.load_run(tiny_run.path)


def test_an_object_that_all_cameras_see_is_confirmed(run: wim_fast.Run) -> None:
    shares = unconfirmed_share(run)
    assert 0 <= shares.unseen < 0.1
    assert 0 <= shares.hidden < 0.2


def test_what_is_elsewhere_is_seen_by_nobody(run: wim_fast.Run) -> None:
    astray = dataclasses.replace(run)
    vars(astray)["motion"] = Motion(run.motion.rotation, run.motion.translation + 3)
    assert unconfirmed_share(astray).unseen > 0.9


def test_the_table_says_so(run: wim_fast.Run) -> None:
    table = run.evaluate(cameras=[4], frames=[0])
    assert table.to_dict()["unconfirmed"] == {
        "unseen": table.unconfirmed.unseen,
        "hidden": table.unconfirmed.hidden,
    }
    assert f"Turntable: {table.unconfirmed.unseen:.1%} is where no training camera" in str(table)
