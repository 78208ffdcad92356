import builtins
import json
import warnings

import imageio.v3 as iio
import numpy as np
import pytest
from filmed_scene import (
    Film,
    write_body_model,
    write_easymocap,
    write_neural_body,
    write_parameters,
)

from wim_fast.config import load_config
from wim_fast.errors import SceneWarning, UserError
from wim_fast.recordings.cameras import project
from wim_fast.recordings.selection import parse_frames
from wim_fast.scene.load import load_scene, scan_scene


def check_against(scene, film, frames, cameras, *, tolerance=1.0):
    """Masks lie where the box projects, its colour is the frame's, and the background is left out."""
    assert scene.frame_ids == tuple(frames)
    factor = scene.size[0] / film.height
    for v, camera in enumerate(cameras):
        for t, frame in enumerate(frames):
            (pixels,), (depth,) = project(
                scene.cameras.select([v]), film.corners(frame) / scene.coordinate_scale
            )
            assert (depth > 0).all()
            rows, columns = np.nonzero(scene.mask[v, t] == 1)
            found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            np.testing.assert_allclose(
                found, [*pixels.min(0), *pixels.max(0)], atol=tolerance * max(factor, 1)
            )
            inner = scene.rgba[v, t][scene.rgba[v, t, ..., 3] == 255][:, :3].astype(int)
            assert np.abs(np.median(inner, 0) - film.color(frame)).max() < 8
            assert (scene.rgba[v, t, ..., 3] > 127)[scene.mask[v, t] != 2].sum() == len(rows)
            np.testing.assert_allclose(
                scene.cameras.centers[v] * scene.coordinate_scale, film.eyes[camera] * film.unit, atol=1e-6
            )


@pytest.mark.parametrize("video", [False, True])
def test_easymocap(tmp_path, video):
    film = Film()
    write_easymocap(tmp_path / "p", film, video=video, vectors=video)
    contents = scan_scene(tmp_path / "p", 1.5)
    assert contents.camera_ids == (1, 2, 3, 4)
    assert contents.frame_ids == tuple(range(6))
    assert contents.ground_truth is None
    scene = load_scene(tmp_path / "p", cameras=(4, 2), frames="1::2", coordinate_scale=1.5)
    assert scene.size == (64, 64)
    check_against(scene, film, [1, 3, 5], [3, 1])
    shift = [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]  # OpenCV's pixel centres are whole numbers
    np.testing.assert_allclose(scene.cameras.intrinsics, [film.K + shift] * 2, rtol=1e-9)
    small = load_scene(tmp_path / "p", size=32, coordinate_scale=1.5)
    check_against(small, film, range(6), range(4))


def test_neural_body(tmp_path):
    film = Film()
    write_neural_body(tmp_path / "p", film)
    with pytest.warns(SceneWarning, match=r"SMPL_NEUTRAL\.npz"):
        scene = load_scene(tmp_path / "p", coordinate_scale=1.5)
    assert scene.cameras.ids == (1, 2, 3, 4)
    check_against(scene, film, range(6), range(4))
    points = np.stack([film.corners(t) for t in range(6)]) / 1.5
    np.testing.assert_allclose(scene.ground_truth.points, points, rtol=1e-5)
    assert scene.ground_truth.joints is None


def test_the_edges_of_undistorted_images_are_unreliable(tmp_path):
    """Pincushion: the ideal image needs what the lens has not seen."""
    film = Film(lens=(0.3, 0.0, 0.0, 0.0, 0.0))
    scene = load_scene(write_easymocap(tmp_path / "p", film), frames="0", coordinate_scale=1.0)
    assert (scene.mask[:, :, 0, 0] == 2).all()
    assert (scene.mask[:, :, 32, 0] == 2).all()
    assert (scene.mask[:, :, 20:44, 20:44] != 2).all()
    check_against(scene, film, [0], range(4))


