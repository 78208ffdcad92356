"""The motion alone (BVH), and everything as arrays (NPZ)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from wim_fast.export.asset import Asset
from wim_fast.export.rig import Rig
from wim_fast.files import write_atomic

CHANNELS = "6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"


def write_bvh(asset: Asset, file: Path) -> list[Path]:
    """The skeleton and the film's motion, y up, in the recording's units.

    Every joint has positions too, for a learned joint moves a little as its parent sees it; readers take them in
    place of its offset. At angles of 0 all is as in the rest frame.
    """
    return [write_atomic(file, bvh_text(asset.upright_rig).encode())]


def bvh_text(rig: Rig) -> str:
    """The file: the hierarchy, then a line of all channels for each frame, joints in the order of the hierarchy."""
    order = list(_depth_first(rig, rig.tree.root))
    local = rig.local_moves()
    angles = Rotation.from_matrix(local.rotation.reshape(-1, 3, 3)).as_euler("ZXY", degrees=True)
    values = np.concatenate([local.translation, angles.reshape(local.translation.shape)], axis=-1)
    step = float(np.median(np.diff(rig.times))) if len(rig.times) > 1 else 1.0
    lines = ["HIERARCHY", *_joint(rig, rig.tree.root, 0), "MOTION"]
    lines += [f"Frames: {len(values)}", f"Frame Time: {step:.8f}"]
    lines += [" ".join(f"{x:.6f}" for x in row) for row in values[:, order].reshape(len(values), -1)]
    return "\n".join(lines) + "\n"


def _depth_first(rig: Rig, bone: int) -> Iterator[int]:
    yield bone
    for child in rig.tree.children(bone):
        yield from _depth_first(rig, child)


def _joint(rig: Rig, bone: int, depth: int) -> Iterator[str]:
    """Lines of a joint and all below it."""
    tab, parent = "\t" * depth, rig.tree.parent[bone]
    offset = rig.heads[bone] - (rig.heads[parent] if parent >= 0 else 0.0)
    yield f"{tab}{'JOINT' if depth else 'ROOT'} {rig.names[bone]}"
    yield tab + "{"
    yield f"{tab}\tOFFSET {_three(offset)}"
    yield f"{tab}\tCHANNELS {CHANNELS}"
    for child in rig.tree.children(bone):
        yield from _joint(rig, child, depth + 1)
    if bone in rig.tips:
        yield f"{tab}\tEnd Site"
        yield f"{tab}\t{{"
        yield f"{tab}\t\tOFFSET {_three(rig.tips[bone] - rig.heads[bone])}"
        yield f"{tab}\t}}"
    yield tab + "}"


def _three(x: np.ndarray) -> str:
    return " ".join(f"{value:.6f}" for value in x)


def write_npz(asset: Asset, file: Path) -> list[Path]:
    """What `arrays` holds, as a file."""
    content = io.BytesIO()
    np.savez_compressed(content, **arrays(asset))  # type: ignore[arg-type]
    return [write_atomic(file, content.getvalue())]


def arrays(asset: Asset) -> dict[str, np.ndarray]:
    """Mesh, skeleton and motion, in the frame and units of the recording's files; docs/export.md lists them."""
    surface, rig = asset.recorded.surface(asset.surface), asset.recorded.rig(asset.rig)
    ids, weights = asset.skin
    return {
        "vertices": surface.vertices,
        "faces": surface.faces,
        "normals": surface.normals,
        "colors": surface.colors,
        "bone_ids": ids,
        "bone_weights": weights,
        "bone_names": np.array(rig.names),
        "bone_parent": rig.tree.parent,
        "bone_head": rig.heads,
        "bone_of_part": rig.bone_of_part,
        "move_rotation": rig.moves.rotation,
        "move_translation": rig.moves.translation,
        "times": rig.times,
        "frame_ids": np.array(asset.run.frame_ids),
        "rest_frame": np.array(asset.frame),
    }
