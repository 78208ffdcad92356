#!/usr/bin/env python
"""Make the dog scene: dm_control's dog walking and trotting, seen by twelve cameras, in the raw layout.

Each camera is as near as the whole motion allows, so that the dog is large in every picture.
Cameras 0 to 7 stand round it and are for training; 8 to 11 stand between them and are for testing.

    python tools/make_dog_scene.py --output assets/dog --overwrite
    python tools/make_dog_scene.py --output scenes/dog_512 --size 512 --frames 300
"""

from __future__ import annotations

import argparse
import os
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent))
NO_GL = (
    "error: MuJoCo finds no OpenGL to draw with. Install a software one (Debian: apt install libosmesa6), "
    "or choose another by the environment variable MUJOCO_GL (osmesa, egl, glfw)"
)
if sys.platform == "linux":
    os.environ.setdefault("MUJOCO_GL", "osmesa")
try:
    import dog_gait
    import mujoco
    import raw_scene
    from dm_control.suite import dog
    from raw_scene import Array, Camera
except ImportError as error:
    raise SystemExit(f'error: {error}. The scene makers need: pip install -e ".[scenes]"') from None
except (AttributeError, RuntimeError, OSError):  # what PyOpenGL raises where the library behind it is missing
    raise SystemExit(NO_GL) from None

# Azimuth (0: ahead of the dog, 90: its left) and elevation of every camera, degrees.
TRAINING = ((90, 12), (270, 30), (0, 20), (180, 35), (45, 45), (225, 8), (135, 25), (315, 60))
TESTING = ((67, 30), (158, 15), (248, 45), (338, 10))
LIGHTS = (((-0.4, 0.5, -1.0), 0.55), ((0.6, -0.4, -0.5), 0.30), ((0.0, 0.0, 1.0), 0.15))


def load_dog() -> mujoco.MjModel:
    """dm_control's dog without floor and sky, and with soft lights that stay in place of the model's own."""
    xml, assets = dog.get_model_and_assets(10, True)
    root = ElementTree.fromstring(xml)
    for parent in root.iter():
        for child in list(parent):
            sky = child.tag == "texture" and child.get("type") == "skybox"
            if child.tag == "light" or child.get("name") == "floor" or sky:
                parent.remove(child)
    world = root.find("worldbody")
    assert world is not None
    for direction, strength in LIGHTS:
        diffuse = f"{strength} {strength} {strength}"
        where = " ".join(str(x) for x in direction)
        ElementTree.SubElement(
            world, "light", dir=where, diffuse=diffuse, specular="0 0 0", castshadow="false"
        )
    ElementTree.SubElement(world, "camera", name="view")
    model = mujoco.MjModel.from_xml_string(ElementTree.tostring(root).decode(), assets)
    if hasattr(model, "light_type"):
        model.light_type[:] = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
    else:  # MuJoCo before 3.3
        model.light_directional[:] = True
    model.vis.headlight.ambient[:] = 0.35
    model.vis.headlight.diffuse[:] = 0
    model.vis.headlight.specular[:] = 0
    model.vis.quality.offsamples = 0
    model.mat_specular[:] = 0
    return model


def skin_vertices(model: mujoco.MjModel, data: mujoco.MjData, skin: int = 0) -> Array:
    """Vertices (N,3) of the skin in the world: linear blend of its bones."""
    start, count = model.skin_vertadr[skin], model.skin_vertnum[skin]
    vertices = model.skin_vert[start : start + count].astype(float)
    blended, total = np.zeros_like(vertices), np.zeros(count)
    first = model.skin_boneadr[skin]
    bind, now = np.empty(9), np.empty(9)
    for bone in range(first, first + model.skin_bonenum[skin]):
        part = slice(
            model.skin_bonevertadr[bone], model.skin_bonevertadr[bone] + model.skin_bonevertnum[bone]
        )
        ids, weight = model.skin_bonevertid[part], model.skin_bonevertweight[part].astype(float)
        body = model.skin_bonebodyid[bone]
        mujoco.mju_quat2Mat(bind, model.skin_bonebindquat[bone].astype(float))
        mujoco.mju_quat2Mat(now, data.xquat[body])
        local = (vertices[ids] - model.skin_bonebindpos[bone]) @ bind.reshape(3, 3)
        np.add.at(blended, ids, weight[:, None] * (local @ now.reshape(3, 3).T + data.xpos[body]))
        np.add.at(total, ids, weight)
    return blended / total[:, None]


