#!/usr/bin/env python
"""Make a multi-view scene of a moving robot, in the WIM robots' raw layout, from a URDF.

As supplement C of "Watch It Move" describes, with PyBullet's software renderer in place of NVISII: the
robot is given random joint goals and reaches them one after another; fixed cameras on a hemisphere look on.

    python tools/make_robot_scene.py --robot kuka_iiwa --output scenes/kuka_0 --seed 0
    python tools/make_robot_scene.py --list
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent))

try:
    import pybullet as bullet
    import pybullet_data
    import raw_scene
    from raw_scene import Array, Camera
except ImportError as error:
    raise SystemExit(f'error: {error}. The scene makers need: pip install -e ".[scenes]"') from None


@dataclass(frozen=True)
class Robot:
    """How a URDF is posed: the rest pose that joint goals are drawn round, and how far they may go from it.

    rest: joint values in the order of the movable joints, repeated until there are enough (one leg for all).
    swing: the farthest a revolute joint goes from rest, radians; limits of the URDF hold besides.
    on_ground: moving links must stay above the base. roll: the base's roll, degrees.
    """

    urdf: str
    rest: tuple[float, ...] = (0.0,)
    swing: float = 0.6
    on_ground: bool = False
    roll: float = 0.0


_PANDA_REST = (0.0, -0.79, 0.0, -2.2, 0.0, 1.57, 0.79, 0.03, 0.03)
_XARM_REST = (0.0, -0.4, -0.9, 0.0, 1.0, 0.0)
_MINITAUR_LEG = (1.57, -2.2, 1.57, -2.2)
ROBOTS = {
    "kuka_iiwa": Robot("kuka_iiwa/model.urdf", (0.0, 0.4, 0.0, -1.2, 0.0, 0.8, 0.0), 1.0, True),
    "franka_panda": Robot("franka_panda/panda.urdf", _PANDA_REST, 1.0, True),
    "xarm6": Robot("xarm/xarm6_robot.urdf", _XARM_REST, 1.0, True),
    "xarm6_gripper": Robot("xarm/xarm6_with_gripper.urdf", (*_XARM_REST, *[0.4] * 6), 1.0, True),
    "a1": Robot("a1/a1.urdf", (0.0, 0.9, -1.8)),
    "aliengo": Robot("aliengo/aliengo.urdf", (0.0, 0.9, -1.8)),
    "laikago": Robot("laikago/laikago_toes_zup.urdf"),
    "mini_cheetah": Robot("mini_cheetah/mini_cheetah.urdf", (0.0, -0.8, 1.6)),
    "minitaur": Robot("quadruped/minitaur.urdf", _MINITAUR_LEG, 0.5),
    "vision60": Robot("quadruped/vision60.urdf", (0.0, 0.9, 1.4)),
    "humanoid": Robot("humanoid/humanoid.urdf", roll=90.0),
}


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what PyBullet's C++ prints while it loads a URDF."""
    sys.stdout.flush()
    saved, null = [os.dup(1), os.dup(2)], os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 1)
        os.dup2(null, 2)
        yield
    finally:
        for fd, copy in zip((1, 2), saved, strict=True):
            os.dup2(copy, fd)
            os.close(copy)
        os.close(null)


