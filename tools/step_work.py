"""What a training step computes and moves, counted at its kernels, for `benchmark.py`.

Matrix products are those that torch counts, of padding too. What it does not see and what memory does is estimated,
from below:

- fused MLPs: two operations for each weight and sample in use, with gradients three times as many;
- kernels: each array with a row for each sample or ray, without padding, moves once, with gradients twice;
- the hash grid: eight corners of every level for each part that is read, with gradients four times (the backward pass
  reads them again, and reads and writes their gradients);
- the optimiser: reads value, gradient and two moments of each parameter and writes all but the gradient.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from step_stages import unrecorded
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from wim_fast.ops.mlp import cpu, reference
from wim_fast.ops.part_encoding.reference import MIN_WEIGHT
from wim_fast.training.trainer import Trainer

CORNERS = 8  # of a cell of the hash grid
ADAM_ACCESSES = 7  # of numbers, for each parameter


class StepWork(NamedTuple):
    """Of one step, the mean over several."""

    rays: int
    marched: int  # samples that the march finds, some steps apart
    decoded: int  # those that show, one step apart, and are decoded with gradients
    dropped: int  # for want of room in arrays of fixed size
    matrix_flops: int  # in matrix products that torch sees, forward and backward
    fused_flops: int  # in fused MLPs, which it does not see
    bytes: int

    @property
    def flops(self) -> int:
        return self.matrix_flops + self.fused_flops


def count_work(trainer: Trainer, steps: int = 10) -> StepWork:
    """Take `steps` steps, not replayed, and count."""
    backend, counts = trainer.backend, Counter[str]()
    with unrecorded(trainer), FlopCounterMode(display=False) as torch_counts:
        trainer.backend = backend._replace(**_counted(backend._asdict(), counts))
        reports = [trainer.train_step() for _ in range(steps)]
        trainer.backend = backend
    parameters = sum(p.numel() * p.element_size() for p in trainer.model.parameters())
    return StepWork(
        reports[-1].num_rays,
        counts["marched"] // steps,
        sum(report.num_samples for report in reports) // steps,
        sum(report.num_dropped for report in reports) // steps,
        torch_counts.get_total_flops() // steps,
        counts["fused flops"] // steps,
        counts["bytes"] // steps + ADAM_ACCESSES * parameters,
    )


def _counted(kernels: dict[str, Callable], counts: Counter[str]) -> dict[str, Callable]:
    """Kernels that add to `counts` what they do."""

    def move(rows: int, *arrays: Tensor) -> None:
        row_bytes = sum(x.element_size() * x.shape[1:].numel() for x in arrays)
        counts["bytes"] += rows * row_bytes * (2 if torch.is_grad_enabled() else 1)

    def march(origins: Tensor, directions: Tensor, pose_ids: Tensor, *others: Any) -> Any:
        samples = kernels["march"](origins, directions, pose_ids, *others)
        marched = int(samples.offsets[-1])  # there may be padding behind them
        counts["marched"] += marched
        with torch.no_grad():
            move(len(origins), origins, directions, pose_ids)
            move(marched, samples.t, samples.ray_ids)
        return samples

    def articulated_lookup(points: Tensor, pose_ids: Tensor, *others: Any) -> Any:
        lookup = kernels["articulated_lookup"](points, pose_ids, *others)
        move(int((pose_ids >= 0).sum()), points, pose_ids, *lookup)
        return lookup

    def part_encoding(
        local: Tensor, part_ids: Tensor, weights: Tensor, table: Tensor, *others: Any
    ) -> Tensor:
        features = kernels["part_encoding"](local, part_ids, weights, table, *others)
        move(int((weights > 0).any(1).sum()), local, part_ids, weights, features)
        reads = int((weights >= MIN_WEIGHT).sum()) * CORNERS * (4 if torch.is_grad_enabled() else 1)
        counts["bytes"] += reads * features.shape[1] * table.element_size()
        return features

    def mlp(name: str) -> Callable:
        def run(x: Tensor, weights: Sequence[Tensor], activation: str) -> Tensor:
            y = kernels[name](x, weights, activation)
            rows = int(x.any(1).sum())
            move(rows, x, y)
            own = kernels[name] is cpu.mlp and cpu.is_narrow(x, weights, activation)
            if own or kernels[name] not in (reference.mlp, cpu.mlp):
                counts["fused flops"] += fused_flops(rows, weights)
            return y

        return run

    def composite(sdf: Tensor, rgb: Tensor, t: Tensor, offsets: Tensor, inv_s: Any) -> Any:
        seen = kernels["composite"](sdf, rgb, t, offsets, inv_s)
        move(int(offsets[-1]), sdf, rgb, t)
        move(len(offsets) - 1, *seen)
        return seen

    def visible_samples(sdf: Tensor, t: Tensor, offsets: Tensor, *numbers: Any) -> Tensor:
        visible = kernels["visible_samples"](sdf, t, offsets, *numbers)
        move(int(offsets[-1]), sdf, t, visible.view(len(sdf), -1))
        return visible

    return {
        "march": march, "articulated_lookup": articulated_lookup, "part_encoding": part_encoding, "composite": composite,
        "visible_samples": visible_samples, "decoder_mlp": mlp("decoder_mlp"), "pose_mlp": mlp("pose_mlp"),
    }  # fmt: skip


def fused_flops(rows: int, weights: Sequence[Tensor]) -> int:
    """Estimated operations of an MLP for so many samples: as many as torch's would take, what is computed twice once."""
    passes = 3 if torch.is_grad_enabled() else 1
    return 2 * passes * rows * sum(weight.numel() for weight in weights)