def joint_ids(model: mujoco.MjModel) -> list[int]:
    """One hinge of every body that has any: the last, for the hinges of a body turn about one place."""
    hinges = [j for j in range(model.njnt) if model.jnt_type[j] == mujoco.mjtJoint.mjJNT_HINGE]
    return list({int(model.jnt_bodyid[j]): j for j in hinges}.values())


def open_renderer(model: mujoco.MjModel, side: int) -> mujoco.Renderer:
    """A renderer of square pictures, `side` pixels wide."""
    model.vis.global_.offwidth = model.vis.global_.offheight = side
    try:
        return mujoco.Renderer(model, side, side)
    except Exception:  # every GL backend raises its own
        raise SystemExit(NO_GL) from None


def render(
    renderer: mujoco.Renderer, model: mujoco.MjModel, data: mujoco.MjData, camera: Camera
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Colour (H,W,3) and coverage (H,W)."""
    view = model.camera("view").id
    model.cam_fovy[view] = np.degrees(2 * np.arctan(camera.size / 2 / camera.focal))
    rotation = camera.view_matrix[:3, :3]
    data.cam_xmat[view] = rotation.ravel()
    data.cam_xpos[view] = -rotation @ camera.view_matrix[3, :3]
    renderer.update_scene(data, camera="view")
    color = renderer.render().copy()
    renderer.enable_depth_rendering()
    covered = renderer.render() < 20.0
    renderer.disable_depth_rendering()
    return color, covered


def make_scene(args: argparse.Namespace) -> None:
    """Animate, place the cameras, render and write."""
    from rich.progress import track

    raw_scene.prepare_folder(args.output, args.overwrite)
    model = load_dog()
    side = args.size * args.supersample
    data = mujoco.MjData(model)
    motion = dog_gait.animate(model, args.frames, args.seconds)
    ids, skin, joints = joint_ids(model), [], []
    for qpos in motion:
        data.qpos[:] = qpos
        mujoco.mj_forward(model, data)
        joints.append(data.xanchor[ids].copy())
        skin.append(skin_vertices(model, data))
    surface = np.array(skin)

    angles = np.radians(TRAINING + TESTING)
    cosine = np.cos(angles[:, 1])
    directions = np.stack(
        [np.cos(angles[:, 0]) * cosine, np.sin(angles[:, 0]) * cosine, np.sin(angles[:, 1])], 1
    )
    swept = surface.reshape(-1, 3)
    cameras = [raw_scene.fit_camera(d, swept, size=side, fov=args.fov, margin=0.02) for d in directions]
    for v, camera in enumerate(cameras):
        written = Camera(camera.view_matrix, camera.focal / args.supersample, args.size)
        raw_scene.write_camera(args.output, v, written)
    with open_renderer(model, side) as renderer:
        for f, qpos in enumerate(track(motion, description="dog")):
            data.qpos[:] = qpos
            mujoco.mj_forward(model, data)
            for v, camera in enumerate(cameras):
                color, covered = render(renderer, model, data, camera)
                rgba = raw_scene.antialiased(color, covered, args.supersample)
                raw_scene.write_frame(args.output, f, v, rgba)
    chosen = raw_scene.spread_points(surface[0], args.points)
    names = [model.joint(j).name for j in ids]
    raw_scene.write_ground_truth(args.output, np.array(joints), surface[:, chosen], names)
    print(f"{args.output}: {args.frames} frames, {len(cameras)} cameras, {len(ids)} joints")


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    summary = (__doc__ or "").split("\n\n    python")[0]
    show_defaults = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=summary, formatter_class=show_defaults)
    parser.add_argument(
        "--output", type=Path, default=Path("assets/dog"), help="folder to write the scene to"
    )
    parser.add_argument("--frames", type=int, default=60, help="number of frames")
    parser.add_argument(
        "--seconds",
        type=float,
        default=4.0,
        help="how long the dog is seen: it walks, trots (from 2), canters (from 7), trots, walks, "
        "stands (from 17), and starts again after 20",
    )
    parser.add_argument("--size", type=int, default=128, help="side of the pictures in pixels")
    parser.add_argument("--supersample", type=int, default=4, help="subpixels per pixel and axis")
    parser.add_argument("--fov", type=float, default=35.0, help="field of view in degrees")
    parser.add_argument("--points", type=int, default=300, help="points of the skin in gt.npz")
    parser.add_argument("--overwrite", action="store_true", help="replace the scene that the folder holds")
    args = parser.parse_args(argv)
    for name in ("frames", "size", "supersample", "points", "seconds"):
        if getattr(args, name) <= 0:
            parser.error(f"--{name} must be positive")
    return args


def main(argv: list[str] | None = None) -> None:
    """Entry point."""
    make_scene(parse(argv))


if __name__ == "__main__":
    main()
