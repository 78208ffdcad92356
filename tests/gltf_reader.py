"""Reads .glb files and poses what is in them as the specification says, sharing no code with the package."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

TYPES = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Glb:
    """One file."""

    def __init__(self, path: Path) -> None:
        content = path.read_bytes()
        magic, version, length = struct.unpack_from("<4sII", content)
        assert (magic, version, length) == (b"glTF", 2, len(content))
        size, kind = struct.unpack_from("<I4s", content, 12)
        assert kind == b"JSON"
        self.json: dict[str, Any] = json.loads(content[20 : 20 + size])
        binary, kind = struct.unpack_from("<I4s", content, 20 + size)
        assert kind == b"BIN\0"
        self.bytes = content[28 + size : 28 + size + binary]

    def read(self, accessor: int) -> np.ndarray:
        about = self.json["accessors"][accessor]
        view = self.json["bufferViews"][about["bufferView"]]
        width = WIDTHS[about["type"]]
        values = np.frombuffer(
            self.bytes, TYPES[about["componentType"]], about["count"] * width, view["byteOffset"]
        )
        return values.reshape(-1, width) if width > 1 else values

    @property
    def primitive(self) -> dict[str, Any]:
        return self.json["meshes"][0]["primitives"][0]

    def attribute(self, name: str) -> np.ndarray:
        return self.read(self.primitive["attributes"][name])

    def posed(self, key: int | None) -> np.ndarray:
        """(V, 3) at a key of the animation; None: at rest."""
        nodes = [dict(node) for node in self.json["nodes"]]
        animation = self.json["animations"][0]
        for channel in animation["channels"] if key is not None else []:
            values = self.read(animation["samplers"][channel["sampler"]]["output"])
            nodes[channel["target"]["node"]][channel["target"]["path"]] = values[key]
        world: dict[int, np.ndarray] = {}

        def walk(node: int, above: np.ndarray) -> None:
            world[node] = above @ local(nodes[node])
            for child in nodes[node].get("children", []):
                walk(child, world[node])

        for root in self.json["scenes"][0]["nodes"]:
            walk(root, np.eye(4))
        skin = self.json["skins"][0]
        binds = self.read(skin["inverseBindMatrices"]).reshape(-1, 4, 4).swapaxes(1, 2)
        joints = np.stack([world[joint] for joint in skin["joints"]]) @ binds
        blend = np.einsum("vk,vkij->vij", self.attribute("WEIGHTS_0"), joints[self.attribute("JOINTS_0")])
        vertices = self.attribute("POSITION")
        return np.einsum("vij,vj->vi", blend[:, :3, :3], vertices) + blend[:, :3, 3]


def local(node: dict[str, Any]) -> np.ndarray:
    """The matrix of a node's translation and rotation."""
    x, y, z, w = node.get("rotation", (0, 0, 0, 1))
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = node.get("translation", (0, 0, 0))
    return matrix
