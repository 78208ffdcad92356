"""A run as rigid links and joints for a simulator: meshes, masses, joints with limits, and the film's joint values.

Everything is in the file's frame: z up, lengths in the recording's units, which simulators take for metres, masses in
kilograms. At joint values 0 the model stands as in the rest frame of the film.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from wim_fast.errors import UserError
from wim_fast.export.binding import carried_by
from wim_fast.export.convex import COLLISIONS, convex_hull, convex_pieces
from wim_fast.export.extra import extra
from wim_fast.export.placement import Placement
from wim_fast.export.surface import Surface
from wim_fast.posing.bodies.surface import share_out
from wim_fast.posing.joints.mechanism import Joint, Kind, Mechanism, stage_frames, zeroed
from wim_fast.posing.rigid import inverse, rigid
from wim_fast.posing.skeleton import PartsFound
from wim_fast.runs.mechanism import FittedMechanism, fit_run
from wim_fast.runs.skeleton import skeleton_of
from wim_fast.runs.trained_model import TrainedModel

Z_UP_OF_Y_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
LEAST_SHARE = 1e-3
"""Of the whole mass: no link is lighter, for simulators cannot move a speck between heavy neighbours."""

DAMPING, ARMATURE = 2e-3, 1e-4  # of joints, as shares of the model's mass times its size squared
ROOM = 1e-4  # radians or units by which limits go beyond what was seen, so that rounding cuts nothing off


@dataclass(frozen=True)
class Mesh:
    """A closed mesh in its link's frame."""

    vertices: np.ndarray  # (V, 3)
    faces: np.ndarray  # (F, 3)


@dataclass(frozen=True)
class Link:
    """A rigid body.

    Attributes:
        name: of it and of its files, after the part or body whose joint moves it.
        parts: of the run.
        mesh: what is seen; `collision`: what collides, convex pieces.
        color: (3,) in [0, 1], the mean of its surface.
        mass, center, inertia: kg, (3,) and (3, 3) about the centre, along the link's axes.
    """

    name: str
    parts: tuple[int, ...]
    mesh: Mesh
    collision: tuple[Mesh, ...]
    color: np.ndarray
    mass: float
    center: np.ndarray
    inertia: np.ndarray


@dataclass(frozen=True)
class LinkJoint:
    """The joint that carries a link, see `posing/joints/mechanism.py` for how its motions compose.

    Attributes:
        name, kind, parent: `parent` is a link, -1 for the world.
        joint: its constants and motion, lengths in the file's units.
        values: (T, n) as `Joint.values`; `low`, `high`: (n,) limits that cover them.
        turn_residual, shift_residual, surface_residual: of the child's parts, see `FittedMechanism`; the lengths
            in the file's units.
    """

    name: str
    kind: Kind
    parent: int
    joint: Joint
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    turn_residual: float
    shift_residual: float
    surface_residual: float


@dataclass(frozen=True)
class LinkModel:
    """L links, parents before children, each with the joint that carries it; T frames.

    Attributes:
        poses: (T, L, 4, 4) link to world, by forward kinematics.
        times: (T,) seconds.
        frame: the rest frame, where joint values are 0.
    """

    name: str
    links: tuple[Link, ...]
    joints: tuple[LinkJoint, ...]
    poses: np.ndarray
    times: np.ndarray
    frame: int
    fixed_base: bool

    @property
    def mass(self) -> float:
        return sum(link.mass for link in self.links)

    @property
    def size(self) -> float:
        """Diagonal of the box round the model at rest."""
        corners = [
            link.mesh.vertices @ pose[:3, :3].T + pose[:3, 3]
            for link, pose in zip(self.links, self.poses[self.frame], strict=True)
        ]
        return float(np.linalg.norm(np.ptp(np.concatenate(corners), axis=0)))

    @property
    def effort(self) -> float:
        """That which holds the whole model up by its end, N m (or N)."""
        return 9.81 * self.mass * max(self.size, 1.0)

    @property
    def damping(self) -> float:
        """Of every joint, N m s: limp, yet it comes to rest."""
        return DAMPING * self.mass * self.size**2

    @property
    def armature(self) -> float:
        """Inertia that a motor would add to every joint, kg m^2: light limbs need it in large steps of time."""
        return ARMATURE * self.mass * self.size**2