class Simulation:
    """One robot in PyBullet, posed and looked at; kinematics only. Units: the URDF's."""

    def __init__(self, robot: Robot) -> None:
        with _quiet():
            self.client = bullet.connect(bullet.DIRECT)
            bullet.setAdditionalSearchPath(pybullet_data.getDataPath(), physicsClientId=self.client)
            flags = bullet.URDF_USE_SELF_COLLISION | bullet.URDF_USE_SELF_COLLISION_EXCLUDE_ALL_PARENTS
            try:
                self.body = bullet.loadURDF(
                    robot.urdf,
                    baseOrientation=bullet.getQuaternionFromEuler([np.radians(robot.roll), 0, 0]),
                    useFixedBase=True,
                    flags=flags,
                    physicsClientId=self.client,
                )
            except bullet.error:
                raise SystemExit(f"error: {robot.urdf}: PyBullet cannot load this URDF") from None
        info = [bullet.getJointInfo(self.body, j, self.client) for j in range(self._num_joints())]
        self.movable = [j for j, i in enumerate(info) if i[2] != bullet.JOINT_FIXED]
        self.spherical = [info[j][2] == bullet.JOINT_SPHERICAL for j in self.movable]
        self.names = [info[j][1].decode() for j in self.movable]
        kinds = {bullet.JOINT_PRISMATIC: "prismatic", bullet.JOINT_SPHERICAL: "ball"}
        self.kinds = [kinds.get(info[j][2], "revolute") for j in self.movable]
        self.local_axes = np.array([info[j][13] for j in self.movable])
        if not self.movable:
            raise SystemExit(f"error: {robot.urdf}: this URDF has no movable joint")
        # A spherical joint takes three values (a rotation vector), every other joint one.
        self.joint_of_value = np.repeat(np.arange(len(self.movable)), [3 if s else 1 for s in self.spherical])
        values = np.resize(np.array(robot.rest, dtype=float), len(self.joint_of_value))
        low, high = np.full(len(values), -np.inf), np.full(len(values), np.inf)
        for k, j in enumerate(self.joint_of_value):
            lower, upper = info[self.movable[j]][8:10]
            if lower < upper and not self.spherical[j]:
                low[k], high[k] = lower, upper
        self.rest = np.clip(values, low, high)
        self.low = np.maximum(low, self.rest - robot.swing)
        self.high = np.minimum(high, self.rest + robot.swing)
        self.on_ground = robot.on_ground
        self.pose(self.rest)
        self._resting_contacts = self._contacts()

    def _num_joints(self) -> int:
        return int(bullet.getNumJoints(self.body, self.client))

    def pose(self, values: Array) -> None:
        """Set the joints: values (D), radians or metres."""
        for k, (joint, spherical) in enumerate(zip(self.movable, self.spherical, strict=True)):
            value = values[self.joint_of_value == k]
            if spherical:
                angle = float(np.linalg.norm(value))
                axis = value / angle if angle > 0 else np.array([1.0, 0.0, 0.0])
                quaternion = [*(axis * np.sin(angle / 2)), np.cos(angle / 2)]
                bullet.resetJointStateMultiDof(self.body, joint, quaternion, physicsClientId=self.client)
            else:
                bullet.resetJointState(self.body, joint, value[0], physicsClientId=self.client)

    def link_frames(self) -> tuple[Array, Array]:
        """Rotations (L,3,3) and origins (L,3), link to world, of the base and of every link's joint frame."""
        frames = [bullet.getBasePositionAndOrientation(self.body, self.client)]
        for j in range(self._num_joints()):
            state = bullet.getLinkState(self.body, j, 0, True, self.client)
            frames.append(state[4:6])
        rotations = np.array([bullet.getMatrixFromQuaternion(f[1]) for f in frames]).reshape(-1, 3, 3)
        return rotations, np.array([f[0] for f in frames])

    def link_parents(self) -> NDArray[np.int64]:
        """(L,) of the base (-1) and every link, in the order of `link_frames`."""
        info = [bullet.getJointInfo(self.body, j, self.client) for j in range(self._num_joints())]
        return np.array([-1, *(i[16] + 1 for i in info)])

    def joint_axes(self, rotations: Array) -> Array:
        """Axes (J,3) of the movable joints in the world, of `link_frames`; 0 for spherical ones."""
        links = [j + 1 for j in self.movable]
        return np.einsum("jab,jb->ja", rotations[links], self.local_axes) * ~np.array(self.spherical)[:, None]

    def link_bounds(self) -> Array:
        """Boxes (L,2,3) along the world's axes round the base and every link."""
        links = range(-1, self._num_joints())
        return np.array([bullet.getAABB(self.body, j, self.client) for j in links])

    def _contacts(self) -> set[tuple[int, int]]:
        bullet.performCollisionDetection(self.client)
        found = bullet.getContactPoints(self.body, self.body, physicsClientId=self.client)
        return {(min(c[3], c[4]), max(c[3], c[4])) for c in found if c[8] < -0.005}

    def collides(self, values: Array) -> bool:
        """Whether links that are apart at rest would run into each other, or below the ground."""
        self.pose(values)
        if self._contacts() - self._resting_contacts:
            return True
        lowest = self.link_bounds()[:, 0, 2]
        return self.on_ground and bool(lowest[2:].min() < lowest[0] + 0.01)

    def color_links(self, rng: np.random.Generator) -> None:
        """Give every link a distinct colour of its own in place of the URDF's."""
        shapes = bullet.getVisualShapeData(self.body, physicsClientId=self.client)
        links = sorted({shape[1] for shape in shapes})
        for link, hue in zip(links, rng.permutation(len(links)) / len(links), strict=True):
            phase = 2 * np.pi * (hue + np.array([0.0, 1 / 3, 2 / 3]))
            color = [*(0.55 + 0.4 * np.cos(phase)) * rng.uniform(0.7, 1.0), 1.0]
            bullet.changeVisualShape(
                self.body, link, rgbaColor=color, textureUniqueId=-1, physicsClientId=self.client
            )

    def render(
        self, camera: Camera, near: float, far: float, shadow: bool = False
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64], Array]:
        """Colour (H,W,3), link index (H,W; -1 the base, -2 nothing) and depth along the axis (H,W)."""
        size = camera.size
        # The renderer samples a pixel at its corner, half a pixel from the middle both ways: move the window.
        half, shift = near * size / 2 / camera.focal, near * 0.5 / camera.focal
        _, _, color, depth, label = bullet.getCameraImage(
            size,
            size,
            camera.view_matrix.ravel().tolist(),
            bullet.computeProjectionMatrix(shift - half, shift + half, shift - half, shift + half, near, far),
            lightDirection=[0.6, -0.9, 1.4],
            lightColor=[1.0, 0.98, 0.95],
            lightDistance=far,
            shadow=int(shadow),
            lightAmbientCoeff=0.5,
            lightDiffuseCoeff=0.5,
            lightSpecularCoeff=0.0,
            renderer=bullet.ER_TINY_RENDERER,
            flags=bullet.ER_SEGMENTATION_MASK_OBJECT_AND_LINKINDEX,
            physicsClientId=self.client,
        )
        label = np.asarray(label, dtype=np.int64).reshape(size, size)
        link = np.where(label < 0, -2, (label >> 24) - 1)
        ndc = 2 * np.asarray(depth, dtype=float).reshape(size, size) - 1
        return (
            np.asarray(color, dtype=np.uint8).reshape(size, size, 4)[..., :3],
            link,
            2 * near * far / (far + near - ndc * (far - near)),
        )


