"""What posing the mesh loses against rendering the field: both against the film, on training and on novel views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from wim_fast.evaluation.metrics import compare, mask_iou
from wim_fast.evaluation.protocols import NOVEL_VIEWS
from wim_fast.evaluation.summary import means
from wim_fast.export.asset import Asset
from wim_fast.export.triangles import vertex_normals
from wim_fast.model.articulated_model import Posed
from wim_fast.model.motion import Motion
from wim_fast.ops.shading.reference import light
from wim_fast.recordings.cameras import Cameras, project
from wim_fast.rendering.image import Image, render_image
from wim_fast.rendering.raster import rasterize
from wim_fast.runs.evaluate import TRAINING_VIEWS, finite, sample
from wim_fast.runs.render import Progress
from wim_fast.runs.trained_model import TrainedModel

SUPERSAMPLING = 4  # rays of a pixel, a side
MEASURES = ("psnr", "psnr_box", "iou")


@dataclass(frozen=True)
class Loss:
    """The mesh beside the field.

    Attributes:
        rows: a dictionary for each view: camera and frame ids, group (`TRAINING_VIEWS` or `NOVEL_VIEWS`), and
            psnr, psnr_box (dB) and iou against the film, of the `field` and of the `mesh`; `between`: IoU of the two.
    """

    rows: list[dict[str, Any]]

    def summary(self) -> dict[str, dict[str, float]]:
        """Means of each group."""
        groups = dict.fromkeys(row["group"] for row in self.rows)
        keys = [f"{what}_{measure}" for measure in MEASURES for what in ("field", "mesh")] + ["between"]
        return {group: means([row for row in self.rows if row["group"] == group], keys) for group in groups}

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        rows = [{key: finite(value) for key, value in row.items()} for row in self.rows]
        return {"summary": self.summary(), "views": rows}


def measure_loss(asset: Asset, on_progress: Progress | None = None) -> Loss:
    """Renders both, at the size trained at, in some frames trained on and all cameras of the recording.

    Against the film, pictures are in the colours of their cameras; the mesh gets the light that was learned, as it
    falls in each pose. UserError if the recording cannot be read.
    """
    run = asset.run
    trained = run.trained_positions(run.scan_recording())
    frames = sample(range(len(trained)))
    scene = run.load_scene(frames=[trained[k] for k in frames])
    rows: list[dict[str, Any]] = []
    for row, frame in enumerate(frames):
        for index, camera in enumerate(scene.cameras.ids):
            posed, color = run.pose_seen(frame, camera), run.found.color(camera)
            truth = scene.rgba[index, row], scene.mask[index, row], run.background
            field = render_image(run.model, posed, scene.cameras, index, run.inv_s, run.backend)
            mesh = mesh_image(asset, posed, scene.cameras, index)
            kind = TRAINING_VIEWS if camera in run.camera_ids else NOVEL_VIEWS
            found: dict[str, Any] = {"camera": camera, "frame": scene.frame_ids[row], "group": kind}
            for name, image in (("field", field), ("mesh", mesh)):
                of = compare(image.tinted(color), *truth)
                found |= {f"{name}_{measure}": of[measure] for measure in MEASURES if measure in of}
            found["between"] = mask_iou(mesh.opacity > 0.5, field.opacity > 0.5)
            rows.append(found)
            if on_progress is not None:
                on_progress("comparing", len(rows), len(frames) * len(scene.cameras))
    return Loss(rows)


def mesh_image(asset: Asset, posed: Posed, cameras: Cameras, index: int) -> Image:
    """The mesh in a pose (F = 1), its merged parts apart, as camera number `index` sees it; anti-aliased."""
    surface, n = asset.surface, SUPERSAMPLING
    rotation, translation = (x.double().cpu().numpy() for x in (posed.rotation, posed.translation))
    vertices = asset.posed_vertices(Motion(rotation, translation))
    color = surface.colors
    if not asset.settings.baked_light:
        color = _lit(asset.run, color, vertex_normals(vertices, surface.faces))
    fine = cameras.select([index]).resized(cameras.width * n, cameras.height * n)
    pixels, depth = project(fine, vertices)
    seen = rasterize(pixels[0], depth[0], surface.faces, fine.height, fine.width)
    distance = np.linalg.norm(vertices - fine.centers[0], axis=1)
    values = np.concatenate([color, np.ones_like(distance)[:, None], distance[:, None]], axis=1)
    picture = np.zeros((fine.height, fine.width, 5), np.float32)
    picture[seen.face >= 0] = seen.interpolated(surface.faces, values)
    small = picture.reshape(cameras.height, n, cameras.width, n, 5).mean(axis=(1, 3))
    opacity = small[..., 3]
    depth_seen = np.where(opacity > 0, small[..., 4] / np.maximum(opacity, 1e-6), 0.0)
    return Image(small[..., :3], opacity, depth_seen, np.where(opacity > 0.5, 0, -1).astype(np.int32))


def _lit(run: TrainedModel, color: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Colours (V, 3) in the light that was learned, on surfaces with these normals (V, 3)."""
    lighting = run.model.field.lighting
    if lighting is None:
        return color
    factor = light(torch.from_numpy(normals).float(), lighting.detach().cpu())
    return (color * factor.numpy()).clip(0, 1)
