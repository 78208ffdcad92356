"""Each format is opened by a reader that is not ours; what cannot be written says why."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from wim_fast import UserError, export_run
from wim_fast.cli import main
from wim_fast.export.extra import extra
from wim_fast.export.motion_files import bvh_text
from wim_fast.export.splats import splats
from wim_fast.posing.repose import rotation_matrix

FEW = {"faces": 400}


@pytest.mark.parametrize("format", ["obj", "ply", "stl"])
def test_still_meshes(run, asset, tmp_path, format) -> None:
    file = export_run(run, format, tmp_path / f"still.{format}", **FEW).files[0]
    mesh = trimesh.load(file, force="mesh")  # merges vertices that STL repeats
    assert mesh.is_watertight
    place = asset.upright if format == "obj" else asset.recorded
    expected = place.points(asset.surface.vertices)
    assert np.allclose(mesh.bounds, [expected.min(axis=0), expected.max(axis=0)], atol=1e-5)
    if format != "stl":
        assert np.abs(mesh.visual.vertex_colors[:, :3] / 255 - asset.surface.colors).max() < 0.01


def test_a_file_per_frame(run, asset, tmp_path) -> None:
    files = export_run(run, "ply", tmp_path / "film.ply", sequence=True, **FEW).files
    assert [file.name for file in files] == [f"frame_{k:05d}.ply" for k in range(10)]
    last = trimesh.load(files[-1], process=False)
    posed = asset.recorded.points(asset.posed_vertices(run.motion.at([9])))
    assert np.allclose(last.vertices, posed, atol=1e-5)
    assert last.visual.vertex_colors.shape == (len(posed), 4)


def test_a_textured_obj_finds_its_picture(run, tmp_path) -> None:
    files = export_run(run, "obj", tmp_path / "dog.obj", texture=64, **FEW).files
    assert {file.name for file in files} == {"dog.obj", "dog.mtl", "dog.png"}
    mesh = trimesh.load(files[0], process=False)
    assert mesh.visual.material.image.size == (64, 64)
    assert mesh.visual.uv.min() >= 0


def test_bvh_moves_joints_as_the_film(asset) -> None:
    """Forward kinematics of the text, as readers do it: channels in their order, positions in place of offsets."""
    rig = asset.upright_rig
    head, motion = bvh_text(rig).split("MOTION\n")
    names = [line.split()[1] for line in head.splitlines() if line.split()[0] in ("ROOT", "JOINT")]
    assert head.count("End Site") == len(rig.tips)
    rows = motion.splitlines()[2:]
    assert len(rows) == 10
    values = np.array([float(x) for x in rows[7].split()]).reshape(len(names), 6)
    world = {-1: (np.eye(3), np.zeros(3))}
    for name, (x, y, z, rz, rx, ry) in zip(names, values, strict=True):
        bone = rig.names.index(name)
        rotation, origin = world[int(rig.tree.parent[bone])]
        turns = [rotation_matrix(np.array(turn, float)) for turn in ((0, 0, rz), (rx, 0, 0), (0, ry, 0))]
        world[bone] = rotation @ turns[0] @ turns[1] @ turns[2], origin + rotation @ [x, y, z]
        place = rig.moves.rotation[7, bone] @ rig.heads[bone] + rig.moves.translation[7, bone]
        assert np.allclose(world[bone][0], rig.moves.rotation[7, bone], atol=1e-4)
        assert np.allclose(world[bone][1], place, atol=1e-4)


def test_arrays_pose_the_mesh(run, asset, tmp_path) -> None:
    """As docs/export.md says."""
    data = np.load(export_run(run, "npz", tmp_path / "dog.npz", **FEW).files[0])
    bones, weights = data["bone_ids"], data["bone_weights"]
    rotation, translation = data["move_rotation"][4][bones], data["move_translation"][4][bones]
    moved = np.einsum("vkij,vj->vki", rotation, data["vertices"]) + translation
    posed = (weights[..., None] * moved).sum(axis=1)
    expected = asset.recorded.points(asset.posed_vertices(run.motion.at([4])))
    assert np.allclose(posed, expected, atol=1e-5)
    assert len(data["bone_names"]) == len(data["bone_parent"]) == 3


def test_splats_lie_flat_on_their_faces(run, tmp_path) -> None:
    corners = np.array([[0.0, 0, 0], [2, 0, 0], [0, 1, 0]])
    found = splats(corners, np.array([[0, 1, 2]]), np.full((3, 3), 0.5))
    assert [found[axis][0] for axis in "xyz"] == pytest.approx([2 / 3, 1 / 3, 0])
    assert (found["nx"][0], found["ny"][0], found["nz"][0]) == (0, 0, 1)
    scales = np.array([found[f"scale_{k}"][0] for k in range(3)])
    assert scales.argmin() == 0  # along the normal
    w, x, y, z = (found[f"rot_{k}"][0] for k in range(4))
    assert abs(2 * (x * z - y * w)) == pytest.approx(1)  # the first axis is z
    file = export_run(run, "splats", tmp_path / "splats.ply", **FEW).files[0]
    points = trimesh.load(file).metadata["_ply_raw"]["vertex"]["data"]
    assert points.dtype.names[:6] == ("x", "y", "z", "nx", "ny", "nz")
    assert np.allclose(sum(points[f"weight_{k}"] for k in range(4)), 1, atol=1e-5)


def test_usd_is_posed_as_we_pose_it(run, asset, tmp_path) -> None:
    pytest.importorskip("pxr", reason="usd-core is not installed")
    from pxr import Usd, UsdGeom, UsdSkel, UsdValidation, Vt

    file = export_run(run, "usd", tmp_path / "run.usdc", **FEW).files[0]
    stage = Usd.Stage.Open(str(file))
    rules = UsdValidation.ValidationContext(UsdValidation.ValidationRegistry().GetOrLoadAllValidators())
    assert not [error.GetMessage() for error in rules.Validate(stage)]
    mesh, cache = UsdGeom.Mesh.Get(stage, "/model/surface"), UsdSkel.Cache()
    cache.Populate(UsdSkel.Root.Get(stage, "/model"), Usd.PrimDefaultPredicate)
    skeleton = cache.GetSkelQuery(UsdSkel.Skeleton.Get(stage, "/model/skeleton"))
    skinning = cache.GetSkinningQuery(mesh.GetPrim())
    for frame in (0, 5, 9):
        points = Vt.Vec3fArray(mesh.GetPointsAttr().Get())
        skinning.ComputeSkinnedPoints(skeleton.ComputeSkinningTransforms(frame), points, frame)
        ours = asset.upright.points(asset.posed_vertices(run.motion.at([frame])))
        assert np.abs(np.array(points) - ours).max() < 1e-5


def test_a_name_without_a_suffix_gets_the_formats(run, tmp_path) -> None:
    files = export_run(run, "urdf", tmp_path / "robot", faces=400).files
    assert files[0] == tmp_path / "robot.urdf"
    assert all(file.is_file() for file in files)


def test_the_command_says_what_it_wrote_and_what_is_lost(tiny_run, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr("wim_fast.export.compare.sample", lambda frames: list(frames)[:1])
    file = tmp_path / "out" / "run.glb"
    arguments = ["export", str(tiny_run.path), "--format", "glb", "--output", str(file), "--faces", "400"]
    assert main([*arguments, "--compare"]) == 0
    said = capsys.readouterr().out
    assert "3 bones" in said
    assert f"wrote {file}" in said
    assert "novel views" in said
    assert file.with_name("run_compare.json").is_file()
    assert main(arguments) == 2
    assert (
        "is there already. Choose another --output, or overwrite it with --force" in capsys.readouterr().err
    )
    assert main([*arguments, "--force"]) == 0


@pytest.mark.parametrize(
    ("format", "options", "message"),
    [
        ("glb", {"faces": 10}, "faces 10: too few for 3 parts"),
        ("glb", {"frame": 99}, "frame 99: there are 10 frames trained on"),
        ("glb", {"parts_found": 4}, "4 bodies: there are 3 parts"),
        ("glb", {"sequence": True}, "glb has none.*choose obj, ply, stl, splats"),
        ("bvh", {"texture": 64}, "bvh has none.*choose glb, html, obj"),
        ("obj", {"texture": 3}, "give 64 to 8192 texels".capitalize()),
        ("pdf", {}, "format pdf: is not known"),
    ],
)
def test_what_cannot_be_written_says_why(run, tmp_path, format, options, message) -> None:
    with pytest.raises(UserError, match=message):
        export_run(run, format, tmp_path / "file.xyz", **options)
    assert not list(tmp_path.iterdir())


def test_a_package_that_is_missing_is_named(monkeypatch) -> None:
    def missing(name: str, *_: object) -> None:
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(UserError, match=r'usd-core is not installed. .*pip install -e ".\[export\]"'):
        extra("pxr.Usd", "usd-core")
