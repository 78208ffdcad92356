import warnings

import imageio.v3 as iio
import numpy as np
import pytest
from arm_scene import with_images
from tiny_scene import ring, write_scene

from wim_fast.errors import SceneWarning, UserError
from wim_fast.recordings.cameras import project
from wim_fast.recordings.selection import parse_frames
from wim_fast.scene.load import check_trainable, load_scene


def test_reads_what_was_written(tmp_path):
    tiny = write_scene(tmp_path / "thing", frames=3, width=40, height=32)
    scene = load_scene(tmp_path / "thing", coordinate_scale=1.0)
    assert scene.name == "thing"
    assert scene.cameras.ids == (0, 1, 2, 3)
    assert scene.frame_ids == (0, 1, 2)
    assert scene.rgba.shape == (4, 3, 32, 40, 4)
    assert scene.rgba.dtype == scene.mask.dtype == np.uint8
    assert (scene.num_cameras, scene.num_frames, scene.size) == (4, 3, (32, 40))
    for v in range(4):
        for t in range(3):
            image = iio.imread(tiny.image(t, v))
            np.testing.assert_array_equal(scene.rgba[v, t], image)
            np.testing.assert_array_equal(scene.mask[v, t], image[..., 3] > 127)
    np.testing.assert_allclose(scene.cameras.centers, tiny.eyes, atol=1e-9)


def test_masks_lie_where_the_truth_projects(tmp_path):
    """Convention of cameras, pixels and frames at once: the box's corners bound its mask in every image."""
    write_scene(tmp_path, frames=3, width=96)
    scene = load_scene(tmp_path)
    for t in range(3):
        pixels, depth = project(scene.cameras, scene.ground_truth.points[t])
        assert (depth > 0).all()
        for v in range(4):
            rows, columns = np.nonzero(scene.mask[v, t])
            found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            expected = [*pixels[v].min(0), *pixels[v].max(0)]
            np.testing.assert_allclose(found, expected, atol=1.0)


def test_automatic_scale(tmp_path):
    tiny = write_scene(tmp_path, eyes=np.concatenate([ring(6, elevation=5), ring(3)]), frames=2, width=96)
    scene = load_scene(tmp_path)
    extent = 2 * tiny.half.max() / scene.coordinate_scale
    assert 1.1 < extent < 1.25
    np.testing.assert_allclose(scene.cameras.centers * scene.coordinate_scale, tiny.eyes, atol=1e-9)
    truth = scene.ground_truth.joints[:, 0] * scene.coordinate_scale
    np.testing.assert_allclose(truth, tiny.centers, atol=1e-6)
    big = write_scene(tmp_path / "big", eyes=ring(6) * 1000, half=(300, 400, 500), frames=2, width=96)
    assert load_scene(big.path).coordinate_scale > 300


def test_cameras_frames_and_size(tmp_path):
    write_scene(tmp_path, frames=10, width=32)
    whole = load_scene(tmp_path, coordinate_scale=2.0)
    part = load_scene(tmp_path, cameras=(3, 1), frames="1:8:3", coordinate_scale=2.0)
    same = whole.select((3, 1), slice(1, 8, 3))
    assert part.cameras.ids == same.cameras.ids == (3, 1)
    assert part.frame_ids == same.frame_ids == (1, 4, 7)
    for a, b in ((part, same), (load_scene(tmp_path, frames=slice(2, 4), coordinate_scale=2.0), None)):
        if b is None:
            b = whole.select(frames=slice(2, 4))
        np.testing.assert_array_equal(a.rgba, b.rgba)
        np.testing.assert_array_equal(a.mask, b.mask)
        np.testing.assert_array_equal(a.cameras.T_camera_world, b.cameras.T_camera_world)
        np.testing.assert_array_equal(a.ground_truth.points, b.ground_truth.points)
    small = load_scene(tmp_path, size=16, coordinate_scale=2.0)
    assert small.size == (16, 16)
    points = whole.ground_truth.points[0]
    np.testing.assert_allclose(
        project(small.cameras, points)[0], project(whole.cameras, points)[0] / 2, atol=1e-9
    )
    assert set(map(tuple, small.rgba[:][small.rgba[..., 3] > 0][:, :3])) == {(200, 100, 50)}


