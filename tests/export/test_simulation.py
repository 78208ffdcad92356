"""URDF and MJCF: loaded by simulators, every kind of joint is where the film has it, and nothing explodes."""

from __future__ import annotations

import warnings
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import trimesh
from moving_joints import SEMI_AXES, chain
from scipy.spatial import Delaunay

from wim_fast import UserError, export_run, load_run
from wim_fast.cli import main
from wim_fast.export.convex import convex_hull, convex_pieces
from wim_fast.export.links import Link, LinkJoint, LinkModel, Mesh, capped
from wim_fast.export.mjcf import mjcf
from wim_fast.export.simulation import hinge_names, hinge_values, joint_positions, write_meshes, write_xml
from wim_fast.export.urdf import urdf
from wim_fast.posing.joints.fit import fit_mechanism
from wim_fast.posing.joints.mechanism import Joint, Mechanism, stage_frames, zeroed
from wim_fast.posing.joints.start import start_joint
from wim_fast.posing.rigid import inverse

KINDS = ["revolute", "universal", "ball"]
FRAMES = 20


def moving_model(kinds: list[str], free: bool) -> LinkModel:
    """A chain of blocks whose joints are known, from a base that is free or fixed."""
    poses, tree, _ = chain(kinds, seed=4, frames=FRAMES)
    still = np.eye(4)
    root = Joint("fixed", poses.parts[0, 0], still, still, ())
    if free:
        root = Joint("free", still, still, still, (poses.parts[:, 0],))
    joints = [root]
    for part, kind in enumerate(kinds, start=1):
        above = inverse(poses.parts[:, part - 1])
        guess = (above[:, :3, :3] @ poses.joints[:, part - 1, :, None])[..., 0] + above[:, :3, 3]
        joints.append(start_joint(kind, above @ poses.parts[:, part], guess, joints[-1].mount))
    mechanism = fit_mechanism(Mechanism(tree, tuple(joints)), poses.parts, poses.metric, 60, 1e-9)[0]
    mechanism = zeroed(mechanism, 3)
    links, link_joints = [], []
    for part, joint in enumerate(mechanism.joints):
        box = trimesh.creation.box(SEMI_AXES[part])
        mesh = Mesh(np.asarray(box.vertices), np.asarray(box.faces))
        collision = halves(mesh.vertices) if part else (mesh,)
        inertia = np.asarray(box.moment_inertia) * 1000
        name = f"part_{part:02d}"
        mass = box.volume * 1000
        links.append(Link(name, (part,), mesh, collision, np.full(3, 0.5), mass, np.zeros(3), inertia))
        values = joint.values()
        low, high = values.min(axis=0, initial=0) - 1e-4, values.max(axis=0, initial=0) + 1e-4
        link_joints.append(
            LinkJoint(f"joint_{part}", joint.kind, part - 1, joint, values, low, high, 0.0, 0.0, 0.0)
        )
    frames = np.stack([f[-1] for f in stage_frames(mechanism, FRAMES)], axis=1)
    times = np.arange(FRAMES) / 30
    return LinkModel("chain", tuple(links), tuple(link_joints), frames, times, 3, not free)


def halves(corners: np.ndarray) -> tuple[Mesh, Mesh]:
    """The two halves along x of a box about 0."""
    low, high = corners.copy(), corners.copy()
    low[:, 0], high[:, 0] = corners[:, 0].clip(max=0), corners[:, 0].clip(min=0)
    return Mesh(*convex_hull(low)), Mesh(*convex_hull(high))


@pytest.fixture(scope="module", params=[(KINDS, True), (["prismatic", "ball"], False)], ids=["free", "fixed"])
def written(request, tmp_path_factory) -> tuple[LinkModel, Path]:
    model, folder = moving_model(*request.param), tmp_path_factory.mktemp("simulation")
    write_meshes(model, folder / "chain")
    write_xml(urdf(model, "chain"), folder / "chain.urdf")
    write_xml(mjcf(model, "chain"), folder / "chain.xml")
    return model, folder


def test_mujoco_has_every_link_where_the_film_has_it(written) -> None:
    mujoco = pytest.importorskip("mujoco", reason="pip install mujoco")
    model, folder = written
    loaded = mujoco.MjModel.from_xml_path(str(folder / "chain.xml"))
    data = mujoco.MjData(loaded)
    assert loaded.body_mass.sum() == pytest.approx(model.mass)
    for qpos, poses in zip(joint_positions(model), model.poses, strict=True):
        data.qpos[:] = qpos
        mujoco.mj_kinematics(loaded, data)
        for link, pose in zip(model.links, poses, strict=True):
            body = loaded.body(link.name).id
            assert np.allclose(data.xpos[body], pose[:3, 3], atol=1e-6)
            assert np.allclose(data.xmat[body].reshape(3, 3), pose[:3, :3], atol=1e-6)


def test_dropped_on_a_plane_it_comes_to_rest(written) -> None:
    mujoco = pytest.importorskip("mujoco", reason="pip install mujoco")
    model, folder = written
    spec = mujoco.MjSpec.from_file(str(folder / "chain.xml"))
    height = float(model.poses[:, :, 2, 3].min()) - 0.6
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[5, 5, 0.1], pos=[0, 0, height])
    loaded = spec.compile()
    data = mujoco.MjData(loaded)
    speeds = []
    for _ in range(int(5 / loaded.opt.timestep)):
        mujoco.mj_step(loaded, data)
        speeds.append(np.abs(data.qvel).max())
    assert np.isfinite(data.qpos).all()
    assert not any(warning.number for warning in data.warning)
    assert max(speeds) < 100
    assert speeds[-1] < 1


