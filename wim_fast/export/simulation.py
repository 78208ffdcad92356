"""What URDF and MJCF share: the meshes, the film's joint values beside them, numbers and comments in XML."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from wim_fast.export.links import Link, LinkJoint, LinkModel, Mesh
from wim_fast.files import atomic_file, write_atomic


def write_meshes(model: LinkModel, folder: Path) -> list[Path]:
    """NAME.obj and NAME_hull.obj of every link, in the link's frame."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        write_atomic(folder / f"{link.name}{ending}.obj", obj(mesh))
        for link in model.links
        for ending, mesh in (("", link.mesh), ("_hull", link.hull))
    ]


def obj(mesh: Mesh) -> bytes:
    """A mesh as Wavefront OBJ."""
    points = [f"v {x:.6g} {y:.6g} {z:.6g}" for x, y, z in mesh.vertices.tolist()]
    faces = [f"f {a} {b} {c}" for a, b, c in (mesh.faces + 1).tolist()]
    return ("\n".join([*points, *faces]) + "\n").encode()


def write_film(arrays: dict[str, np.ndarray], file: Path) -> Path:
    """The arrays as an .npz."""
    with atomic_file(file) as unfinished, unfinished.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    return file


def film_arrays(model: LinkModel) -> dict[str, np.ndarray]:
    """What both formats keep of the film: seconds (T,), link_names (L,), link_poses (T, L, 4, 4) link to world."""
    names = np.array([link.name for link in model.links])
    return {"seconds": model.times, "link_names": names, "link_poses": model.poses}


def described(model: LinkModel, link: Link, joint: LinkJoint) -> list[str]:
    """What is known about a link and its joint, for a comment."""
    whole = f" {link.name}: parts {', '.join(map(str, link.parts))} of the run; "
    off = (
        f"off the learned poses by {joint.turn_residual:.2f} degrees and {joint.shift_residual:.4g} units (rms), "
        f"which moves the surface by {joint.surface_residual:.4g} units "
    )
    return [whole + f"{joint.kind} joint, {off}"]


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
