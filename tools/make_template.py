#!/usr/bin/env python
"""Make a skinned body for the baseline Kundu* (docs/baselines.md): of a URDF robot, the dog, or a run's own model.

    python tools/make_template.py --robot franka_panda --output panda.npz
    python tools/make_template.py --robot my/robot.urdf --output robot.npz
    python tools/make_template.py --dog --output dog.npz
    python tools/make_template.py --run runs/dog_1 --output dog_1.npz

A robot's links are rigid, with a joint where each hangs from its parent; what slides or is fixed goes with its parent.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from wim_fast.baselines.template import Template, check_template
from wim_fast.errors import UserError

sys.path.insert(0, str(Path(__file__).resolve().parent))
Array = NDArray[np.float64]
NEEDS = 'pip install -e ".[scenes,test]"'


class Body(NamedTuple):
    """A skinned mesh: vertices (V, 3), faces (F, 3), weights (V, J), joints (J, 3), parents (J,) in any order."""

    vertices: Array
    faces: NDArray[np.int64]
    weights: Array
    joints: Array
    parents: NDArray[np.int64]


def robot_body(name: str, faces: int) -> Body:
    """Of a URDF, in the pose that make_robot_scene.py calls rest; about so many faces."""
    import make_robot_scene
    import pybullet_data
    import trimesh
    import yourdfpy

    robot = make_robot_scene.ROBOTS.get(name) or make_robot_scene.Robot(name)
    file = Path(robot.urdf)
    if not file.is_file():
        file = Path(pybullet_data.getDataPath()) / robot.urdf
    urdf = yourdfpy.URDF.load(str(file), filename_handler=lambda fname: str(find_mesh(file.parent, fname)))
    movable = [joint.name for joint in urdf.robot.joints if joint.type != "fixed" and joint.mimic is None]
    urdf.update_cfg(dict(zip(movable, np.resize(robot.rest, len(movable)), strict=True)))
    number, joints, parents = link_tree(urdf)
    meshes, owners = [], []
    for node in urdf.scene.graph.nodes_geometry:
        place, geometry = urdf.scene.graph[node]
        shape = urdf.scene.geometry[geometry]
        mesh = trimesh.Trimesh(shape.vertices, shape.faces).apply_transform(place)  # merges vertices
        mesh.fix_normals()
        meshes.append(mesh)
        owners.append(number[urdf.scene.graph.transforms.parents[node]])
    if not meshes:
        raise SystemExit(f"error: {file}: none of its meshes can be read")
    roll = np.radians(robot.roll)
    turn = np.array([[1, 0, 0], [0, np.cos(roll), -np.sin(roll)], [0, np.sin(roll), np.cos(roll)]])
    return rigid_body(meshes, owners, joints, parents, faces, turn)


def find_mesh(folder: Path, name: str) -> Path:
    """A mesh that a URDF names, which stands beside it or above: package://meshes/a.obj, meshes/a.obj."""
    path = Path(name.removeprefix("package://"))
    for root in (folder, *folder.parents[:3]):
        for tail in (path, Path(*path.parts[1:])):
            if (root / tail).is_file():
                return root / tail
    raise SystemExit(f"error: {name}: there is no such mesh beside {folder}")


def link_tree(urdf: object) -> tuple[dict[str, int], Array, NDArray[np.int64]]:
    """{link: joint that carries it}, joints (J, 3) and parents (J,): one for the base and one for all that turns."""
    joints_above = {joint.child: joint for joint in urdf.robot.joints}  # type: ignore[attr-defined]
    number, places, parents = {urdf.base_link: 0}, [np.zeros(3)], [-1]  # type: ignore[attr-defined]

    def find(link: str) -> int:
        if link not in number:
            above = joints_above[link]
            parent = find(above.parent)
            if above.type in ("revolute", "continuous", "floating", "planar"):
                number[link] = len(places)
                places.append(urdf.get_transform(link)[:3, 3])  # type: ignore[attr-defined]
                parents.append(parent)
            else:
                number[link] = parent
        return number[link]

    for link in urdf.link_map:  # type: ignore[attr-defined]
        find(link)
    return number, np.array(places), np.array(parents)


def rigid_body(
    meshes: list, owners: list[int], joints: Array, parents: NDArray[np.int64], faces: int, turn: Array
) -> Body:
    """Meshes that one joint each carries, every one with its share of the faces by its area, all turned."""
    area = np.array([mesh.area for mesh in meshes])
    parts = []
    for mesh, share in zip(meshes, area / area.sum(), strict=True):
        wanted = max(60, round(faces * share))
        parts.append(
            mesh.simplify_quadric_decimation(face_count=wanted) if len(mesh.faces) > wanted else mesh
        )
    starts = np.cumsum([0, *(len(part.vertices) for part in parts[:-1])])
    owner = np.repeat(owners, [len(part.vertices) for part in parts])
    vertices = np.concatenate([part.vertices for part in parts]) @ turn.T
    triangles = np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=True)])
    return Body(vertices, triangles, np.eye(len(joints))[owner], joints @ turn.T, parents)


