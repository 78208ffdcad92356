"""Which implementation of each kernel runs, and where: chosen once, by name, never in silence."""

from __future__ import annotations

import importlib.util
import os
import re
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Literal, NamedTuple

from wim_fast.errors import GpuWarning, UserError

if TYPE_CHECKING:
    import torch

Culling = Literal["intervals", "grid", "none"]
BACKENDS = ("auto", "tcnn", "triton", "numba", "torch")
LEAST_TORCH, LEAST_TRITON = (2, 7, 1), (3, 3, 1)  # older ones do not compile all kernels (docs/gpu.md)


class Backend(NamedTuple):
    """One implementation of every operation; the signatures are those of the references."""

    name: str
    device: torch.device
    needs_capacity: bool  # sample arrays have a fixed number of rows
    recordable: bool  # nothing in a step waits for the device: it can be a CUDA graph
    culling: Culling  # how `march` skips empty space: by intervals of the rays in inflated ellipsoids, by an occupancy grid
    articulated_lookup: Callable
    part_encoding: Callable
    decoder_mlp: Callable
    pose_mlp: Callable
    march: Callable
    composite: Callable
    visible_samples: Callable
    samples_along: Callable
    shade: Callable
    draw_pixels: Callable
    image_losses: Callable
    silhouette_losses: Callable
    unjudged_points: Callable
    part_poses: Callable
    shape_losses: Callable
    structure_losses: Callable
    observe_distances: Callable
    merge_loss: Callable
    corrected_cameras: Callable
    camera_rays: Callable
    occupancy_grids: Callable
    near_samples: Callable
    finer_samples: Callable
    closed_runs: Callable
    part_seen: Callable
    edge_pixels: Callable

    def computing(self) -> AbstractContextManager[None]:
        """To be held around steps and images: kernels that are compiled for the CPU have its cores to themselves."""
        from wim_fast.processes import computing_threads

        return computing_threads() if self.name == "numba" else nullcontext()


def select_backend(name: str, device_index: int = 0) -> Backend:
    """The backend of that name, or a UserError that says how to get it.

    `tcnn`: tiny-cuda-nn and nerfacc, with our Triton kernels for what they lack. `triton`: our Triton kernels alone, which
    never wait for the device, so that a step can be recorded. `numba`: compiled for the CPU, multi-threaded. `torch`: the
    references, on a GPU where there is one. `auto`: triton on a GPU whose kernels pass their test, else numba.
    `device_index` says which GPU.
    """
    if name not in BACKENDS:
        raise UserError("backend", f"there is no backend {name!r}", f"choose from {', '.join(BACKENDS)}")
    if name == "auto":
        name = _fastest(device_index)
    return {"tcnn": _tcnn, "triton": _triton, "numba": _numba, "torch": _torch}[name](device_index)


def _fastest(device_index: int) -> str:
    """`triton` where a GPU's kernels pass their test, else `numba`; GpuWarning where there is a GPU all the same."""
    import torch

    if not torch.cuda.is_available():
        return "numba"
    from wim_fast.ops.first_run import REPORT, gpu_problems

    try:
        _check_versions("--backend auto")
        problems = gpu_problems(device_index)
    except UserError as error:
        warnings.warn(f"the GPU is not used, but the CPU: {error}", GpuWarning, stacklevel=3)
        return "numba"
    if problems:
        said = "; ".join(problems)
        remedy = f"please report it to {REPORT}; --backend triton uses the GPU all the same"
        text = f"the GPU is not used, but the CPU, for kernels fail their test there: {said}. {remedy[:1].upper()}{remedy[1:]}"
        warnings.warn(text, GpuWarning, stacklevel=3)
        return "numba"
    return "triton"


def _check_versions(where: str) -> None:
    """UserError where PyTorch or Triton are too old for the kernels."""
    import torch

    if importlib.util.find_spec("triton") is None:
        raise UserError(where, "Triton is not installed", "pip install triton (on Linux)")
    import triton

    for module, least in ((torch, LEAST_TORCH), (triton, LEAST_TRITON)):
        if _version(module.__version__) < least:
            problem = f"{module.__name__} {module.__version__} is too old for the GPU's kernels"
            remedy = "pip install --upgrade torch, which brings the Triton that it needs"
            raise UserError(where, f"{problem}: they need {'.'.join(map(str, least))}", remedy)


