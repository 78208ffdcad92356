"""What the tests of the kernels share: backends, posed ellipsoids, comparison, gradients under random cotangents."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

MODULES = {"torch": "reference", "numba": "cpu", "triton": "triton"}
BACKENDS = tuple(MODULES)
KERNELS = BACKENDS[1:]


def interpreted(backend: str) -> bool:
    """Whether the kernels run in Triton's interpreter, which takes tens of points, not thousands."""
    return backend == "triton" and not torch.cuda.is_available()


def operation(backend: str, op: str, function: str | None = None) -> Callable:
    """A backend's `function` of an op (by default of the same name): Triton's on the GPU or, without one, interpreted.

    Arguments and results are on the CPU. Skips the test where the backend cannot run.
    """
    if backend == "triton":
        pytest.importorskip("triton", reason="triton is not installed")
    run = getattr(importlib.import_module(f"wim_fast.ops.{op}.{MODULES[backend]}"), function or op)
    if backend != "triton" or interpreted(backend):
        return run

    def on_gpu(*args, **kwargs):
        return moved(run(*moved(args, "cuda"), **kwargs), "cpu")

    return on_gpu


def moved(x, device: str):
    """Tensors, also in tuples, named ones and lists, on another device."""
    if isinstance(x, Tensor):
        return x.to(device)
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*(moved(y, device) for y in x))
    return type(x)(moved(y, device) for y in x) if isinstance(x, (tuple, list)) else x


def random_rotations(*shape: int, generator: torch.Generator) -> Tensor:
    """(*shape, 3, 3) proper rotations, by QR."""
    q, r = torch.linalg.qr(torch.randn(*shape, 3, 3, generator=generator, dtype=torch.float64))
    q = q * r.diagonal(dim1=-2, dim2=-1).sign()[..., None, :]
    q[..., 0] *= torch.linalg.det(q)[..., None]
    return q


def posed_ellipsoids(poses: int, parts: int, b: float = 50.0, a: float = 30.0, seed: int = 0) -> list[Tensor]:
    """Rotation, translation, semi-axes and both sharpnesses of a cloud of parts about 1 unit across."""
    generator = torch.Generator().manual_seed(seed)
    rotation = random_rotations(poses, parts, generator=generator).float()
    translation = torch.rand(poses, parts, 3, generator=generator) * 0.8 - 0.4
    semi_axes = 0.03 + 0.17 * torch.rand(parts, 3, generator=generator)
    return [rotation, translation, semi_axes, torch.tensor(b), torch.tensor(a)]


def points_near(posed: Sequence[Tensor], count: int, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Points (count, 3) in and round the ellipsoids, most near a surface, and their poses (count,) int32."""
    generator = torch.Generator().manual_seed(seed)
    rotation, translation, semi_axes = posed[:3]
    poses, parts = translation.shape[:2]
    pose = torch.randint(poses, (count,), generator=generator)
    part = torch.randint(parts, (count,), generator=generator)
    sphere = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    size = 0.7 + 0.6 * torch.rand(count, 1, generator=generator)
    local = sphere * semi_axes[part] * size
    world = (rotation[pose, part] @ local[..., None]).squeeze(-1) + translation[pose, part]
    return world, pose.to(torch.int32)


def rays_at(posed, count, seed=3):
    """Rays (count, 3) from a sphere of radius 3 towards the object; some miss it."""
    generator = torch.Generator().manual_seed(seed)
    origins = 3 * torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    targets = torch.rand(count, 3, generator=generator) * 1.6 - 0.8
    directions = torch.nn.functional.normalize(targets - origins, dim=-1)
    pose_ids = torch.randint(len(posed[0]), (count,), generator=generator).to(torch.int32)
    return origins, directions, pose_ids, torch.rand(count, generator=generator)


def tangent_rays(posed, count, height, seed=0):
    """Rays (count) that touch the level sets `height` (count,) outside of the only part, all round and near its tips."""
    generator = torch.Generator().manual_seed(seed)
    rotation, center, semi_axes = posed[0][0, 0], posed[1][0, 0], posed[2][0]
    # evenly on the unit sphere stretched to the ellipsoid: crowds where the surface is curved most
    normal = torch.randn(count, 3, generator=generator)
    even = torch.arange(count) % 2 == 0
    normal[even] /= semi_axes
    normal = torch.nn.functional.normalize(normal, dim=-1)
    touched = (
        semi_axes**2 * normal / (semi_axes * normal).norm(dim=-1, keepdim=True) + height[:, None] * normal
    )
    aside = torch.randn(count, 3, generator=generator)
    aside = torch.nn.functional.normalize(aside - (aside * normal).sum(-1, keepdim=True) * normal, dim=-1)
    origins = (touched - 0.9 * aside) @ rotation.t() + center
    return (
        origins,
        aside @ rotation.t(),
        torch.zeros(count, dtype=torch.int32),
        torch.rand(count, generator=generator),
    )


def assert_near(actual: Tensor, expected: Tensor, *, rmse: float, maximum: float, name: str = "") -> None:
    """RMS and largest difference, relative to the RMS of `expected` or to 0.01, whichever is more."""
    assert actual.shape == expected.shape, f"{name}: {tuple(actual.shape)} instead of {tuple(expected.shape)}"
    assert actual.isfinite().all(), f"{name}: not finite"
    if expected.numel() == 0:
        return
    difference = (actual - expected).double()
    scale = expected.double().square().mean().sqrt().clamp_min(0.01)
    relative_rmse = float(difference.square().mean().sqrt() / scale)
    relative_max = float(difference.abs().max() / scale)
    assert relative_rmse <= rmse, f"{name}: relative RMSE {relative_rmse:.2e} > {rmse:.0e}"
    assert relative_max <= maximum, f"{name}: relative maximum {relative_max:.2e} > {maximum:.0e}"


def gradients(
    function: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor], wanted: Sequence[int], seed: int = 2
) -> tuple[list[Tensor], list[Tensor]]:
    """Floating outputs of ``function(*inputs)``, and the wanted gradients under random cotangents."""
    inputs = [x.detach().clone().requires_grad_() if i in wanted else x for i, x in enumerate(inputs)]
    outputs = [x for x in function(*inputs) if x.is_floating_point()]
    generator = torch.Generator().manual_seed(seed)
    cotangents = [torch.randn(x.shape, generator=generator, dtype=x.dtype) for x in outputs]
    differentiable = [(x, g) for x, g in zip(outputs, cotangents, strict=True) if x.requires_grad]
    grads = torch.autograd.grad(
        [x for x, _ in differentiable], [inputs[i] for i in wanted], [g for _, g in differentiable],
        materialize_grads=True,
    )  # fmt: skip
    return [x.detach() for x in outputs], list(grads)


def non_contiguous(x: Tensor) -> Tensor:
    """The same numbers with other strides."""
    out = torch.stack([x, torch.full_like(x, -7)], dim=-1)[..., 0]
    assert x.numel() < 2 or not out.is_contiguous()
    return out