def link_model(
    run: TrainedModel,
    surface: Surface,
    upright: Placement,
    times: np.ndarray,
    density: float,
    collision: str = "hull",
    parts_found: PartsFound = None,
) -> LinkModel:
    """The links and joints of a run.

    Args:
        surface: at rest, world frame and units.
        upright: to a file with y up.
        times: (T,) seconds.
        density: kg per cubic unit of the recording (metre); UserError unless it is positive.
        collision: one of `COLLISIONS`, else UserError.
        parts_found: what is a link, see `fit_run`.
    """
    if not density > 0:
        raise UserError(f"density {density:g}", "is no density", "give kg per cubic metre, water has 1000")
    if collision not in COLLISIONS:
        raise UserError(f"collision {collision}", "is not known", f"choose from {', '.join(COLLISIONS)}")
    fitted = fit_run(run, parts_found)
    placement = Placement(Z_UP_OF_Y_UP @ upright.rotation, upright.scale)
    mechanism = _placed(zeroed(fitted.mechanism, surface.frame), placement)
    tree = mechanism.tree
    leads = [node for node in tree.order.tolist() if fitted.link_of_node[node] == node]
    frames = stage_frames(mechanism, len(times))
    poses = np.stack([frames[node][-1] for node in leads], axis=1)
    at_rest = dict(zip(leads, poses[surface.frame], strict=True))
    link_of_face = _links_of_faces(run, surface, fitted.link_of_node, parts_found)
    links = tuple(_links(run, surface, fitted, link_of_face, placement, at_rest, density, collision))
    joints = []
    for node in leads:
        parent = int(tree.parent[node])
        above = int(fitted.link_of_node[parent]) if parent >= 0 else -1
        place = leads.index(above) if parent >= 0 else -1
        joints.append(_link_joint(mechanism.joints[node], node, above, place, fitted, placement.scale))
    fixed = mechanism.joints[tree.root].kind == "fixed"
    name = run.path.resolve().name
    return LinkModel(name, links, tuple(joints), poses, times, surface.frame, fixed)


def _link_joint(
    joint: Joint, node: int, above: int, parent: int, fitted: FittedMechanism, scale: float
) -> LinkJoint:
    """The joint of the link that `node` leads to the one that `above` leads, link number `parent`; -1: the world."""
    parts = np.flatnonzero(fitted.link_of_part == node)
    values = joint.values()
    shift, surface = (scale * _rms(x[parts]) for x in (fitted.shift_residual, fitted.surface_residual))
    low, high = values.min(axis=0, initial=0.0) - ROOM, values.max(axis=0, initial=0.0) + ROOM
    name = f"{fitted.what}_{node:02d}_" + (f"on_{above:02d}" if above >= 0 else "root")
    turn = _rms(fitted.turn_residual[parts])
    return LinkJoint(name, joint.kind, parent, joint, values, low, high, turn, shift, surface)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values).mean()))


def _placed(mechanism: Mechanism, placement: Placement) -> Mechanism:
    """In the file's frame and units: all lengths scaled, the root turned."""

    def scaled(motion: np.ndarray) -> np.ndarray:
        return rigid(motion[..., :3, :3], placement.scale * motion[..., :3, 3])

    joints = []
    for part, joint in enumerate(mechanism.joints):
        offset = scaled(joint.offset)
        if part == mechanism.tree.root:
            offset = rigid(placement.rotation, np.zeros(3)) @ offset
        motion = tuple(scaled(stage) for stage in joint.motion)
        joints.append(dataclasses.replace(joint, offset=offset, mount=scaled(joint.mount), motion=motion))
    return dataclasses.replace(mechanism, joints=tuple(joints))


