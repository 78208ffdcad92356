"""The last word: what to mend first, and what is only worth knowing."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_scene import ring, write_scene

from wim_fast.importing.checks.check import CalibrationReport
from wim_fast.importing.placement import BY_CAMERAS, GIVEN, Placement
from wim_fast.importing.survey import Sighting
from wim_fast.importing.verdict import judge
from wim_fast.recordings.windows import Window
from wim_fast.scene.load import load_scene

PLACED = Placement(1.0, np.eye(3), np.zeros(3), np.array([0, 0, 1.0]), 20.0, GIVEN)
AGREES = CalibrationReport((), (0,), 1.0, ["all 5 cameras agree"], True)
SEEN = Sighting(Window(0, 0, 9, 9), frames=20, seen=20, cut_off=2)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return load_scene(write_scene(tmp_path_factory.mktemp("scene"), eyes=ring(5)).path)


def verdict(scene, sightings=(SEEN,) * 5, placement=PLACED, calibration=AGREES):
    cameras = [SimpleNamespace(id=v, name=f"cam{v}") for v in range(5)]
    framing = SimpleNamespace(recording=SimpleNamespace(cameras=cameras))
    return judge(framing, sightings, placement, scene, calibration)


def changed(**change):
    return (SEEN, dataclasses.replace(SEEN, **change), SEEN, SEEN, SEEN)


def test_all_is_well(scene):
    """Also where cameras are tilted: what is up was given."""
    found = verdict(scene)
    assert (found.mend, found.notes) == ((), ())
    assert found.line("wim-fast train") == "good to train: wim-fast train"


def test_up_is_only_doubted_where_cameras_say_it(scene):
    found = verdict(scene, placement=dataclasses.replace(PLACED, up_from=BY_CAMERAS))
    assert found.mend == ()
    assert found.notes == ("the cameras are tilted by 20 degrees: what is up may be wrong, give --up",)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"seen": 0, "box": None}, "camera 1 (cam1) never sees the object; leave it out with --without 1"),
        ({"seen": 15}, "the masks of camera 1 (cam1) are empty in 5 of 20 frames"),
        ({"background": {"warnings": ["the masks flicker"]}}, "camera 1 (cam1): the masks flicker"),
    ],
)
def test_masks(scene, change, sentence):
    found = verdict(scene, changed(**change))
    assert found.mend == (sentence,)
    assert found.line("train") == f"mend first: {sentence}; to train all the same: train"


def test_an_object_that_is_cut_off_is_noted(scene):
    found = verdict(scene, changed(cut_off=12))
    assert found.mend == ()
    assert found.notes == ("camera 1 cuts the object off in 12 of 20 frames",)


def test_the_worst_comes_first(scene):
    wrong = dataclasses.replace(AGREES, verdicts=["camera 2 disagrees"], ok=False)
    apart = dataclasses.replace(PLACED, meets=False)
    one_side = scene.select([0])
    found = verdict(one_side, changed(seen=0), apart, wrong)
    assert [text.split()[0] for text in found.mend] == ["the", "camera", "camera", "with"]
    assert found.mend[0].startswith("the masks do not meet")
    assert found.mend[1] == "camera 2 disagrees"