def test_frame_numbers_may_have_gaps(tmp_path):
    tiny = write_scene(tmp_path, frames=4, truth=False)
    for v in range(4):
        tiny.image(1, v).unlink()
        tiny.image(3, v).rename(tmp_path / f"frame_123456_cam_{v:03d}.png")
    scene = load_scene(tmp_path)
    assert scene.frame_ids == (0, 2, 123456)
    assert scene.ground_truth is None
    assert load_scene(tmp_path, frames="-1:").frame_ids == (123456,)


def test_missing_images_can_be_masked(tmp_path):
    tiny = write_scene(tmp_path, frames=3)
    tiny.image(0, 0).unlink()
    tiny.image(2, 3).unlink()
    scene = load_scene(tmp_path, allow_missing=True)
    gone = np.zeros((4, 3), bool)
    gone[0, 0] = gone[3, 2] = True
    assert (scene.mask[gone] == 2).all()
    assert (scene.mask[~gone] < 2).all()
    assert (scene.rgba[gone] == 0).all()
    load_scene(tmp_path, cameras=(1, 2))  # nothing is missing here


def test_truth_may_be_joints_only(tmp_path):
    tiny = write_scene(tmp_path)
    np.savez(tmp_path / "gt.npz", joints=tiny.centers[:, None])
    truth = load_scene(tmp_path, frames=":2").ground_truth
    assert truth.points is None
    assert truth.joints.shape == (2, 1, 3)


def test_palette_and_grey_images_with_alpha_are_read(tmp_path):
    tiny = write_scene(tmp_path)
    image = iio.imread(tiny.image(0, 0))
    iio.imwrite(tiny.image(0, 0), image[..., [0, 3]])
    scene = load_scene(tmp_path)
    np.testing.assert_array_equal(scene.rgba[0, 0, ..., 3], image[..., 3])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0:60", slice(0, 60)),
        ("0:60:6", slice(0, 60, 6)),
        (":-10", slice(None, -10)),
        (" 5 : ", slice(5, None)),
        ("7", slice(7, 8)),
        ("-1", slice(-1, None)),
        ("::2", slice(None, None, 2)),
    ],
)
def test_frames_are_slices(text, expected):
    assert parse_frames(text) == expected


@pytest.mark.parametrize("text", ["", "a", "1:2:3:4", "0:60:0", "60:0:-1", "1.5:3", "1-3", "0:60:x"])
def test_what_is_no_slice(text):
    with pytest.raises(UserError, match="is not a range of frames"):
        parse_frames(text)


def warnings_of(function, *arguments):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*arguments)
    assert all(w.category is SceneWarning for w in caught)
    return [str(w.message) for w in caught]


def test_spread_of_the_cameras(tmp_path):
    spread = load_scene(write_scene(tmp_path / "spread", eyes=ring(5)).path)
    assert warnings_of(check_trainable, spread) == []
    sector = load_scene(write_scene(tmp_path / "sector", eyes=ring(5, sector=85)).path)
    (message,) = warnings_of(check_trainable, sector)
    assert "5 cameras see 4" in message
    assert "spread the cameras" in message
    (message,) = warnings_of(check_trainable, spread.select((2,)))
    assert "one camera" in message


def test_one_camera_gets_a_scale(tmp_path):
    tiny = write_scene(tmp_path, eyes=ring(1), width=64)
    extent = 2 * tiny.half.max() / load_scene(tmp_path).coordinate_scale
    assert 0.7 < extent < 1.5


def test_a_camera_that_never_sees_it_and_opaque_images(tmp_path):
    scene = load_scene(write_scene(tmp_path, eyes=ring(5)).path)
    mask = scene.mask[:]
    mask[1] = 0
    (message,) = warnings_of(check_trainable, with_images(scene, mask=mask))
    assert "camera 1 never sees the object" in message
    messages = warnings_of(check_trainable, with_images(scene, mask=np.ones_like(mask)))
    assert "fills every image" in messages[0]