def _links(
    run: TrainedModel,
    surface: Surface,
    fitted: FittedMechanism,
    link_of_face: np.ndarray,
    placement: Placement,
    at_rest: dict[int, np.ndarray],
    density: float,
    collision: str,
) -> list[Link]:
    """The links, the surface shared out among them.

    link_of_face: (F,) by the node that leads the link.
    at_rest: for the node that leads each link its pose (4, 4) in the rest frame, which the surface is in.
    """
    rest = run.motion.at([surface.frame])
    points = placement.points(surface.vertices)
    links = []
    for node, pose in at_rest.items():
        into_link, parts = inverse(pose), np.flatnonzero(fitted.link_of_part == node)
        faces = surface.faces[link_of_face == node]
        if len(faces):
            used, faces = np.unique(faces, return_inverse=True)
            mesh = capped(_moved(into_link, points[used]), faces.reshape(-1, 3))
            color = surface.colors[used].mean(axis=0)
        else:
            part = parts[run.semi_axes[parts].prod(axis=1).argmax()]
            ball = _ellipsoid(run.semi_axes[part])
            placed = placement.points(ball.vertices @ rest.rotation[0, part].T + rest.translation[0, part])
            mesh, color = Mesh(_moved(into_link, placed), ball.faces), np.full(3, 0.5)
        name = f"{fitted.what}_{node:02d}"
        links.append(_link(name, tuple(parts.tolist()), mesh, color, density, collision))
    least = LEAST_SHARE * sum(link.mass for link in links)
    return [_not_lighter(link, least) for link in links]


def _links_of_faces(
    run: TrainedModel, surface: Surface, link_of_node: np.ndarray, parts_found: PartsFound
) -> np.ndarray:
    """(F,) the link that carries each face, by its leading node: see `posing/bodies/surface.py`."""
    carried = carried_by(run, skeleton_of(run, parts_found), surface.frame, surface.vertices)
    leading, group = np.unique(link_of_node, return_inverse=True)
    return leading[share_out(carried.united(group), surface.vertices, surface.faces, surface.colors)]


def _moved(motion: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (V, 3) by a motion (4, 4)."""
    return points @ motion[:3, :3].T + motion[:3, 3]


def capped(vertices: np.ndarray, faces: np.ndarray) -> Mesh:
    """A piece of a closed mesh, closed: every seam gets a fan of faces to its middle."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    half = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
    count = len(vertices)
    there, back = half[:, 0] * count + half[:, 1], half[:, 1] * count + half[:, 0]
    seam = half[~np.isin(there, back)]
    if not len(seam):
        return Mesh(vertices, faces)
    graph = coo_array((np.ones(len(seam)), tuple(seam.T)), shape=(count, count))
    label = connected_components(graph, directed=False)[1]
    names, loop = np.unique(label[seam[:, 0]], return_inverse=True)
    middles = np.stack([vertices[seam[loop == k, 0]].mean(axis=0) for k in range(len(names))])
    fans = np.stack([seam[:, 1], seam[:, 0], count + loop], axis=1)
    return Mesh(np.concatenate([vertices, middles]), np.concatenate([faces, fans]))


def _ellipsoid(semi_axes: np.ndarray) -> Mesh:
    """The ellipsoid of a part, in the part's frame."""
    sphere = extra("trimesh").creation.icosphere(2)
    return Mesh(np.asarray(sphere.vertices) * semi_axes, np.asarray(sphere.faces))


def _link(
    name: str, parts: tuple[int, ...], mesh: Mesh, color: np.ndarray, density: float, collision: str
) -> Link:
    """A link with its mass and inertia; those of its hull where the mesh bounds no clear volume."""
    trimesh = extra("trimesh")
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    hull = trimesh.Trimesh(*convex_hull(mesh.vertices), process=False)
    if not 0.2 * hull.volume < solid.volume <= 1.001 * hull.volume:
        solid = hull
    solid.density = density
    return Link(
        name,
        parts,
        mesh,
        tuple(Mesh(*piece) for piece in convex_pieces(mesh.vertices, mesh.faces, collision)),
        color,
        float(solid.mass),
        np.asarray(solid.center_mass),
        _positive(np.asarray(solid.moment_inertia)),
    )


def _positive(inertia: np.ndarray) -> np.ndarray:
    """The nearest inertia that a body can have: positive moments, none larger than the other two together."""
    moments, axes = np.linalg.eigh(0.5 * (inertia + inertia.T))
    moments = np.maximum(moments, 1e-2 * moments.max())
    moments[2] = min(moments[2], 0.999 * (moments[0] + moments[1]))
    return (axes * moments) @ axes.T


def _not_lighter(link: Link, mass: float) -> Link:
    if link.mass >= mass:
        return link
    return dataclasses.replace(link, mass=mass, inertia=link.inertia * mass / max(link.mass, 1e-12))
