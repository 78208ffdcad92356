import pickle

import numpy as np
import pytest
from errors import refused
from tiny_scene import write_scene

from wim_fast.errors import UserError
from wim_fast.scene.load import load_scene, scan_scene

blosc = pytest.importorskip("blosc")


def write_cache(path, scene, *, drop=(), poses=None, mask=lambda m: m, packed=True, change=None):
    """A scene's images as the paper's preprocessing leaves them, camera-major."""
    data = {"frame_id": [], "camera_id": [], "img": [], "mask": []}
    data |= {f"camera_{k}": [] for k in ("intrinsic", "rotation", "translation")}
    for v, camera in enumerate(scene.cameras.ids):
        for t, frame in enumerate(scene.frame_ids):
            if (camera, frame) in drop:
                continue
            pack = blosc.pack_array if packed else (lambda a: a)
            image = np.ascontiguousarray(scene.rgba[v, t, ..., :3].transpose(2, 0, 1))
            data["frame_id"].append(frame)
            data["camera_id"].append(camera)
            data["img"].append(pack(image))
            data["mask"].append(pack(mask(scene.mask[v, t])))
            data["camera_intrinsic"].append(scene.cameras.intrinsics[v])
            data["camera_rotation"].append(scene.cameras.T_camera_world[v, :3, :3])
            data["camera_translation"].append(scene.cameras.T_camera_world[v, :3, 3:])
    for key, value in data.items():
        if key in ("img", "mask"):
            data[key] = np.empty(len(value), object)
            data[key][:] = value
        else:
            data[key] = np.array(value)
    if poses is not None:
        data["smpl_pose"] = np.concatenate([poses] * len(scene.cameras))
    if change:
        change(data)
    path.mkdir(exist_ok=True)
    (path / "cache.pickle").write_bytes(pickle.dumps(data, 4))


@pytest.fixture
def raw(tmp_path):
    write_scene(tmp_path / "raw", frames=4, width=32, height=24)
    return load_scene(tmp_path / "raw", coordinate_scale=1.0)


def test_a_cache_is_the_scene_it_was_made_from(tmp_path, raw):
    write_cache(tmp_path / "cached", raw, poses=raw.ground_truth.joints)
    contents = scan_scene(tmp_path / "cached", 2.0)
    assert contents.camera_ids == (0, 1, 2, 3)
    assert contents.frame_ids == (0, 1, 2, 3)
    np.testing.assert_allclose(contents.ground_truth.joints * 2, raw.ground_truth.joints, rtol=1e-6)
    scene = load_scene(tmp_path / "cached", cameras=(2, 0), frames="1:", coordinate_scale=0.5)
    same = load_scene(tmp_path / "raw", cameras=(2, 0), frames="1:", coordinate_scale=0.5)
    np.testing.assert_array_equal(scene.rgba, same.rgba)
    np.testing.assert_array_equal(scene.mask, same.mask)
    np.testing.assert_array_equal(scene.cameras.intrinsics, same.cameras.intrinsics)
    np.testing.assert_allclose(scene.cameras.T_camera_world, same.cameras.T_camera_world)
    np.testing.assert_allclose(scene.ground_truth.joints, same.ground_truth.joints, rtol=1e-6)
    assert (scene.name, scene.frame_ids, scene.coordinate_scale) == ("cached", (1, 2, 3), 0.5)


def test_sizes_masks_and_automatic_scale(tmp_path, raw):
    write_cache(tmp_path / "c", raw, mask=lambda m: m * np.uint8(255))
    small, same = (load_scene(tmp_path / name, size=16) for name in ("c", "raw"))
    np.testing.assert_array_equal(small.mask, same.mask)
    assert np.abs(small.rgba[:].astype(int) - same.rgba[:]).max() <= 1
    assert small.coordinate_scale == same.coordinate_scale

    def unsure(mask):
        mask = mask.copy()
        mask[5, 7] = 2
        return mask

    write_cache(tmp_path / "c", raw, mask=unsure, packed=False)
    scene = load_scene(tmp_path / "c", size=16, coordinate_scale=1.0)
    assert np.argwhere(scene.mask[1, 1] == 2).tolist() == [[2, 3]]