def test_urdf_has_every_link_where_the_film_has_it(written) -> None:
    yourdfpy = pytest.importorskip("yourdfpy", reason="pip install yourdfpy")
    model, folder = written
    robot = yourdfpy.URDF.load(str(folder / "chain.urdf"))
    moving = [joint for joint in model.joints if joint.kind not in ("fixed", "free")]
    names = [name for joint in moving for name in hinge_names(joint)]
    values = np.concatenate([hinge_values(joint) for joint in moving], axis=1)
    base = "world" if model.fixed_base else model.links[0].name
    for t in range(0, FRAMES, 5):
        robot.update_cfg(dict(zip(names, values[t], strict=True)))
        start = np.eye(4) if model.fixed_base else model.poses[t, 0]
        for link, pose in zip(model.links, model.poses[t], strict=True):
            assert np.allclose(start @ robot.get_transform(link.name, base), pose, atol=1e-6)
    for name, seen in zip(names, values.T, strict=True):
        limit = robot.joint_map[name].limit
        assert limit.lower <= seen.min() + 1e-9
        assert seen.max() <= limit.upper + 1e-9


def test_pybullet_loads_it(written) -> None:
    bullet = pytest.importorskip("pybullet", reason="pip install pybullet (it may have to be compiled)")
    model, folder = written
    client = bullet.connect(bullet.DIRECT)
    body = bullet.loadURDF(str(folder / "chain.urdf"), physicsClientId=client)
    count = bullet.getNumJoints(body, client)
    masses = [bullet.getDynamicsInfo(body, k, client)[0] for k in range(-1, count)]
    assert sum(masses) == pytest.approx(model.mass, rel=0.01)
    assert (masses[0] == 0) == model.fixed_base
    bullet.disconnect(client)


def test_a_piece_of_a_closed_mesh_is_closed() -> None:
    ball = trimesh.creation.icosphere(2)
    upper = np.asarray(ball.vertices)[np.asarray(ball.faces)].mean(axis=1)[:, 2] > 0.1
    pieces = []
    for part in (upper, ~upper):
        used, faces = np.unique(np.asarray(ball.faces)[part], return_inverse=True)
        mesh = capped(np.asarray(ball.vertices)[used], faces.reshape(-1, 3))
        pieces.append(trimesh.Trimesh(mesh.vertices, mesh.faces, process=False))
    assert all(piece.is_watertight for piece in pieces)
    assert sum(piece.volume for piece in pieces) == pytest.approx(ball.volume)


def test_a_hole_stays_a_hole_in_convex_pieces() -> None:
    pytest.importorskip("vhacdx", reason="pip install vhacdx")
    ring = trimesh.creation.annulus(0.7, 1.0, 0.3, sections=12)
    for collision, full in (("hull", True), ("decomposition", False)):
        pieces = convex_pieces(np.asarray(ring.vertices), np.asarray(ring.faces), collision)
        assert any(Delaunay(corners).find_simplex(np.zeros(3)) >= 0 for corners, _ in pieces) == full
        volumes = [trimesh.Trimesh(*piece, process=False).volume for piece in pieces]
        assert min(volumes) > 0
        assert 0.6 * ring.volume < sum(volumes) < (np.pi * 0.3 if full else 1.5 * ring.volume)


@pytest.mark.parametrize("format", ["urdf", "mjcf"])
def test_a_run_is_written_with_meshes_and_film(tiny_run, tmp_path, format: str, capsys) -> None:
    file = tmp_path / "tiny.xml"
    flags = ["--format", format, "--output", str(file), "--density", "500"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert main(["export", str(tiny_run.path), *flags]) == 0
    assert "kg" in capsys.readouterr().out
    document = ElementTree.parse(file).getroot()
    tag = "link" if format == "urdf" else "body"
    bodies = [element.get("name") for element in document.iter(tag)]
    film = np.load(tmp_path / "tiny" / "film.npz")
    assert set(film["link_names"]) <= set(bodies)
    frames = len(load_run(tiny_run.path).frame_ids)
    assert film["link_poses"].shape == (frames, len(film["link_names"]), 4, 4)
    assert film["joint_values"].shape == (frames, len(film["joint_names"]))
    assert len(film["qpos"]) == frames
    for mesh in document.iter("mesh"):
        name = mesh.get("filename") or f"tiny/{mesh.get('file')}"
        assert (tmp_path / name).is_file()


@pytest.mark.parametrize("found", [2, 3])
def test_a_link_for_each_body(tiny_run, tmp_path, found: int) -> None:
    run = load_run(tiny_run.path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = export_run(run, "mjcf", tmp_path / "tiny.xml", faces=400, parts_found=found).asset.links
    assert sorted(link.name for link in model.links) == [f"body_{k:02d}" for k in range(found)]
    bodies = run.bodies(found).body_of_part
    assert all({int(bodies[part]) for part in link.parts} == {int(link.name[-2:])} for link in model.links)
    assert all(joint.kind != "fixed" for joint in model.joints[1:])
    assert model.joints[1].name == f"{model.links[1].name}_on_{model.links[0].name[-2:]}"


@pytest.mark.parametrize("wrong", [{"density": 0.0}, {"collision": "none"}])
def test_what_a_simulator_cannot_use(tiny_run, tmp_path, wrong) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(UserError, match=next(iter(wrong)).replace("_", " ")):
            export_run(load_run(tiny_run.path), "urdf", tmp_path / "a.urdf", **wrong)