def test_the_papers_split(tmp_path):
    config = load_config("zju-377")
    assert config.scene.train_cameras == (1, 5, 9, 13, 17, 21)
    assert parse_frames(config.scene.frames, 617) == slice(0, 493)
    scene = load_scene(write_easymocap(tmp_path / "p", Film(frames=5)), frames="0:80%", coordinate_scale=1.0)
    assert scene.frame_ids == (0, 1, 2, 3)
    assert load_scene(tmp_path / "p", frames="80%:", coordinate_scale=1.0).frame_ids == (4,)
    for text in ("80%", "0:120%", "0:-3%", "0:60:10%", "0:x%"):
        with pytest.raises(UserError, match="is not a range of frames"):
            parse_frames(text, 100)
    with pytest.raises(UserError, match="is not a range of frames"):
        parse_frames("0:80%")


def test_missing_pictures_and_masks(tmp_path):
    write_easymocap(tmp_path / "p", Film())
    (tmp_path / "p" / "images" / "02" / "000003.jpg").unlink()
    (tmp_path / "p" / "masks" / "04" / "000001.png").unlink()
    with pytest.raises(UserError, match="frame 3 of camera 2 is missing, and 1 more"):
        load_scene(tmp_path / "p", coordinate_scale=1.0)
    scene = load_scene(tmp_path / "p", coordinate_scale=1.0, allow_missing=True)
    gone = (scene.mask[:] == 2).all((2, 3))
    assert np.argwhere(gone).tolist() == [[1, 3], [3, 1]]


def by_matrices(arrays, coefficients, pose, Rh, Th):
    """SMPL's skinning by the paper's formulas, one joint and vertex after the other."""
    from scipy.spatial.transform import Rotation

    def transform(R, t):
        return np.block([[R, np.reshape(t, (3, 1))], [np.zeros((1, 3)), np.ones((1, 1))]])

    shaped = arrays["v_template"] + arrays["shapedirs"] @ coefficients
    rest = arrays["J_regressor"] @ shaped
    R = [Rotation.from_rotvec(v).as_matrix() for v in pose]
    parents = arrays["kintree_table"][0]
    world = [transform(R[0], rest[0])]
    for j in range(1, len(rest)):
        world.append(world[parents[j]] @ transform(R[j], rest[j] - rest[parents[j]]))
    bend = np.concatenate([(M - np.eye(3)).ravel() for M in R[1:]])
    posed = shaped + arrays["posedirs"] @ bend
    back = [transform(np.eye(3), -r) for r in rest]
    body = transform(Rotation.from_rotvec(Rh).as_matrix(), Th)
    points = []
    for weights, point in zip(arrays["weights"], posed, strict=True):
        blended = sum(w * M @ B for w, M, B in zip(weights, world, back, strict=True))
        points.append((body @ blended @ [*point, 1])[:3])
    return np.array([(body @ M)[:3, 3] for M in world]), np.array(points)


