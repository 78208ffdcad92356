"""Every format by its name. Nothing heavy is imported here: what writes one is imported when it is chosen."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Format:
    """How one is written.

    Attributes:
        module, function: in `wim_fast.export`; from an `Asset` and the file to the files written, that one first.
        suffix: of the file where none is named.
        sequence, texture: whether there can be one file per frame, a texture.
    """

    module: str
    function: str
    suffix: str
    sequence: bool = False
    texture: bool = False

    def write(self, asset: Any, file: Path) -> list[Path]:
        """Writes an `Asset`."""
        module = importlib.import_module(f"wim_fast.export.{self.module}")
        writer: Callable[[Any, Path], list[Path]] = getattr(module, self.function)
        return writer(asset, file)


FORMATS = {
    "glb": Format("gltf", "write_glb", ".glb", texture=True),
    "usd": Format("usd", "write_usd", ".usdc"),
    "html": Format("html", "write_html", ".html", texture=True),
    "urdf": Format("urdf", "write_urdf", ".urdf"),
    "mjcf": Format("mjcf", "write_mjcf", ".xml"),
    "obj": Format("still", "write_obj", ".obj", sequence=True, texture=True),
    "ply": Format("still", "write_ply", ".ply", sequence=True),
    "stl": Format("still", "write_stl", ".stl", sequence=True),
    "bvh": Format("motion_files", "write_bvh", ".bvh"),
    "npz": Format("motion_files", "write_npz", ".npz"),
    "splats": Format("splats", "write_splats", ".ply", sequence=True),
}
