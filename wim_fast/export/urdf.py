"""A run as a URDF: links with meshes, masses and inertias, joints with limits.

URDF knows hinges and slides only: a universal joint is two hinges, a ball three (about x, y and z), with links of
nearly no mass between. A base that hardly moves hangs fixed from a link `world`; any other is free.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from wim_fast.export.asset import Asset
from wim_fast.export.links import Link, LinkJoint, LinkModel
from wim_fast.export.simulation import (
    collision_names,
    described,
    hinge_names,
    hinge_values,
    number,
    write_film,
    write_meshes,
    write_xml,
)

BETWEEN_SHARE = 1e-3  # mass of a link between the axes of one joint, of the link it carries
X, Y, Z = np.eye(3)


def write_urdf(asset: Asset, file: Path) -> list[Path]:
    """The model, its meshes in the folder named after it, and there the film (`write_film`)."""
    model, folder = asset.links, file.with_suffix("")
    write_xml(urdf(model, folder.name), file)
    return [file, *write_meshes(model, folder), write_film(model, folder)]


def urdf(model: LinkModel, meshes: str) -> ElementTree.Element:
    """The document; the meshes are in the folder `meshes` beside it."""
    robot = ElementTree.Element("robot", name=model.name)
    if model.fixed_base:
        ElementTree.SubElement(robot, "link", name="world")
    for link, joint in zip(model.links, model.joints, strict=True):
        robot.append(ElementTree.Comment(described(link, joint)))
        _joint_chain(robot, model, link, joint)
        _link(robot, link, meshes)
    return robot


def _joint_chain(robot: ElementTree.Element, model: LinkModel, link: Link, joint: LinkJoint) -> None:
    """The joint of a link to its parent, with what must be between."""
    if joint.kind == "free":
        return
    parent = model.links[joint.parent].name if joint.parent >= 0 else "world"
    origin = joint.joint.offset
    if joint.kind == "fixed":
        _joint(robot, joint.name, "fixed", parent, link.name, origin)
        return
    axes = [X, Y, Z] if joint.kind == "ball" else [Z] * len(joint.joint.motion)
    values = hinge_values(joint)
    for k, (name, axis) in enumerate(zip(hinge_names(joint), axes, strict=True)):
        last = k == len(axes) - 1
        child = link.name if last else f"{link.name}_between_{k + 1}"
        element = _joint(
            robot,
            name,
            "prismatic" if joint.kind == "prismatic" else "revolute",
            parent,
            child,
            origin,
        )
        ElementTree.SubElement(element, "axis", xyz=number(axis))
        low, high = (values[:, k].min(initial=0.0), values[:, k].max(initial=0.0))
        if joint.kind != "ball":
            low, high = joint.low[k], joint.high[k]
        _limit(element, model, low, high, values[:, k])
        if not last:
            _between(robot, child, link)
        parent, origin = child, joint.joint.between


def _joint(
    robot: ElementTree.Element, name: str, kind: str, parent: str, child: str, origin: np.ndarray
) -> ElementTree.Element:
    element = ElementTree.SubElement(robot, "joint", name=name, type=kind)
    ElementTree.SubElement(element, "parent", link=parent)
    ElementTree.SubElement(element, "child", link=child)
    _origin(element, origin)
    return element


def _limit(element: ElementTree.Element, model: LinkModel, low: float, high: float, seen: np.ndarray) -> None:
    """Limits as seen; effort that could hold the whole model, and twice the greatest speed seen."""
    step = np.diff(model.times) if len(model.times) > 1 else np.ones(1)
    speed = float(np.abs(np.diff(seen) / step).max()) if len(seen) > 1 else 0.0
    ElementTree.SubElement(
        element,
        "limit",
        lower=number(low),
        upper=number(high),
        effort=number(model.effort),
        velocity=number(max(2.0 * speed, 1.0)),
    )
    ElementTree.SubElement(element, "dynamics", damping=number(model.damping), friction="0")


def _link(robot: ElementTree.Element, link: Link, meshes: str) -> None:
    element = ElementTree.SubElement(robot, "link", name=link.name)
    _inertial(element, link.mass, link.center, link.inertia)
    for kind, name in (("visual", link.name), *(("collision", name) for name in collision_names(link))):
        shape = ElementTree.SubElement(element, kind)
        geometry = ElementTree.SubElement(shape, "geometry")
        ElementTree.SubElement(geometry, "mesh", filename=f"{meshes}/{name}.obj")
        if kind == "visual":
            material = ElementTree.SubElement(shape, "material", name=f"{link.name}_color")
            ElementTree.SubElement(material, "color", rgba=number([*link.color, 1.0]))


def _between(robot: ElementTree.Element, name: str, link: Link) -> None:
    """A link without a shape between two axes of a joint."""
    element = ElementTree.SubElement(robot, "link", name=name)
    moment = BETWEEN_SHARE * np.trace(link.inertia) / 3
    _inertial(element, BETWEEN_SHARE * link.mass, np.zeros(3), moment * np.eye(3))


def _inertial(element: ElementTree.Element, mass: float, center: np.ndarray, inertia: np.ndarray) -> None:
    inertial = ElementTree.SubElement(element, "inertial")
    ElementTree.SubElement(inertial, "origin", xyz=number(center), rpy="0 0 0")
    ElementTree.SubElement(inertial, "mass", value=number(mass))
    names = {"ixx": (0, 0), "ixy": (0, 1), "ixz": (0, 2), "iyy": (1, 1), "iyz": (1, 2), "izz": (2, 2)}
    ElementTree.SubElement(inertial, "inertia", {name: number(inertia[at]) for name, at in names.items()})


def _origin(element: ElementTree.Element, place: np.ndarray) -> None:
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_matrix(place[:3, :3]).as_euler("xyz")  # fixed axes: roll, pitch, yaw
    ElementTree.SubElement(element, "origin", xyz=number(place[:3, 3]), rpy=number(turn))