def joint_trajectory(simulation: Simulation, frames: int, rng: np.random.Generator, slow: int = 1) -> Array:
    """Joint values (T,D): random goals, one after another, each reached smoothly in 12 to 25 frames.

    slow: so many times as many frames for the same motion.
    """
    values = [simulation.rest]
    while len(values) < frames:
        start, steps = values[-1], int(rng.integers(12, 26))
        ease = 0.5 - 0.5 * np.cos(np.pi * np.arange(1, slow * steps + 1) / (slow * steps))
        for attempt in range(200):
            shrink = 0.99**attempt
            low = simulation.rest + shrink * (simulation.low - simulation.rest)
            high = simulation.rest + shrink * (simulation.high - simulation.rest)
            goal = rng.uniform(low, high)
            path = start + ease[:, None] * (goal - start)
            if not any(simulation.collides(v) for v in path[slow - 1 :: slow][steps % 3 :: 3]):
                break
        values.extend(path)
    return np.array(values[:frames])


def surface_points(
    simulation: Simulation, trajectory: Array, rng: np.random.Generator
) -> tuple[Array, NDArray[np.int64]]:
    """Points (N,3) on the visible surface, each in its link's frame, and their links (N; 0 the base).

    Read from depth pictures of a few poses from all round, so any mesh a URDF may name is served.
    """
    bounds = simulation.link_bounds()
    low, high = bounds[:, 0].min(axis=0), bounds[:, 1].max(axis=0)
    center, radius = (low + high) / 2, float(np.linalg.norm(high - low))
    directions = raw_scene.hemisphere_directions(10, (-80.0, 80.0))
    found, links = [], []
    for values in trajectory[np.linspace(0, len(trajectory) - 1, 4).astype(int)]:
        simulation.pose(values)
        rotations, origins = simulation.link_frames()
        for direction in directions:
            camera = Camera(raw_scene.look_at(center + 3 * radius * direction, center), 192 * 5.0, 384)
            _, link, depth = simulation.render(camera, radius, 6 * radius)
            y, x = np.nonzero(link >= -1)
            pixels = np.stack([x + 0.5 - 192, 192 - (y + 0.5)], axis=1) / camera.focal
            d = depth[y, x][:, None]
            in_camera = np.concatenate([pixels * d, -d], axis=1)
            view = camera.view_matrix
            world = (in_camera - view[3, :3]) @ view[:3, :3].T
            owner = link[y, x] + 1
            found.append(np.einsum("nji,nj->ni", rotations[owner], world - origins[owner]))
            links.append(owner)
    points, owners = np.concatenate(found), np.concatenate(links)
    keep = rng.permutation(len(points))[:20000]
    return points[keep], owners[keep]


