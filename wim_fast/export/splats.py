"""Gaussian splats on the surface, in the layout of 3D Gaussian splatting that viewers read (Kerbl et al., 2023)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wim_fast.export.asset import Asset
from wim_fast.export.still import poses
from wim_fast.files import write_atomic
from wim_fast.posing.rigid import quaternion

SH_0 = 0.28209479177387814  # the constant spherical harmonic
SPREAD = 1.5  # standard deviations of a triangle's points that its splat has: fewer let light through, more blur edges
FLAT = 0.05  # thickness of the median splat, over its radius
OPACITY = 0.99


def write_splats(asset: Asset, file: Path) -> list[Path]:
    """A splat for each face, in the recording's frame; of the rest frame, or of each frame in a folder.

    At rest, each is bound: joint_0 .. 3 and weight_0 .. 3 follow what viewers look for.
    """
    written = []
    for path, vertices in poses(asset, file, asset.recorded.points):
        columns = splats(vertices, asset.surface.faces, asset.surface.colors)
        if not asset.settings.sequence:
            columns |= _binding(asset)
        written.append(write_atomic(path, ply(columns)))
    return written


def splats(vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray) -> dict[str, np.ndarray]:
    """The columns of the file, (F,) each: every splat has the middle, the covariance and the colour of a face.

    The covariance of a triangle's points is sum (v - m)(v - m)^T / 12 over its corners v, m their mean.
    """
    corners = vertices[faces]
    middle = corners.mean(axis=1)
    offset = corners - middle[:, None]
    variance, axes = np.linalg.eigh(offset.swapaxes(1, 2) @ offset / 12)  # rising: the first is the normal
    axes[np.linalg.det(axes) < 0] *= -1
    outward = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal = outward / np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-30)
    radius = SPREAD * np.sqrt(np.maximum(variance, 0.0))
    scale = np.log(np.maximum(radius, FLAT * np.median(radius[:, 1])))
    turn = quaternion(axes)
    dc = (colors[faces].mean(axis=1) - 0.5) / SH_0
    groups = {"": middle, "n": normal}
    columns = {
        f"{prefix}{axis}": values[:, k] for prefix, values in groups.items() for k, axis in enumerate("xyz")
    }
    columns |= {f"f_dc_{k}": dc[:, k] for k in range(3)}
    columns["opacity"] = np.full(len(faces), np.log(OPACITY / (1 - OPACITY)))
    columns |= {f"scale_{k}": scale[:, k] for k in range(3)}
    return columns | {f"rot_{k}": turn[:, k] for k in range(4)}


def _binding(asset: Asset) -> dict[str, np.ndarray]:
    """Bones and weights of each face: those of its corner that is bound most firmly."""
    ids, weights = asset.skin
    faces = asset.surface.faces
    corner = faces[np.arange(len(faces)), weights[faces, 0].argmax(axis=1)]
    return {f"joint_{k}": ids[corner, k] for k in range(4)} | {
        f"weight_{k}": weights[corner, k] for k in range(4)
    }


def ply(columns: dict[str, np.ndarray]) -> bytes:
    """A binary PLY of one element, vertex, with float properties."""
    count = len(next(iter(columns.values())))
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {count}"]
    header += [*(f"property float {name}" for name in columns), "end_header\n"]
    return "\n".join(header).encode() + np.stack(list(columns.values()), axis=1).astype("<f4").tobytes()