@pytest.mark.parametrize(("kind", "poses"), [("smpl", 72), ("smplx", 87), ("smplx", 165)])
def test_joints_and_points_of_bodies(tmp_path, kind, poses):
    film = Film(frames=3)
    write_easymocap(tmp_path / "p", film)
    people = write_parameters(tmp_path / "p", kind, 3, poses)
    with pytest.warns(SceneWarning, match="cannot be driven.*body_models"):
        assert scan_scene(tmp_path / "p", 1.0).ground_truth is None
    arrays = write_body_model(tmp_path / "body_models" / kind / f"{kind.upper()}_NEUTRAL.npz", kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        truth = load_scene(tmp_path / "p", frames="1:", coordinate_scale=2.0).ground_truth
    for t, person in enumerate(people[1:]):
        pose = person["poses"][0]
        if poses == 87:
            hands = [
                arrays[f"hands_mean{s}"] + pose[66 + 6 * k : 72 + 6 * k] @ arrays[f"hands_components{s}"][:6]
                for k, s in enumerate("lr")
            ]
            pose = np.concatenate([pose[:66], pose[78:], *hands])
        coefficients = np.concatenate([person["shapes"][0], person.get("expression", np.zeros((1, 0)))[0]])
        joints, points = by_matrices(
            arrays, coefficients, pose.reshape(-1, 3), person["Rh"][0], person["Th"][0]
        )
        np.testing.assert_allclose(truth.points[t] * 2, points, atol=1e-5)
        np.testing.assert_allclose(truth.joints[t] * 2, joints[: 24 if kind == "smpl" else 23], atol=1e-5)


def test_joints_of_neural_body(tmp_path):
    film = Film(frames=2)
    write_neural_body(tmp_path / "p", film)
    arrays = write_body_model(tmp_path / "p" / "body_models" / "SMPL_NEUTRAL.npz", "smpl")
    rng = np.random.default_rng(0)
    for t in range(2):
        person = {
            k: rng.normal(size=(1, n)) for k, n in (("Rh", 3), ("Th", 3), ("poses", 72), ("shapes", 10))
        }
        np.save(tmp_path / "p" / "new_params" / f"{t}.npy", person, allow_pickle=True)
    truth = scan_scene(tmp_path / "p", 1.0).ground_truth
    joints, _ = by_matrices(
        arrays, person["shapes"][0], person["poses"].reshape(24, 3), person["Rh"][0], person["Th"][0]
    )
    np.testing.assert_allclose(truth.joints[1], joints, atol=1e-5)
    np.testing.assert_allclose(truth.points[1], film.corners(1), rtol=1e-5)  # the release's own vertices


def failure(path, **options) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(UserError) as caught:
            load_scene(path, coordinate_scale=1.0, **options)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy
    return str(caught.value)


def replace(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda p: (p / "extri.yml").unlink(), "extri.yml: is missing"),
        (lambda p: (p / "intri.yml").write_text("hello"), "intri.yml: holds no matrices"),
        (lambda p: (p / "intri.yml").write_bytes(b"\xff\xfe\xfa"), "intri.yml: cannot be read"),
        (lambda p: replace(p / "intri.yml", "rows: 3", "rows: 7"), "K_01 is not a matrix of 7 x 3"),
        (lambda p: replace(p / "intri.yml", "data: [ ", "data: [ x"), "K_01 is not a matrix"),
        (lambda p: replace(p / "intri.yml", "rows: 3", f"rows: {10**30}"), "K_01 is not a matrix"),
        (lambda p: replace(p / "intri.yml", "data: [ ", "data: [ -"), "K_01 is not a camera matrix"),
        (lambda p: replace(p / "extri.yml", "Rot_02", "Rat_02"), "Rot_02 or T_02 is missing"),
        (lambda p: replace(p / "extri.yml", "data: [ ", "data: [ 1"), "Rot_01, T_01 is not a rotation"),
        (lambda p: (p / "masks").rename(p / "segments"), "there are no masks"),
        (lambda p: (p / "masks" / "03").rename(p / "x"), "there are no masks for camera 03"),
        (lambda p: (p / "images" / "03").rename(p / "x"), "there are no pictures for camera 03"),
        (
            lambda p: (p / "images" / "03" / "000001.jpg").write_bytes(b"junk"),
            "000001.jpg: cannot be read as an image",
        ),
        (
            lambda p: (p / "masks" / "03" / "000001.png").write_bytes(b"junk"),
            "000001.png: cannot be read as an image",
        ),
        (
            lambda p: iio.imwrite(p / "masks" / "03" / "000001.png", np.zeros((60, 64), np.uint8)),
            "the mask is 64 x 60 pixels, its picture 64 x 64",
        ),
        (
            lambda p: iio.imwrite(p / "images" / "01" / "000001.jpg", np.zeros((64, 60, 3), np.uint8)),
            "60 x 64",
        ),
        (
            lambda p: iio.imwrite(p / "images" / "01" / "1.png", np.zeros((64, 64, 3), np.uint8)),
            "same number",
        ),
    ],
)
def test_bad_easymocap(tmp_path, change, problem):
    write_easymocap(tmp_path / "p", Film(frames=2))
    change(tmp_path / "p")
    assert problem in failure(tmp_path / "p")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", "holds no body parameters"),
        ("{", "is not valid JSON"),
        ('[{"Rh": [[0, 0, 0]]}]', "Th is missing"),
        ('[{"Rh": [[0, 0]]}]', "Rh is missing"),
        (f'[{{"Rh": [0, 0, {10**400}]}}]', "Rh is missing"),
        ('[{"Rh": [0,0,0], "Th": [0,0,0], "shapes": [0], "poses": [1, 2]}]', "poses holds 2 numbers"),
        (None, "every frame needs its parameters"),
    ],
)
def test_bad_bodies(tmp_path, text, problem):
    write_easymocap(tmp_path / "p", Film(frames=2))
    write_parameters(tmp_path / "p", "smplx", 2, 87)
    write_body_model(tmp_path / "p" / "body_models" / "SMPLX_NEUTRAL.npz", "smplx")
    file = tmp_path / "p" / "smplx" / "000001.json"
    file.unlink() if text is None else file.write_text(text)
    assert problem.lower() in failure(tmp_path / "p").lower()


