"""A run as an MJCF model for MuJoCo: nested bodies with meshes, masses and inertias, joints with ranges.

The parts' surfaces overlap where they join, so bodies collide with the world, not with each other.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from wim_fast.export.asset import Asset
from wim_fast.export.links import Link, LinkJoint, LinkModel
from wim_fast.export.simulation import collision_names, described, number, write_film, write_meshes, write_xml
from wim_fast.posing.rigid import inverse, quaternion


def write_mjcf(asset: Asset, file: Path) -> list[Path]:
    """The model, its meshes in the folder named after it, and there the film (`write_film`)."""
    model, folder = asset.links, file.with_suffix("")
    write_xml(mjcf(model, folder.name), file)
    return [file, *write_meshes(model, folder), write_film(model, folder)]


def mjcf(model: LinkModel, meshes: str) -> ElementTree.Element:
    """The document; the meshes are in the folder `meshes` beside it."""
    root = ElementTree.Element("mujoco", model=model.name)
    ElementTree.SubElement(root, "compiler", angle="radian", meshdir=meshes, autolimits="true")
    defaults = ElementTree.SubElement(ElementTree.SubElement(root, "default"), "default", {"class": "film"})
    ElementTree.SubElement(
        defaults, "joint", damping=number(model.damping), armature=number(model.armature), limited="true"
    )
    for name, group, collides in (("seen", "2", "0"), ("collides", "3", "1")):
        shape = ElementTree.SubElement(defaults, "default", {"class": name})
        ElementTree.SubElement(
            shape, "geom", type="mesh", group=group, contype=collides, conaffinity="0", mass="0"
        )
    assets = ElementTree.SubElement(root, "asset")
    bodies: list[ElementTree.Element] = []
    world = ElementTree.SubElement(root, "worldbody")
    for k, (link, joint) in enumerate(zip(model.links, model.joints, strict=True)):
        for name in (link.name, *collision_names(link)):
            ElementTree.SubElement(assets, "mesh", name=name, file=f"{name}.obj", inertia="convex")
        above = bodies[joint.parent] if joint.parent >= 0 else world
        above.append(ElementTree.Comment(described(link, joint)))
        bodies.append(_body(above, model, k, link, joint))
    return root


def rest_place(model: LinkModel, k: int) -> np.ndarray:
    """(4, 4) of a link in its parent's frame, where joint values are 0."""
    parent, rest = model.joints[k].parent, model.poses[model.frame]
    return rest[k] if parent < 0 else inverse(rest[parent]) @ rest[k]


def _body(
    above: ElementTree.Element, model: LinkModel, k: int, link: Link, joint: LinkJoint
) -> ElementTree.Element:
    place = rest_place(model, k)
    body = ElementTree.SubElement(
        above,
        "body",
        name=link.name,
        pos=number(place[:3, 3]),
        quat=number(quaternion(place[:3, :3])),
        childclass="film",
    )
    _joints(body, joint)
    inertia = link.inertia
    full = [inertia[at] for at in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))]
    ElementTree.SubElement(
        body, "inertial", pos=number(link.center), mass=number(link.mass), fullinertia=number(full)
    )
    rgba = number([*link.color, 1.0])
    ElementTree.SubElement(body, "geom", {"class": "seen"}, mesh=link.name, rgba=rgba)
    for name in collision_names(link):
        ElementTree.SubElement(body, "geom", {"class": "collides"}, mesh=name, rgba=rgba)
    return body


def _joints(body: ElementTree.Element, joint: LinkJoint) -> None:
    """The joints that move a body, in the order in which they do."""
    if joint.kind == "free":
        ElementTree.SubElement(body, "freejoint", name=joint.name)
    elif joint.kind == "ball":
        most = float(np.linalg.norm(joint.values, axis=1).max()) + 1e-4
        ElementTree.SubElement(body, "joint", name=joint.name, type="ball", range=number([0.0, most]))
    elif joint.kind != "fixed":
        kind = "slide" if joint.kind == "prismatic" else "hinge"
        for k in range(len(joint.low)):
            last = k == len(joint.low) - 1
            axis = np.array([0.0, 0.0, 1.0])
            if not last:  # at rest, seen from the body: the second axis is the body's z
                axis = joint.joint.between[:3, :3].T @ axis
            ElementTree.SubElement(
                body,
                "joint",
                name=joint.name if len(joint.low) == 1 else f"{joint.name}_{k + 1}",
                type=kind,
                axis=number(axis),
                range=number([joint.low[k], joint.high[k]]),
            )
