"""Still meshes: OBJ, PLY and STL, of one frame or of every frame of the film, written by trimesh."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from wim_fast.export.asset import Asset
from wim_fast.export.extra import extra
from wim_fast.export.triangles import vertex_normals
from wim_fast.files import write_atomic


def write_obj(asset: Asset, file: Path) -> list[Path]:
    """y up; colours behind the vertices, or a texture with a material file beside it."""
    obj = extra("trimesh").exchange.obj
    content: dict[Path, bytes | str] = {}
    for path, vertices in poses(asset, file, asset.upright.points):
        text, beside = obj.export_obj(
            _mesh(asset, vertices, file.stem),
            include_normals=True,
            return_texture=True,
            mtl_name=f"{file.stem}.mtl",
            header=None,
        )
        content[path] = text
        content |= {path.parent / name: value for name, value in beside.items()}  # the same for all frames
    return [
        write_atomic(path, value if isinstance(value, bytes) else value.encode())
        for path, value in content.items()
    ]


def write_ply(asset: Asset, file: Path) -> list[Path]:
    """The recording's frame; binary, with colours and normals."""
    ply = extra("trimesh").exchange.ply
    return [
        write_atomic(path, ply.export_ply(_mesh(asset, vertices), vertex_normal=True))
        for path, vertices in poses(asset, file, asset.recorded.points)
    ]


def write_stl(asset: Asset, file: Path) -> list[Path]:
    """The recording's frame; binary, without colours."""
    stl = extra("trimesh").exchange.stl
    return [
        write_atomic(path, stl.export_stl(_mesh(asset, vertices)))
        for path, vertices in poses(asset, file, asset.recorded.points)
    ]


def poses(
    asset: Asset, file: Path, place: Callable[[np.ndarray], np.ndarray]
) -> Iterator[tuple[Path, np.ndarray]]:
    """A file and placed vertices (V, 3): of the rest frame, or of each frame, in a folder called as the file.

    `place`: from world frame and units to those of the file, as `Placement.points`.
    """
    if not asset.settings.sequence:
        yield file, place(asset.surface.vertices)
        return
    for frame, number in enumerate(asset.run.frame_ids):
        path = file.with_suffix("") / f"frame_{number:05d}{file.suffix}"
        yield path, place(asset.posed_vertices(asset.run.motion.at([frame])))


def _mesh(asset: Asset, vertices: np.ndarray, material_name: str = "surface") -> Any:
    """A trimesh.Trimesh of the surface with these vertices (V, 3)."""
    trimesh, surface, atlas = extra("trimesh"), asset.surface, asset.atlas
    normals = vertex_normals(vertices, surface.faces)
    if atlas is None:
        colors = np.round(255 * surface.colors).astype(np.uint8)
        return trimesh.Trimesh(
            vertices, surface.faces, vertex_normals=normals, vertex_colors=colors, process=False
        )
    material = trimesh.visual.material.SimpleMaterial(
        image=Image.fromarray(atlas.image), name=material_name, diffuse=(255, 255, 255, 255)
    )
    visual = trimesh.visual.TextureVisuals(uv=atlas.uv, material=material)
    rows = atlas.vertex
    return trimesh.Trimesh(
        vertices[rows], atlas.faces, vertex_normals=normals[rows], visual=visual, process=False
    )