def spread_over_links(owners: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`count` indices of points, every link with its share of the surface and at least a few."""
    weight = 1.0 / len(owners) + 0.5 / len(np.unique(owners)) / np.bincount(owners)[owners]
    chosen = rng.choice(len(owners), size=min(count, len(owners)), replace=False, p=weight / weight.sum())
    return np.sort(chosen)


def make_scene(args: argparse.Namespace) -> None:
    """Pose, measure, place the cameras, render and write."""
    from rich.progress import track

    raw_scene.prepare_folder(args.output, args.overwrite)
    robot = ROBOTS.get(args.robot) or Robot(args.robot)
    simulation = Simulation(robot)
    rng = np.random.default_rng(args.seed)
    trajectory = joint_trajectory(simulation, args.frames, rng, args.slow)
    local, owners = surface_points(simulation, trajectory, rng)
    chosen = spread_over_links(owners, args.points, rng)
    azimuth = float(rng.uniform(0, 360))
    if args.color_parts:
        simulation.color_links(rng)

    joints, axes, surface, frames = [], [], [], []
    for values in trajectory:
        simulation.pose(values)
        rotations, origins = simulation.link_frames()
        frames.append((rotations, origins))
        joints.append(origins[[j + 1 for j in simulation.movable]])
        axes.append(simulation.joint_axes(rotations))
        surface.append(np.einsum("nij,nj->ni", rotations[owners], local) + origins[owners])
    swept = np.concatenate(surface)
    scale = args.scale or float(f"{1.2 / np.ptp(swept, axis=0).max():.3g}")

    directions = raw_scene.hemisphere_directions(args.cameras, azimuth=azimuth)
    size = args.size * args.supersample
    cameras = raw_scene.fit_cameras(directions, swept, size=size, fov=args.fov)
    distance = float(np.linalg.norm(cameras[0].view_matrix[3, :3]))
    radius = float(np.linalg.norm(np.ptp(swept, axis=0))) / 2
    near, far = max(0.05 * distance, distance - 1.5 * radius), distance + 2 * radius

    only = range(args.cameras) if args.only_cameras is None else args.only_cameras
    for v in only:
        matrix = cameras[v].view_matrix.copy()
        matrix[3, :3] *= scale
        raw_scene.write_camera(args.output, v, Camera(matrix, cameras[v].focal / args.supersample, args.size))
    for f, values in enumerate(track(trajectory, description=f"{args.robot}, seed {args.seed}")):
        simulation.pose(values)
        for v in only:
            color, link, _ = simulation.render(cameras[v], near, far, args.shadow)
            rgba = raw_scene.antialiased(color, link >= -1, args.supersample)
            raw_scene.write_frame(args.output, f, v, rgba)
    points = np.array(surface)[:, chosen]
    first = [int(np.flatnonzero(simulation.joint_of_value == k)[0]) for k in range(len(simulation.movable))]
    raw_scene.write_ground_truth(
        args.output,
        np.array(joints) * scale,
        points * scale,
        simulation.names,
        joint_axes=np.array(axes),
        joint_kinds=np.array(simulation.kinds),
        joint_values=trajectory[:, first],
        link_rotation=np.array([rotations for rotations, _ in frames]),
        link_translation=np.array([origins for _, origins in frames]) * scale,
        link_parents=simulation.link_parents(),
        link_surface=np.bincount(owners, minlength=len(frames[0][1])) / len(owners),
        point_links=owners[chosen],
    )
    bullet.disconnect(simulation.client)
    counts = f"{args.frames} frames, {len(only)} cameras, {len(simulation.names)} joints"
    print(f"{args.output}: {counts}, {scale:g} scene units per URDF unit")


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    summary = (__doc__ or "").split("\n\n    python")[0]
    parser = argparse.ArgumentParser(
        description=summary, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--robot",
        default="kuka_iiwa",
        help="a name from --list, or a URDF file (yours, or one of pybullet_data)",
    )
    parser.add_argument("--list", action="store_true", help="list the robots known by name and exit")
    parser.add_argument("--output", type=Path, help="folder to write the scene to")
    parser.add_argument("--frames", type=int, default=60, help="number of frames")
    parser.add_argument(
        "--slow", type=int, default=1, help="so many times as many frames for the same motion"
    )
    parser.add_argument("--size", type=int, default=128, help="side of the pictures in pixels")
    parser.add_argument("--cameras", type=int, default=20, help="number of cameras on the hemisphere")
    parser.add_argument(
        "--only-cameras", type=int, nargs="+", metavar="ID", help="render these of the cameras only"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the motion, the points and the cameras' azimuth"
    )
    parser.add_argument("--supersample", type=int, default=4, help="subpixels per pixel and axis")
    parser.add_argument("--fov", type=float, default=35.0, help="field of view in degrees")
    parser.add_argument(
        "--scale", type=float, help="scene units per URDF unit; unless given, the motion spans 1.2"
    )
    parser.add_argument("--points", type=int, default=200, help="surface points in gt.npz")
    parser.add_argument("--color-parts", action="store_true", help="a colour of its own for every link")
    parser.add_argument("--shadow", action="store_true", help="let the light cast shadows")
    parser.add_argument("--overwrite", action="store_true", help="replace the scene that the folder holds")
    args = parser.parse_args(argv)
    if args.list:
        return args
    if args.output is None:
        parser.error("--output is required")
    named = args.robot in ROBOTS or (Path(pybullet_data.getDataPath()) / args.robot).is_file()
    if not named and not Path(args.robot).is_file():
        parser.error(f"--robot {args.robot}: neither a known name (see --list) nor a URDF file")
    for name in ("frames", "slow", "size", "cameras", "supersample", "points"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be at least 1")
    if args.only_cameras and not all(0 <= v < args.cameras for v in args.only_cameras):
        parser.error(f"--only-cameras: ids go from 0 to {args.cameras - 1}")
    return args


def main(argv: list[str] | None = None) -> None:
    """Entry point."""
    args = parse(argv)
    if args.list:
        print("\n".join(f"{name:16s}{robot.urdf}" for name, robot in ROBOTS.items()))
    else:
        make_scene(args)


if __name__ == "__main__":
    main()
