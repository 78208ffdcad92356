"""Templates: those that ship, those that are none, and where one is put in a scene."""

import json

import numpy as np
import pytest
from errors import refused

from wim_fast.baselines.schmidtke.placement import TURNS, mean_and_spread, place_on
from wim_fast.baselines.schmidtke.template import read_template, template_names

PARTS = {name: {"center": [0, 0, z], "sigma": [0.1, 0.1, 0.2]} for name, z in (("a", 0), ("b", 1), ("c", 2))}
ANCHORS = [{"parts": ["a", "b"], "at": [0, 0, 0.5]}, {"parts": ["b", "c"], "at": [0, 0, 1.5]}]


@pytest.mark.parametrize(("name", "parts"), [("arm", 10), ("dog", 18), ("person", 18)])
def test_shipped_templates_hang_together_at_their_anchors(name, parts):
    template = read_template(name)
    assert name in template_names()
    assert len(template.names) == len(template.centers) == len(template.sigmas) == parts
    assert len(template.pairs) == parts - 1  # a tree
    for point, pair in zip(template.anchors, template.pairs, strict=True):
        off = np.abs((point - template.centers[pair]) / template.sigmas[pair])
        assert np.linalg.norm(off, axis=1).max() < 3.2, f"an anchor of {name} lies outside of its parts"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"anchors": ANCHORS[:1]}, "no anchors connect c with a"),
        (
            {"anchors": [*ANCHORS, {"parts": ["a", "tail"], "at": [0, 0, 0]}]},
            "anchor 3 is of 'tail', which is no part",
        ),
        ({"anchors": [{"parts": ["a", "a"], "at": [0, 0, 0]}]}, "anchor 1 is of ['a', 'a']"),
        ({"anchors": [{"parts": ["a", "b"]}]}, "anchor 1 must hold parts and at"),
        ({"parts": {**PARTS, "c": {"center": [0, 0], "sigma": [1, 1, 1]}}}, "center of c is [0, 0]"),
        ({"parts": {**PARTS, "c": {"center": [0, 0, 2], "sigma": [1, 0, 1]}}}, "a sigma is not above zero"),
        ({"parts": {}}, "parts must hold 'name: part' pairs"),
        ({"joints": []}, "the file must hold parts and anchors, and nothing else"),
    ],
)
def test_a_template_that_does_not_match_is_one_clear_line(change, message, tmp_path):
    path = tmp_path / "template.json"
    path.write_text(json.dumps({"parts": PARTS, "anchors": ANCHORS}))
    assert read_template(path).pairs.tolist() == [[0, 1], [1, 2]]
    path.write_text(json.dumps({"parts": PARTS, "anchors": ANCHORS, **change}))
    with refused(path, message):
        read_template(path)


def test_a_template_that_is_not_there():
    with refused("hamster", "there is no such template", "arm, dog, person"):
        read_template("hamster")


def test_a_template_is_put_where_its_own_shape_stands():
    """Points of the dog's Gaussians, made smaller, turned and moved: it comes out as they did."""
    template, rng = read_template("dog"), np.random.default_rng(0)
    counts = rng.multinomial(6000, template.sigmas.prod(1) / template.sigmas.prod(1).sum())
    part = np.repeat(np.arange(len(counts)), counts)
    points = template.centers[part] + rng.normal(size=(len(part), 3)) * template.sigmas[part]
    up = np.array([0.0, 1.0, 0.0])
    side = np.array([np.cos(2.0), 0.0, np.sin(2.0)])
    turn = np.stack([side, np.cross(up, side), up], axis=1)
    offset = np.array([0.3, -1.0, 2.0])
    placement = place_on(template, 0.7 * points @ turn.T + offset, up)
    degrees = np.degrees(np.arccos((np.trace(placement.rotation @ turn.T) - 1) / 2))
    assert placement.scale == pytest.approx(0.7, rel=0.03)
    assert degrees <= 180 / TURNS + 1
    middle = mean_and_spread(template)[0]
    placed = placement.scale * placement.rotation @ middle + placement.offset
    assert placed == pytest.approx(0.7 * turn @ middle + offset, abs=0.02)
