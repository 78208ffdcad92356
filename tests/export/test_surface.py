"""The surface of a tiny run: closed, where the field is, bound to parts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from wim_fast import SceneWarning, UserError
from wim_fast.export.asset import Asset, Settings
from wim_fast.export.binding import carried_by, rigid_motions, skinned
from wim_fast.export.placement import y_up
from wim_fast.export.rig import bone_weights
from wim_fast.export.surface import extract_surface
from wim_fast.export.triangles import is_closed
from wim_fast.model.distance_grid import DistanceGrid
from wim_fast.model.motion import Motion, posed_at
from wim_fast.posing.bodies.surface import share_out
from wim_fast.posing.rest_frame import least_overlapping, overlap
from wim_fast.runs.skeleton import skeleton_of


@pytest.fixture(scope="module")
def surface(run):
    return extract_surface(run)


def distance(run, points: np.ndarray, frame: int) -> np.ndarray:
    at = torch.as_tensor(points, dtype=torch.float32)
    pose_ids = torch.zeros(len(at), dtype=torch.int32)
    return run.model.signed_distance(
        at, pose_ids, posed_at(run.model, run.motion, frame), run.backend
    ).numpy()


def test_it_is_closed_and_lies_where_the_field_is_zero(run, surface) -> None:
    assert is_closed(surface.faces)
    assert np.abs(distance(run, surface.vertices, surface.frame)).mean() < 1e-3
    outside = surface.vertices + 0.01 * surface.normals
    assert (distance(run, outside, surface.frame) > 0).mean() > 0.99
    assert surface.colors.min() >= 0
    assert surface.colors.max() <= 1


def test_weights_are_those_of_parts_near_by(run, surface) -> None:
    assert surface.part_ids.max() < len(run.semi_axes)
    assert np.allclose(surface.part_weights.sum(axis=1), 1, atol=1e-6)
    assert (np.diff(surface.part_weights, axis=1) <= 0).all()
    assert surface.parts_without_vertices(99)[-1] == 98


def test_weights_of_bodies_are_those_of_the_faces_around(run, surface) -> None:
    mesh = surface.vertices, surface.faces, surface.colors
    body = share_out(carried_by(run, skeleton_of(run, 2), surface.frame, surface.vertices), *mesh)
    assert set(body.tolist()) == {0, 1}
    ids, weights = bone_weights(run, surface, 2)
    assert np.allclose(weights.sum(axis=1), 1, atol=1e-6)
    assert (np.diff(weights, axis=1) <= 0).all()
    assert ids.max() == 1
    assert (ids[surface.faces, 0] == body[:, None]).mean() > 0.9
    parts = bone_weights(run, surface)
    assert np.array_equal(parts[0], np.where(surface.part_weights > 0, surface.part_ids, 0))


def test_a_body_carries_what_suits_its_motion_and_what_suits_the_learned_one(run, surface) -> None:
    skeleton, at = skeleton_of(run, 2), (surface.frame, surface.vertices)
    still = Motion(*(np.tile(x[:1], (len(x), *[1] * (x.ndim - 1))) for x in vars(skeleton.motion).values()))
    ways = [(skeleton.motion, None), (still, None), (still, skeleton.motion)]
    moving, staying, either = (
        carried_by(run, dataclasses.replace(skeleton, motion=motion, learned=learned), *at).costs
        for motion, learned in ways
    )
    assert (staying != moving).any()
    np.testing.assert_array_equal(either, np.minimum(moving, staying))


def test_skinned_it_follows_the_field(run, surface) -> None:
    moves = rigid_motions(run.motion, run.motion.at([surface.frame]))
    posed = skinned(surface.vertices, surface.part_ids, surface.part_weights, moves)
    assert np.allclose(posed[surface.frame], surface.vertices, atol=1e-6)
    for frame in range(len(run.motion)):
        assert np.abs(distance(run, posed[frame], frame)).mean() < 0.01


def test_faces_are_at_most_as_asked_and_enough_for_the_parts(run) -> None:
    few = extract_surface(run, faces=100)
    assert 60 <= len(few.faces) <= 100
    assert is_closed(few.faces)
    with pytest.raises(UserError, match="faces 10: too few for 3 parts"):
        extract_surface(run, faces=10)


def test_the_rest_frame_is_where_parts_are_apart() -> None:
    axes = np.full((2, 3), 0.1)
    gaps = np.array([0.0, 0.4, 0.1])
    centers = np.stack([np.zeros((3, 3)), gaps[:, None] * [1.0, 0, 0]], axis=1)
    motion = Motion(np.tile(np.eye(3), (3, 2, 1, 1)), centers)
    assert least_overlapping(motion, axes) == 1
    assert overlap(motion.at([0]), axes) == 1
    assert overlap(motion.at([1]), axes) == 0


def test_a_run_without_a_surface_says_so(run, monkeypatch) -> None:
    nothing = DistanceGrid(np.ones((8, 8, 8), np.float32), np.zeros(3), 0.1)
    monkeypatch.setattr("wim_fast.export.surface.distance_grid", lambda *_: nothing)
    with pytest.raises(UserError, match="its surface in frame 2 has 0 faces"):
        extract_surface(run, frame=2)


def test_a_part_without_vertices_is_named_and_keeps_its_joint(run, surface, monkeypatch) -> None:
    bound = dataclasses.replace(surface, part_ids=np.minimum(surface.part_ids, 1))
    monkeypatch.setattr("wim_fast.export.asset.extract_surface", lambda *_: bound)
    asset = Asset(run, Settings())
    with pytest.warns(SceneWarning, match="part 2 owns no vertex"):
        assert asset.surface is bound
    assert asset.rig.bones == 3


def test_without_the_recording_the_largest_piece_is_kept(run, monkeypatch) -> None:
    gone = dataclasses.replace(run, config=dataclasses.replace(run.config, scene=dataclasses.replace(
        run.config.scene, scene="gone")))  # fmt: skip
    index = np.stack(np.mgrid[:40, :40, :40], axis=-1)
    sdf = np.minimum(*(np.linalg.norm(index - c, axis=-1) - r for c, r in ((10.2, 8.0), (30.2, 6.0))))
    two_balls = DistanceGrid(sdf.astype(np.float32), np.zeros(3), 0.02)
    monkeypatch.setattr("wim_fast.export.surface.distance_grid", lambda *_: two_balls)
    with pytest.warns(SceneWarning, match="only the largest piece of the surface is kept"):
        kept = extract_surface(gone, frame=0)
    assert kept.vertices.max() < 20 * 0.02
    with pytest.warns(SceneWarning, match="z is taken to be up"):
        assert np.allclose(y_up(gone).points(np.array([0, 0, 1.0])), [0, run.coordinate_scale, 0])
