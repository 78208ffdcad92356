"""glTF 2.0 in one binary file (.glb): the skinned mesh, its skeleton, and the film's motion as an animation.

Khronos' specification: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from wim_fast import __version__
from wim_fast.export.asset import Asset
from wim_fast.export.rig import Rig
from wim_fast.export.texture import Atlas
from wim_fast.files import write_atomic

COMPONENTS = {np.dtype(np.uint8): 5121, np.dtype(np.uint16): 5123, np.dtype(np.uint32): 5125,
              np.dtype(np.float32): 5126}  # fmt: skip
KINDS = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
VERTICES, INDICES = 34962, 34963  # targets of buffer views
CLAMPED, LINEAR, TRILINEAR = 33071, 9729, 9987  # samplers of textures
ROUGHNESS = 0.9


class Document:
    """A glTF document that grows: its JSON, and the bytes of its one buffer."""

    def __init__(self) -> None:
        self.json: dict[str, Any] = {"asset": {"version": "2.0", "generator": f"wim-fast {__version__}"}}
        self.bytes = bytearray()

    def add(self, collection: str, item: dict[str, Any]) -> int:
        """Its index in the collection."""
        items = self.json.setdefault(collection, [])
        items.append(item)
        return len(items) - 1

    def view(self, content: bytes, target: int | None = None) -> int:
        """The index of a buffer view of these bytes."""
        self.bytes += bytes(-len(self.bytes) % 4)
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.bytes), "byteLength": len(content)}
        if target is not None:
            view["target"] = target
        self.bytes += content
        return self.add("bufferViews", view)

    def accessor(
        self, values: np.ndarray, target: int | None = None, *, bounds: bool = False, normalized: bool = False
    ) -> int:
        """The index of an accessor of N scalars (N,), vectors (N, k) or matrices (N, 16), stored by column."""
        rows = values.reshape(len(values), -1)
        accessor: dict[str, Any] = {
            "bufferView": self.view(np.ascontiguousarray(rows).tobytes(), target),
            "componentType": COMPONENTS[values.dtype],
            "count": len(rows),
            "type": KINDS[rows.shape[1]],
        }
        if bounds:
            accessor |= {"min": rows.min(axis=0).tolist(), "max": rows.max(axis=0).tolist()}
        if normalized:
            accessor["normalized"] = True
        return self.add("accessors", accessor)

    def glb(self) -> bytes:
        """The binary container."""
        self.bytes += bytes(-len(self.bytes) % 4)
        text = json.dumps({**self.json, "buffers": [{"byteLength": len(self.bytes)}]}, separators=(",", ":"))
        header = text.encode() + b" " * (-len(text.encode()) % 4)
        chunks = struct.pack("<I4s", len(header), b"JSON") + header
        chunks += struct.pack("<I4s", len(self.bytes), b"BIN\0") + self.bytes
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def write_glb(asset: Asset, file: Path) -> list[Path]:
    """The rigged and animated model: y up, the recording's units."""
    return [write_atomic(file, gltf_document(asset).glb())]


def gltf_document(asset: Asset) -> Document:
    """The model as a document."""
    document, rig = Document(), asset.upright_rig
    nodes = _skeleton(document, rig)
    skin = document.add("skins", {
        "name": "skeleton",
        "joints": nodes,
        "skeleton": nodes[rig.tree.root],
        "inverseBindMatrices": document.accessor(_inverse_binds(rig)),
    })  # fmt: skip
    mesh = document.add("meshes", {"name": asset.name, "primitives": [_primitive(document, asset, rig)]})
    node = document.add("nodes", {"name": asset.name, "mesh": mesh, "skin": skin})
    _animation(document, rig, nodes)
    document.add("scenes", {"name": asset.name, "nodes": [nodes[rig.tree.root], node]})
    document.json["scene"] = 0
    return document


def linear(color: np.ndarray) -> np.ndarray:
    """sRGB in [0, 1] -> linear in [0, 1] (IEC 61966-2-1)."""
    return np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)


def _skeleton(document: Document, rig: Rig) -> list[int]:
    """A node at each bone's joint, then one at the tip of each bone that nothing hangs from."""
    tree = rig.tree
    numbers = {bone: rig.bones + k for k, bone in enumerate(rig.tips)}
    for bone, name in enumerate(rig.names):
        at = rig.heads[bone] - (rig.heads[tree.parent[bone]] if bone != tree.root else 0.0)
        children = tree.children(bone) + ([numbers[bone]] if bone in numbers else [])
        document.add("nodes", {"name": name, "translation": at.tolist(), "children": children})
    for bone, tip in rig.tips.items():
        name = rig.names[bone].rsplit("_", 2)[0] if bone != tree.root else "root"
        document.add("nodes", {"name": f"{name}_tip", "translation": (tip - rig.heads[bone]).tolist()})
    return list(range(rig.bones + len(rig.tips)))


