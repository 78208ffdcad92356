"""The page in headless Chromium, from the disk: posed as we pose it, with joints that turn."""

from __future__ import annotations

import importlib.util
from itertools import pairwise
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from chromium import chromium, executable

from wim_fast.export.html import page_facts, write_html

needs_browser = pytest.mark.skipif(
    executable() is None or importlib.util.find_spec("websockets") is None,
    reason="Chromium, or the package websockets to drive it, is not installed",
)


def test_a_joint_turns_about_the_axis_it_was_seen_to_turn_about(asset) -> None:
    facts = page_facts(asset)
    assert facts["seconds"] == pytest.approx(9 / 30)
    assert [joint["name"] for joint in facts["joints"]] == asset.rig.names
    for joint in facts["joints"]:
        assert np.linalg.norm(joint["axis"]) == pytest.approx(1)
        assert joint["least"] <= -30 <= 30 <= joint["greatest"]


def test_the_page_needs_nothing_else(asset, tmp_path) -> None:
    page = write_html(asset, tmp_path / "run.html")[0].read_text()
    assert "{{" not in page.split("<script>")[0]
    assert "MIT License" in page
    assert 'src="' not in page
    assert "<link" not in page


@needs_browser
def test_it_poses_as_we_do_and_shows_what_is_chosen(asset, tmp_path) -> None:
    page = write_html(asset, tmp_path / "run.html")[0]
    with chromium(page.as_uri(), tmp_path / "profile", 480, 320) as tab:
        tab.wait_for("window.page !== undefined")
        tab.evaluate("page.play(false), page.renderer.setAnimationLoop(null)")

        def vertices() -> np.ndarray:
            return np.array(tab.evaluate("page.vertices()")).reshape(-1, 3)

        for frame in range(10):
            tab.evaluate(f"page.seek({asset.rig.times[frame]})")
            ours = asset.upright.points(asset.posed_vertices(asset.run.motion.at([frame])))
            assert np.abs(vertices() - ours).max() < 1e-4
        before = vertices()
        leaf = next(iter(asset.rig.tips))
        tab.evaluate(f"page.sliders[{leaf}].slider.value = 30")
        tab.evaluate(f"page.sliders[{leaf}].slider.dispatchEvent(new Event('input'))")
        assert np.abs(vertices() - before).max() > 0.01
        tab.click_text("Reset joints")
        tab.wait_for("page.angles.every((angle) => angle === 0)")
        assert np.abs(vertices() - before).max() < 1e-6
        pictures = [seen(tab, look, tmp_path / f"{look}.png") for look in ("film", "parts", "skeleton")]
    assert all((a != b).any(axis=-1).sum() > 100 for a, b in pairwise(pictures))


def seen(tab, look: str, path: Path) -> np.ndarray:
    """A picture of the page after a click on one of its looks."""
    tab.click_text(look)
    tab.wait_for(f"page.mesh.material === page.looks.{look}")
    tab.evaluate("page.step(performance.now())")
    return iio.imread(tab.screenshot(path))[:, 280:, :3].astype(int)