def _version(text: str) -> tuple[int, ...]:
    """(2, 13, 0) of "2.13.0+cu130"."""
    return tuple(int(part) for part in re.findall(r"\d+", text.partition("+")[0])[:3])


def _references() -> dict[str, Callable]:
    """Every operation in plain torch."""
    from wim_fast.ops.articulated.reference import articulated_lookup
    from wim_fast.ops.cameras.reference import camera_rays, corrected_cameras
    from wim_fast.ops.composite.reference import composite, visible_samples
    from wim_fast.ops.image_losses.reference import image_losses
    from wim_fast.ops.march.reference import march
    from wim_fast.ops.merging.reference import merge_loss
    from wim_fast.ops.mlp.reference import mlp
    from wim_fast.ops.occupancy.reference import occupancy_grids
    from wim_fast.ops.part_encoding.reference import part_encoding
    from wim_fast.ops.pictures.reference import (
        closed_runs,
        edge_pixels,
        finer_samples,
        near_samples,
        part_seen,
    )
    from wim_fast.ops.pixels.reference import draw_pixels
    from wim_fast.ops.poses.reference import part_poses
    from wim_fast.ops.samples.reference import samples_along
    from wim_fast.ops.shading.reference import shade
    from wim_fast.ops.shape_losses.reference import shape_losses
    from wim_fast.ops.silhouette.reference import silhouette_losses, unjudged_points
    from wim_fast.ops.structure.reference import observe_distances, structure_losses

    operations: tuple[Callable, ...] = (
        articulated_lookup, part_encoding, march, composite, visible_samples, samples_along, shade, draw_pixels,
        image_losses, silhouette_losses, unjudged_points, part_poses, shape_losses, structure_losses, observe_distances,
        merge_loss, corrected_cameras, camera_rays, occupancy_grids, near_samples, finer_samples, closed_runs, part_seen,
        edge_pixels,
    )  # fmt: skip
    return {f.__name__: f for f in operations} | {"decoder_mlp": mlp, "pose_mlp": mlp}


def _numba(device_index: int) -> Backend:
    import torch

    from wim_fast.ops.articulated.cpu import articulated_lookup
    from wim_fast.ops.cameras.cpu import camera_rays, corrected_cameras
    from wim_fast.ops.composite.cpu import composite, visible_samples
    from wim_fast.ops.image_losses.cpu import image_losses
    from wim_fast.ops.march.cpu import march
    from wim_fast.ops.merging.cpu import merge_loss
    from wim_fast.ops.mlp.cpu import mlp
    from wim_fast.ops.occupancy.cpu import occupancy_grids
    from wim_fast.ops.part_encoding.cpu import part_encoding
    from wim_fast.ops.pictures.cpu import closed_runs, edge_pixels, finer_samples, near_samples, part_seen
    from wim_fast.ops.pixels.cpu import draw_pixels
    from wim_fast.ops.poses.cpu import part_poses
    from wim_fast.ops.samples.cpu import samples_along
    from wim_fast.ops.shading.cpu import shade
    from wim_fast.ops.shape_losses.cpu import shape_losses
    from wim_fast.ops.silhouette.cpu import silhouette_losses, unjudged_points
    from wim_fast.ops.structure.cpu import observe_distances, structure_losses

    return Backend(
        "numba", torch.device("cpu"), False, False, "intervals", articulated_lookup, part_encoding, mlp, mlp, march,
        composite, visible_samples, samples_along, shade, draw_pixels, image_losses, silhouette_losses, unjudged_points,
        part_poses, shape_losses, structure_losses, observe_distances, merge_loss, corrected_cameras, camera_rays,
        occupancy_grids, near_samples, finer_samples, closed_runs, part_seen, edge_pixels,
    )  # fmt: skip


def _torch(device_index: int) -> Backend:
    import torch

    device = torch.device("cuda", device_index) if torch.cuda.is_available() else torch.device("cpu")
    return Backend("torch", device, False, False, "none", **_references())