def _inverse_binds(rig: Rig) -> np.ndarray:
    """(B + tips, 16) float32: from the mesh at rest to each joint, whose axes are the world's; by column."""
    places = np.concatenate([rig.heads, np.array(list(rig.tips.values())).reshape(-1, 3)])
    matrices = np.tile(np.eye(4, dtype=np.float32), (len(places), 1, 1))
    matrices[:, 3, :3] = -places
    return matrices.reshape(-1, 16)


def _primitive(document: Document, asset: Asset, rig: Rig) -> dict[str, Any]:
    surface, atlas = asset.upright_surface, asset.atlas
    ids, weights = asset.skin
    rows = slice(None) if atlas is None else atlas.vertex
    faces = surface.faces if atlas is None else atlas.faces
    index = np.uint16 if len(surface.vertices[rows]) < 2**16 - 1 else np.uint32

    def per_vertex(values: np.ndarray, dtype: type, **how: bool) -> int:
        return document.accessor(values[rows].astype(dtype), VERTICES, **how)

    attributes = {
        "POSITION": per_vertex(surface.vertices, np.float32, bounds=True),
        "NORMAL": per_vertex(surface.normals, np.float32),
        "JOINTS_0": per_vertex(ids, np.uint8 if rig.bones < 256 else np.uint16),
        "WEIGHTS_0": per_vertex(weights, np.float32),
    }
    if atlas is None:
        color = np.round(65535 * linear(surface.colors))
        color = np.concatenate([color, np.full((len(color), 1), 65535)], axis=1)
        attributes["COLOR_0"] = per_vertex(color, np.uint16, normalized=True)
    else:
        uv = (atlas.uv * [1, -1] + [0, 1]).astype(np.float32)  # rows of the image are counted from the top
        attributes["TEXCOORD_0"] = document.accessor(uv, VERTICES)
    return {
        "attributes": attributes,
        "indices": document.accessor(faces.astype(index).ravel(), INDICES),
        "material": _material(document, atlas, asset.settings.baked_light),
    }


def _material(document: Document, atlas: Atlas | None, baked_light: bool) -> int:
    """A matt surface; one that shines by itself where the light is in its colours."""
    looks: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": ROUGHNESS}
    material: dict[str, Any] = {"name": "surface", "pbrMetallicRoughness": looks}
    if baked_light:
        material["extensions"] = {"KHR_materials_unlit": {}}
        document.json["extensionsUsed"] = ["KHR_materials_unlit"]
    if atlas is not None:
        image = document.add("images", {"bufferView": document.view(atlas.png()), "mimeType": "image/png"})
        sampler = document.add(
            "samplers", {"magFilter": LINEAR, "minFilter": TRILINEAR, "wrapS": CLAMPED, "wrapT": CLAMPED}
        )
        looks["baseColorTexture"] = {"index": document.add("textures", {"source": image, "sampler": sampler})}
    return document.add("materials", material)


def _animation(document: Document, rig: Rig, nodes: list[int]) -> None:
    """The film: how each joint turns and moves as its parent sees it."""
    local = rig.local_moves()
    times = document.accessor(rig.times.astype(np.float32), bounds=True)
    channels: list[dict[str, Any]] = []
    samplers: list[dict[str, Any]] = []
    for bone in range(rig.bones):
        paths = {"rotation": quaternions(local.rotation[:, bone]), "translation": local.translation[:, bone]}
        for path, values in paths.items():
            output = document.accessor(values.astype(np.float32))
            channels.append({"sampler": len(samplers), "target": {"node": nodes[bone], "path": path}})
            samplers.append({"input": times, "output": output, "interpolation": "LINEAR"})
    document.add("animations", {"name": "film", "channels": channels, "samplers": samplers})


def quaternions(rotation: np.ndarray) -> np.ndarray:
    """(T, 3, 3) -> (T, 4) as x, y, z, w, each in the half of the sphere nearer to the one before."""
    found = Rotation.from_matrix(rotation).as_quat()
    turned = np.sign(np.einsum("ti,ti->t", found[1:], found[:-1]))
    return found * np.cumprod([1.0, *np.where(turned < 0, -1.0, 1.0)])[:, None]