def dog_body(faces: int) -> Body:
    """dm_control's dog: its skin as it was bound to its bones."""
    import make_dog_scene

    model = make_dog_scene.load_dog()
    bones = range(model.skin_boneadr[0], model.skin_boneadr[0] + model.skin_bonenum[0])
    bodies = [int(model.skin_bonebodyid[bone]) for bone in bones]
    parents = []
    for body in bodies:
        above = int(model.body_parentid[body])
        while above and above not in bodies:
            above = int(model.body_parentid[above])
        parents.append(bodies.index(above) if above else -1)
    vertices = slice(model.skin_vertadr[0], model.skin_vertadr[0] + model.skin_vertnum[0])
    triangles = slice(model.skin_faceadr[0], model.skin_faceadr[0] + model.skin_facenum[0])
    weights = np.zeros((model.skin_vertnum[0], len(bodies)))
    for number, bone in enumerate(bones):
        start = model.skin_bonevertadr[bone]
        part = slice(start, start + model.skin_bonevertnum[bone])
        weights[model.skin_bonevertid[part], number] += model.skin_bonevertweight[part]
    body = Body(
        model.skin_vert[vertices].astype(float),
        model.skin_face[triangles].astype(np.int64),
        weights / weights.sum(axis=1, keepdims=True),
        model.skin_bonebindpos[bones.start : bones.stop].astype(float),
        np.array(parents),
    )
    return decimated(one_root(body), faces)


def run_body(path: Path, faces: int) -> Body:
    """A run's own model: what `wim-fast export` gives other programs."""
    from wim_fast.export.asset import Asset, Settings
    from wim_fast.runs.run import load_run

    asset = Asset(load_run(path), Settings(faces=faces))
    surface, rig = asset.surface, asset.rig
    bones, weight = asset.skin
    weights = np.zeros((len(surface.vertices), rig.bones))
    np.add.at(weights, (np.arange(len(weights))[:, None], bones), weight)
    return Body(surface.vertices, surface.faces.astype(np.int64), weights, rig.heads, rig.tree.parent)


def one_root(body: Body) -> Body:
    """The same with one root: what has no parent hangs from the first joint without."""
    roots = np.flatnonzero(body.parents < 0)
    parents = body.parents.copy()
    parents[roots[1:]] = roots[0]
    return body._replace(parents=parents)


def decimated(body: Body, faces: int) -> Body:
    """With about so many faces; a vertex takes the weights of the nearest that was there."""
    import trimesh

    mesh = trimesh.Trimesh(body.vertices, body.faces)  # merges what lies in one place
    if len(mesh.faces) > faces:
        mesh = mesh.simplify_quadric_decimation(face_count=faces)
    nearest = cKDTree(body.vertices).query(mesh.vertices)[1]
    return body._replace(
        vertices=np.array(mesh.vertices), faces=np.array(mesh.faces), weights=body.weights[nearest]
    )


def in_order(body: Body) -> Body:
    """The same with every joint after its parent, the root first."""
    depth = np.zeros(len(body.parents), int)
    for joint, parent in enumerate(body.parents):
        while parent >= 0:
            depth[joint], parent = depth[joint] + 1, body.parents[parent]
    order = np.argsort(depth, kind="stable")
    parents = np.where(body.parents[order] >= 0, np.argsort(order)[body.parents[order]], -1)
    return body._replace(weights=body.weights[:, order], joints=body.joints[order], parents=parents)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    summary = (__doc__ or "").split("\n\n    python")[0]
    parser = argparse.ArgumentParser(
        description=summary, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--robot", help="a name of make_robot_scene.py --list, or a URDF file")
    what.add_argument("--dog", action="store_true", help="dm_control's dog")
    what.add_argument("--run", type=Path, help="folder that wim-fast train made")
    parser.add_argument("--faces", type=int, default=4000, help="of the mesh, about")
    parser.add_argument("--output", type=Path, required=True, help="npz file to write")
    args = parser.parse_args(argv)
    if args.faces < 100:
        parser.error("--faces must be at least 100")
    if args.output.suffix != ".npz":
        parser.error(f"--output {args.output}: name an .npz file")
    return args


def main(argv: list[str] | None = None) -> None:
    """Entry point."""
    args = parse(argv)
    try:
        if args.robot:
            body = robot_body(args.robot, args.faces)
        else:
            body = dog_body(args.faces) if args.dog else run_body(args.run, args.faces)
        body = in_order(body)
        no_shape = np.zeros((len(body.vertices), 3, 0)), np.zeros((len(body.joints), 3, 0))
        check_template(Template(*body, *no_shape), args.output)
    except ImportError as error:
        raise SystemExit(f"error: {error}. Templates need: {NEEDS}") from None
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
    args.output.parent.mkdir(parents=True, exist_ok=True)
    np.savez(args.output, **body._asdict())
    counts = f"{len(body.vertices)} vertices, {len(body.faces)} faces, {len(body.joints)} joints"
    print(f"{args.output}: {counts}")


if __name__ == "__main__":
    main()