def test_body_models_are_arrays_only(tmp_path):
    write_easymocap(tmp_path / "p", Film(frames=2))
    write_parameters(tmp_path / "p", "smplx", 2, 87)
    folder = tmp_path / "body_models" / "smplx"
    folder.mkdir(parents=True)
    (folder / "SMPLX_NEUTRAL.pkl").write_bytes(b"cos\nsystem\n(Vtrue\ntR.")
    assert "is a pickle, which could run any program" in failure(tmp_path / "p")
    (folder / "SMPLX_NEUTRAL.npz").write_bytes(b"junk")
    assert "SMPLX_NEUTRAL.npz: cannot be read" in failure(tmp_path / "p")
    arrays = write_body_model(folder / "SMPLX_NEUTRAL.npz", "smplx")
    np.savez(folder / "SMPLX_NEUTRAL.npz", **(arrays | {"weights": np.array([{}], dtype=object)}))
    assert "cannot be read" in failure(tmp_path / "p")
    np.savez(folder / "SMPLX_NEUTRAL.npz", **(arrays | {"weights": arrays["weights"][:, :5]}))
    assert "weights is 40 x 5" in failure(tmp_path / "p")


class Bad:
    def __reduce__(self):
        return builtins.eval, ("1 / 0",)


def annots(change):
    def apply(path):
        value = np.load(path / "annots.npy", allow_pickle=True).item()
        value = change(value) or value
        np.save(path / "annots.npy", value, allow_pickle=True)

    return apply


def rename(name):
    return annots(lambda a: a["ims"][0]["ims"].__setitem__(0, name))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (annots(lambda a: {"cams": Bad()}), "annots.npy: is not read: it wants 'builtins.eval'"),
        (annots(lambda a: [1, 2]), "holds no cams and ims"),
        (annots(lambda a: a["cams"].__delitem__("R")), "cams.R of camera 1 is missing"),
        (
            annots(lambda a: a["cams"]["T"].__setitem__(2, np.zeros(5))),
            "cams.T of camera 3 is missing or wrong",
        ),
        (annots(lambda a: a["cams"]["R"].__setitem__(0, np.ones((3, 3)))), "is not a rotation"),
        (annots(lambda a: a["cams"]["D"].__setitem__(0, np.ones(14))), "cams.D of camera 1 holds 14"),
        (annots(lambda a: a["ims"][1]["ims"].__delitem__(0)), "does not name one image per camera"),
        (rename("../../secret/Camera_B1/000000.jpg"), "outside of its folder"),
        (rename("/etc/Camera_B1/000000.jpg"), "outside of its folder"),
        (rename("one.jpg"), "without camera or frame number"),
        (lambda p: (p / "annots.npy").write_bytes(b"junk"), "cannot be read as a .npy file"),
        (lambda p: (p / "mask_cihp").rename(p / "m"), "there are no masks"),
        (lambda p: (p / "new_vertices" / "1.npy").unlink(), "1.npy: cannot be read as a .npy file"),
        (lambda p: np.save(p / "new_vertices" / "1.npy", np.zeros((3, 2))), "is float64 of 3 x 2"),
    ],
)
def test_bad_neural_body(tmp_path, change, problem):
    write_neural_body(tmp_path / "p", Film(frames=2))
    change(tmp_path / "p")
    assert problem in failure(tmp_path / "p")


def test_json_that_nests_deeply(tmp_path):
    write_easymocap(tmp_path / "p", Film(frames=2))
    write_parameters(tmp_path / "p", "smplx", 2, 87)
    write_body_model(tmp_path / "p" / "body_models" / "SMPLX_NEUTRAL.npz", "smplx")
    (tmp_path / "p" / "smplx" / "000000.json").write_text("[" * 100000)
    assert "is not valid JSON" in failure(tmp_path / "p")
    (tmp_path / "p" / "smplx" / "000000.json").write_text(json.dumps({"annots": [{"Rh": 1}]}))
    assert "Rh is missing" in failure(tmp_path / "p")