def test_missing_images(tmp_path, raw):
    write_cache(tmp_path / "c", raw, drop=[(1, 2)])
    with refused(tmp_path / "c" / "cache.pickle", "frame 2 of camera 1"):
        load_scene(tmp_path / "c")
    scene = load_scene(tmp_path / "c", allow_missing=True)
    assert (scene.mask[1, 2] == 2).all()
    assert (scene.mask[:] == 2).sum() == 32 * 24


def test_transforms_are_joints(tmp_path, raw):
    poses = np.tile(np.eye(4), (4, 5, 1, 1))
    poses[..., :3, 3] = np.arange(60).reshape(4, 5, 3)
    write_cache(tmp_path / "c", raw, poses=poses)
    np.testing.assert_array_equal(scan_scene(tmp_path / "c", 1.0).ground_truth.joints, poses[..., :3, 3])


class Bad:
    def __reduce__(self):
        return eval, ("1 / 0",)


def setter(key, value):
    def change(data):
        data[key] = value(data[key]) if callable(value) else value

    return change


def at(position, value):
    def change(array):
        array = array.copy()
        array[position] = value
        return array

    return change


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda d: d.pop("img"), "img is missing"),
        (setter("frame_id", lambda a: a[:-1]), "camera_id is 16"),
        (setter("frame_id", lambda a: a * 0), "twice"),
        (
            lambda d: d.update(frame_id=np.arange(16), camera_id=np.arange(16)),
            "frame 1 of camera 0 is missing",
        ),
        (setter("camera_id", lambda a: a - 1), "camera_id holds no"),
        (setter("camera_id", lambda a: a * 1.0), "camera_id holds no"),
        (setter("camera_rotation", lambda a: a[:, :2]), "camera_rotation is 16 x 2 x 3"),
        (setter("camera_rotation", lambda a: a * 2), "camera_rotation of camera 0 is not a rotation"),
        (setter("camera_translation", at((3, 0), 9)), "camera_translation of camera 0 changes"),
        (setter("camera_intrinsic", at((0, 0, 0), np.nan)), "camera_intrinsic is not finite"),
        (setter("camera_intrinsic", lambda a: -a), "camera_intrinsic of camera 0"),
        (setter("img", at(1, b"junk")), "img[1]: is not a blosc frame"),
        (setter("img", at(2, 7)), "img[2]: is a int"),
        (setter("img", at(0, blosc.pack_array(np.zeros((2, 3, 4))))), "img[0]: is float64 of 2 x 3 x 4"),
        (setter("img", at(3, blosc.compress(pickle.dumps(Bad()), 1))), "img[3]: is not read: it wants"),
        (setter("mask", at(0, blosc.pack_array(np.zeros((3, 4), np.uint8)))), "mask[0]: is uint8 of 3 x 4"),
        (setter("smpl_pose", np.zeros((16, 5))), "smpl_pose is float64 of 16 x 5"),
        (setter("extra", Bad()), "eval"),
        (lambda d: d.update({k: v[:0] for k, v in d.items()}), "holds no images"),
    ],
)
def test_bad_caches(tmp_path, raw, change, problem):
    write_cache(tmp_path / "c", raw, change=change)
    with pytest.raises(UserError) as caught:
        load_scene(tmp_path / "c")
    assert problem in str(caught.value)
    assert str(caught.value.where).startswith(str(tmp_path / "c" / "cache.pickle"))


def test_cameras_and_frames_that_would_fill_the_memory(tmp_path):
    count = 30000
    data = {"frame_id": np.arange(count), "camera_id": np.arange(count)}
    data |= {key: np.array([b""] * count, object) for key in ("img", "mask")}
    data |= {f"camera_{k}": np.zeros((count, 3, 3)) for k in ("intrinsic", "rotation")}
    data["camera_translation"] = np.zeros((count, 3, 1))
    (tmp_path / "cache.pickle").write_bytes(pickle.dumps(data, 4))
    with refused(tmp_path / "cache.pickle", "missing"):
        load_scene(tmp_path, allow_missing=True)


def test_no_dict(tmp_path):
    (tmp_path / "cache.pickle").write_bytes(pickle.dumps([1, 2]))
    with refused(tmp_path / "cache.pickle", "list"):
        load_scene(tmp_path)
