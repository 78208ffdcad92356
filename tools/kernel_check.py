"""The kernels of a backend against their references, on what a training step gives them; for `first_gpu.py`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from step_stages import unrecorded
from torch import Tensor

from wim_fast.ops.articulated.reference import articulated_lookup
from wim_fast.ops.composite.reference import composite, visible_samples
from wim_fast.ops.image_losses.reference import image_losses
from wim_fast.ops.march.reference import march
from wim_fast.ops.mlp.reference import mlp
from wim_fast.ops.part_encoding.reference import part_encoding
from wim_fast.ops.pixels.reference import draw_pixels
from wim_fast.ops.samples.reference import samples_along
from wim_fast.ops.shading.reference import shade
from wim_fast.ops.silhouette.reference import silhouette_losses, unjudged_points
from wim_fast.training.trainer import Trainer

REFERENCES = {
    "march": march, "articulated_lookup": articulated_lookup, "part_encoding": part_encoding, "decoder_mlp": mlp,
    "pose_mlp": mlp, "composite": composite, "visible_samples": visible_samples,
    "samples_along": samples_along, "shade": shade, "draw_pixels": draw_pixels, "image_losses": image_losses,
    "silhouette_losses": silhouette_losses, "unjudged_points": unjudged_points,
}  # fmt: skip
MARCHED = 256  # rays: the reference looks at all points of all rays
FULL, HALF = (
    2e-3,
    3e-2,
)  # largest RMS of a difference, relative to the RMS of the reference; with half precision


def compare_kernels(trainer: Trainer) -> dict[str, float]:
    """Worst relative RMS difference of each kernel's outputs and gradients; AssertionError where one is too large."""
    generator = torch.Generator(trainer.backend.device).manual_seed(0)
    worst: dict[str, float] = {}
    for name, arguments in calls_of_a_step(trainer):
        if name == "march":
            arguments = (
                *(x[:MARCHED] for x in arguments[:3]),
                *arguments[3:8],
                arguments[8][:MARCHED],
                *arguments[9:],
            )
        with empty_is_nan():
            ours = run(getattr(trainer.backend, name), arguments, generator)
        theirs = run(REFERENCES[name], arguments, generator)
        differences = [difference(a, b) for a, b in zip(ours, theirs, strict=True)]
        worst[name] = max([worst.get(name, 0.0), *differences])
    wrong = {name: value for name, value in worst.items() if not value < limit(trainer.backend.name, name)}
    if wrong:
        raise AssertionError(f"differ from their references: {wrong}")
    return worst


def limit(backend: str, kernel: str) -> float:
    return HALF if backend == "tcnn" or kernel == "decoder_mlp" else FULL


def calls_of_a_step(trainer: Trainer) -> list[tuple[str, tuple[Any, ...]]]:
    """The kernels' names and arguments, in the order of a step."""
    calls: list[tuple[str, tuple[Any, ...]]] = []

    def watched(name: str) -> Any:
        kernel = getattr(backend, name)

        def call(*arguments: Any) -> Any:
            calls.append((name, tuple(copied(x) for x in arguments)))
            return kernel(*arguments)

        return call

    backend = trainer.backend
    with unrecorded(trainer):
        trainer.backend = backend._replace(**{name: watched(name) for name in REFERENCES})
        try:
            trainer.train_step()
        finally:
            trainer.backend = backend
    return calls


def copied(x: Any) -> Any:
    """Tensors as they are now, those in lists too, with or without gradients as they were."""
    if isinstance(x, Tensor):
        return x.detach().clone().requires_grad_(x.requires_grad)
    return [copied(y) for y in x] if isinstance(x, list) else x


def run(kernel: Any, arguments: tuple[Any, ...], generator: torch.Generator) -> list[Tensor]:
    """What a kernel returns in numbers, and the gradients of what has some, under the same random cotangents each time."""
    given = [copied(x) for x in arguments]
    flat = [y for x in given for y in (x if isinstance(x, list) else [x]) if isinstance(y, Tensor)]
    wanted = [x for x in flat if x.requires_grad]
    result = kernel(*given)
    outputs = [result] if isinstance(result, Tensor) else list(result)
    smooth = [x for x in outputs if x.requires_grad]
    generator.manual_seed(0)
    cotangents = [torch.randn(x.shape, generator=generator, device=x.device) for x in smooth]
    gradients = torch.autograd.grad(smooth, wanted, cotangents, materialize_grads=True) if smooth else ()
    return [x.detach().double() for x in (*outputs, *gradients)]


def difference(ours: Tensor, theirs: Tensor) -> float:
    """RMS, relative to that of the reference or to 0.01; infinite for what is not finite or of another shape."""
    if ours.shape != theirs.shape or not ours.isfinite().all():
        return float("inf")
    if not ours.numel():
        return 0.0
    return float((ours - theirs).square().mean().sqrt() / theirs.square().mean().sqrt().clamp_min(0.01))


@contextlib.contextmanager
def empty_is_nan() -> Iterator[None]:
    """New memory is full of NaN (of -1 for integers), so that what a kernel leaves unwritten shows."""

    def filled(empty: Any) -> Any:
        def run(*arguments: Any, **options: Any) -> Tensor:
            x = empty(*arguments, **options)
            return x.fill_(float("nan") if x.is_floating_point() else -1)

        return run

    with contextlib.ExitStack() as patched:
        for owner, name in ((torch, "empty"), (torch, "empty_like"), (Tensor, "new_empty")):
            patched.enter_context(mock.patch.object(owner, name, filled(getattr(owner, name))))
        yield
