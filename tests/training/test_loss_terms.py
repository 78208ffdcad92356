"""What a weight changes: its own term of a step, and nothing else."""

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from tiny_scene import ring, write_scene

from wim_fast.config import load_config
from wim_fast.ops.backend import select_backend
from wim_fast.scene.load import load_scene
from wim_fast.training.trainer import Trainer

WEIGHTS = {
    "photo": {"photo_weight": 0.0},
    "mask": {"mask_weight": 0.0},
    "eikonal": {"eikonal_weight": 0.0},
    "volume": {"volume_weight": 0.0},
    "fit": {"fit_weight": 0.0},
    "hull": {"hull_weight": 0.0},
    "void": {"void_weight": 0.0},
    "silhouette": {"silhouette_weight": 0.0},
    "part_center": {"part_center_weight": 0.0},
    "joint": {"joint_weight_start": 0.0, "joint_weight_end": 0.0},
    "separation": {"separation_weight": 0.0},
    "merge": {"merge_weight": 0.0},
    "motion": {"motion_weight": 0.0},
}


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scene") / "tiny"
    write_scene(folder, frames=4, eyes=ring(4), width=32, solid="ellipsoid")
    for picture in folder.glob("frame_*"):
        mask = np.where(iio.imread(picture)[..., 3] > 127, 255, 0).astype(np.uint8)
        mask[:15] = 128  # nobody knows what is on top
        iio.imwrite(folder / picture.name.replace("frame", "mask"), mask)
    return load_scene(folder)


def first_step(scene, **changes):
    """The terms of one step, all of them at work."""
    small = {"parts": 4, "hash_log2_entries": 8, "pose_width": 16, "decoder_width": 16, "iterations": 10}
    small |= {"learn_cameras": False}  # their prior is zero at first
    small |= {
        "images_per_step": 2,
        "rays_per_image": 64,
        "merge_start": 0.0,
        "separation_sigma": 0.5,
        "initial_frames": 2,
    }
    small |= {"residual_max": 0.3, "motion_weight": 100.0}
    return Trainer(scene, load_config("x", small | changes), 10, select_backend("numba")).train_step().losses


@pytest.fixture(scope="module")
def terms(scene):
    return first_step(scene)


def test_every_term_is_at_work(terms):
    assert set(terms) == set(WEIGHTS)
    assert all(value > 0 for value in terms.values()), terms


@pytest.mark.parametrize("name", list(WEIGHTS))
def test_a_loss_switched_off_changes_no_other_term(scene, terms, name):
    off = first_step(scene, **WEIGHTS[name])
    assert off.pop(name, 0.0) == 0
    others = {other: value for other, value in terms.items() if other != name}
    if name == "void":  # its points are not decoded: products of fewer rows round differently
        assert off == pytest.approx(others, rel=1e-5)
    else:
        assert off == others  # bit for bit


def test_doubt_changes_what_masks_say_and_nothing_else(scene):
    believing, doubting = ({}, {"doubt": 8.0, "doubt_start": 0.5})
    small = {"parts": 4, "hash_log2_entries": 8, "pose_width": 16, "decoder_width": 16, "iterations": 10}
    found = []
    for step in (4, 9):
        for changes in (believing, doubting):
            trainer = Trainer(scene, load_config("x", small | changes), 10, select_backend("numba"))
            trainer.step = step
            found.append(trainer.train_step().losses)
    assert found[0] == found[1], "not before it starts"
    before, after = found[2:]
    for name in ("photo", "mask"):
        assert 0 < after.pop(name) < before.pop(name)
    assert before == after


def test_no_points_are_drawn_where_no_loss_needs_them(scene):
    off = first_step(scene, eikonal_weight=0.0, volume_weight=0.0)
    assert off["eikonal"] == off["volume"] == 0


def test_wholly_visible_objects_have_nothing_to_empty(tmp_path):
    """Some camera judges every point: the term is exactly zero."""
    write_scene(tmp_path, frames=4, eyes=ring(4), width=32, solid="ellipsoid")
    assert first_step(load_scene(tmp_path))["void"] == 0


def test_the_paper_doubles_the_difference(scene):
    """In blocks that touch the mask: four times its square, where ours counts twice."""
    backend = select_backend("numba")
    images = [
        Trainer(
            scene, load_config("x", {"parts": 4, "iterations": 10, "block_weight": weight}), 10, backend
        ).images
        for weight in (2.0, 4.0)
    ]
    zero = torch.tensor([0])
    ours, paper = (i.draw(zero, zero, 200, torch.Generator().manual_seed(0), backend).weight for i in images)
    assert set(ours.tolist()) == {0.0, 1.0, 2.0}
    assert torch.equal(paper, torch.where(ours == 2, 4.0, ours))
