"""What a run settles once its recording is read."""

import pytest
from tiny_scene import ring, write_scene

from wim_fast.config import Config, load_config, replace
from wim_fast.errors import UserError
from wim_fast.recordings.write import IMPORT_REPORT
from wim_fast.training.split import read_split


@pytest.fixture
def scene(tmp_path):
    return write_scene(tmp_path / "scene", eyes=ring(3), frames=2).path


def settled(scene, **overrides):
    """Share of rays at outlines, how they are spread, whether images are halved, and the final sharpness in 1 / pixels."""
    config = read_split(load_config(overrides={"scene": str(scene), "parts": 2, **overrides})).config
    sampling = config.sampling
    course = config.optimizer.final_lr_share, config.schedule.growth_end
    assert course == ((0.01, 0.25) if sampling.pyramid else (0.05, 0.4))
    return sampling.outline_share, sampling.ray_spread, sampling.pyramid, config.render.inv_s_pixels


def test_exact_masks_are_looked_at_closely(scene):
    """Those of rendered pictures; what is asked for stays as it is."""
    assert settled(scene) == (0.5, 0.5, True, 4.0)
    assert settled(scene, outline_share=0.2) == (0.2, 0.5, True, 4.0)
    assert settled(scene, inv_s_pixels=1.5) == (0.5, 0.5, True, 1.5)


def test_masks_of_film_are_believed_less(scene):
    """Those that are doubted, and those of an imported recording."""
    assert settled(scene, doubt=8.0) == (0.0, 1.0, False, 2.0)
    (scene / IMPORT_REPORT).write_text("{}")
    assert settled(scene) == (0.0, 1.0, False, 2.0)
    assert settled(scene, outline_share=0.2) == (0.2, 1.0, False, 2.0)


def test_baselines_keep_the_papers_course_of_frames():
    assert Config().for_masks(exact=True).growth_end == 0.25
    assert replace(Config(), method="kundu", template="some.npz").for_masks(exact=True).growth_end == 0.4
    assert replace(Config(), growth_end=0.3).for_masks(exact=True).growth_end == 0.3


def test_frames_cannot_begin_to_be_added_after_all_are_in(scene):
    """Where masks are exact all are in sooner than a configuration alone could tell."""
    with pytest.raises(UserError, match=r"growth_start 0\.3 is after growth_end 0\.25"):
        settled(scene, growth_start=0.3)
    assert settled(scene, growth_start=0.3, doubt=8.0)[0] == 0.0