def _triton(device_index: int) -> Backend:
    device = _gpu("triton", device_index)
    _check_versions("--backend triton")
    from wim_fast.ops.composite.triton import composite
    from wim_fast.ops.march.triton import march
    from wim_fast.ops.mlp.reference import mlp as reference_mlp
    from wim_fast.ops.mlp.triton import mlp
    from wim_fast.ops.part_encoding.triton import part_encoding

    # half precision is for what is bounded, the residual and the colour, and in float32 the matrices of the pose network
    # are more than a block's shared memory (docs/gpu.md): its few rows are left to cuBLAS
    kernels: dict[str, Callable] = {"part_encoding": part_encoding, "decoder_mlp": mlp, "pose_mlp": reference_mlp,
               "march": march, "composite": composite}  # fmt: skip
    return Backend("triton", device, True, device.type == "cuda", "intervals", **(_on_every_gpu() | kernels))


def _tcnn(device_index: int) -> Backend:
    device = _gpu("tcnn", device_index)
    _check_versions("--backend tcnn")
    from wim_fast.ops import nerfacc, tcnn

    tcnn.tinycudann()
    nerfacc.nerfacc()
    kernels: dict[str, Callable] = {"part_encoding": tcnn.part_encoding, "decoder_mlp": tcnn.mlp, "pose_mlp": tcnn.mlp,
               "march": nerfacc.march, "composite": nerfacc.composite}  # fmt: skip
    return Backend("tcnn", device, True, False, "grid", **(_on_every_gpu() | kernels))


def _on_every_gpu() -> dict[str, Callable]:
    """By field of `Backend`: the Triton kernels that no library has, and what pictures need besides, in torch's operations."""
    from wim_fast.ops.articulated.triton import articulated_lookup
    from wim_fast.ops.cameras.triton import camera_rays, corrected_cameras
    from wim_fast.ops.composite.triton import visible_samples
    from wim_fast.ops.image_losses.triton import image_losses
    from wim_fast.ops.merging.triton import merge_loss
    from wim_fast.ops.occupancy.triton import occupancy_grids
    from wim_fast.ops.pictures.reference import (
        closed_runs,
        edge_pixels,
        finer_samples,
        near_samples,
        part_seen,
    )
    from wim_fast.ops.pixels.triton import draw_pixels
    from wim_fast.ops.poses.triton import part_poses
    from wim_fast.ops.samples.triton import samples_along
    from wim_fast.ops.shading.triton import shade
    from wim_fast.ops.shape_losses.triton import shape_losses
    from wim_fast.ops.silhouette.triton import silhouette_losses, unjudged_points
    from wim_fast.ops.structure.triton import observe_distances, structure_losses

    return {"articulated_lookup": articulated_lookup, "visible_samples": visible_samples,
            "samples_along": samples_along, "shade": shade, "draw_pixels": draw_pixels, "image_losses": image_losses,
            "silhouette_losses": silhouette_losses, "unjudged_points": unjudged_points, "part_poses": part_poses,
            "shape_losses": shape_losses, "structure_losses": structure_losses,
            "observe_distances": observe_distances, "merge_loss": merge_loss,
            "corrected_cameras": corrected_cameras, "camera_rays": camera_rays,
            "occupancy_grids": occupancy_grids, "near_samples": near_samples, "finer_samples": finer_samples,
            "closed_runs": closed_runs, "part_seen": part_seen, "edge_pixels": edge_pixels}  # fmt: skip


def _gpu(name: str, index: int) -> torch.device:
    """The GPU; for `triton` the CPU where its interpreter is asked for (TRITON_INTERPRET=1), as tests do."""
    import torch

    if torch.cuda.is_available():
        return torch.device("cuda", index)
    if name == "triton" and os.environ.get("TRITON_INTERPRET") == "1":
        return torch.device("cpu")
    why = "PyTorch was built without CUDA" if torch.version.cuda is None else "PyTorch sees no GPU"
    remedy = "use --backend numba on the CPU, or install PyTorch with CUDA on a machine with an NVIDIA GPU"
    raise UserError(f"--backend {name}", f"it needs an NVIDIA GPU: {why}", remedy)
