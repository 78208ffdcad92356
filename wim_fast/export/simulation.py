"""What URDF and MJCF share: the meshes, the film's joint values beside them, numbers and comments in XML."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from wim_fast.export.links import Link, LinkJoint, LinkModel, Mesh
from wim_fast.files import atomic_file, write_atomic
from wim_fast.posing.rigid import quaternion


def write_meshes(model: LinkModel, folder: Path) -> list[Path]:
    """NAME.obj of every link and those of its `collision_names`, in the link's frame."""
    folder.mkdir(parents=True, exist_ok=True)
    meshes = {}
    for link in model.links:
        meshes[link.name] = link.mesh
        meshes |= dict(zip(collision_names(link), link.collision, strict=True))
    return [write_atomic(folder / f"{name}.obj", obj(mesh)) for name, mesh in meshes.items()]


def collision_names(link: Link) -> list[str]:
    """Of what collides: NAME_hull, or NAME_hull_1 and so on where there are several pieces."""
    count = len(link.collision)
    return [f"{link.name}_hull" + (f"_{k + 1}" if count > 1 else "") for k in range(count)]


def obj(mesh: Mesh) -> bytes:
    """A mesh as Wavefront OBJ."""
    points = [f"v {x:.6g} {y:.6g} {z:.6g}" for x, y, z in mesh.vertices.tolist()]
    faces = [f"f {a} {b} {c}" for a, b, c in (mesh.faces + 1).tolist()]
    return ("\n".join([*points, *faces]) + "\n").encode()


def write_film(model: LinkModel, folder: Path) -> Path:
    """film.npz, the same for both formats: what the links and joints did.

    seconds (T,), link_names (L,), link_poses (T, L, 4, 4) link to world; joint_names (J,) and joint_values (T, J) of the
    hinges and slides of a URDF, radians or units; qpos (T, n) of an MJCF model.
    """
    moving = [joint for joint in model.joints if joint.kind not in ("fixed", "free")]
    none = np.zeros((len(model.times), 0))
    arrays = {
        "seconds": model.times,
        "link_names": np.array([link.name for link in model.links]),
        "link_poses": model.poses,
        "joint_names": np.array([name for joint in moving for name in hinge_names(joint)], str),
        "joint_values": np.concatenate([none, *map(hinge_values, moving)], axis=1),
        "qpos": joint_positions(model),
    }
    with atomic_file(folder / "film.npz") as unfinished, unfinished.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    return folder / "film.npz"


def hinge_values(joint: LinkJoint) -> np.ndarray:
    """(T, n) values of the hinges or slide that stand for a joint in a URDF: those of a ball are angles about x, y, z."""
    from scipy.spatial.transform import Rotation

    if joint.kind != "ball":
        return joint.values
    return np.unwrap(Rotation.from_rotvec(joint.values).as_euler("XYZ"), axis=0)


def hinge_names(joint: LinkJoint) -> list[str]:
    """Of these, as the file has them."""
    count = hinge_values(joint).shape[1]
    return [joint.name] if count == 1 else [f"{joint.name}_{k + 1}" for k in range(count)]


def joint_positions(model: LinkModel) -> np.ndarray:
    """(T, n) qpos of the model in every frame: of the joints as nested bodies name them, depth first."""
    columns: list[np.ndarray] = []

    def walk(k: int) -> None:
        joint = model.joints[k]
        if joint.kind == "free":
            pose = model.poses[:, k]
            columns.extend([pose[:, :3, 3], quaternion(pose[:, :3, :3])])
        elif joint.kind == "ball":
            columns.append(quaternion(joint.joint.motion[0][:, :3, :3]))
        elif joint.kind != "fixed":
            columns.append(joint.values)
        for child, below in enumerate(model.joints):
            if below.parent == k:
                walk(child)

    walk(0)
    return np.concatenate([np.zeros((len(model.times), 0)), *columns], axis=1)


def described(link: Link, joint: LinkJoint) -> str:
    """What is known about a link and its joint, for a comment."""
    return (
        f" {link.name}: parts {', '.join(map(str, link.parts))} of the run; {joint.kind} joint, off the learned poses "
        f"by {joint.turn_residual:.2f} degrees and {joint.shift_residual:.4g} units (rms), which moves the surface "
        f"by {joint.surface_residual:.4g} units "
    )


def seen_range(joint: LinkJoint) -> list[str]:
    """The least and the greatest value of each axis in the film, for a person: degrees, or units of a slide."""
    if joint.kind == "prismatic":
        return [f"{joint.values.min():.3g} to {joint.values.max():.3g}"]
    return [f"{low:.0f} to {high:.0f}°" for low, high in np.degrees([joint.low, joint.high]).T]


def number(values: float | Sequence[float] | np.ndarray) -> str:
    """Numbers as XML attributes have them."""
    return " ".join(f"{float(x):.9g}" for x in np.atleast_1d(np.asarray(values, float)))


def write_xml(root: ElementTree.Element, file: Path) -> None:
    """An XML file, indented."""
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode", xml_declaration=True)
    write_atomic(file, (text + "\n").encode())
