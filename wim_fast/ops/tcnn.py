"""tiny-cuda-nn computes, we keep the parameters: the part encoding and the MLP with `tinycudann` behind them.

Its modules are called with flat parameters made from ours at each call by differentiable copies, so gradients come back
in our shapes and checkpoints are the same whatever computes. What its flat parameters are (tiny-cuda-nn's grid.h,
common_device.h, fully_fused_mlp.cu and cpp_api.cu):

- grid: level after level, entry after entry, the features of an entry side by side; levels are rounded up to 8 entries.
  Level l has ``scale = exp2(l log2(per_level_scale)) base_resolution - 1`` in float32 and ``ceil(scale) + 1`` points a
  side, dense where ``side^3`` entries fit and hashed from there on.
- MLP: row-major (out, in) matrices one after another; the first is padded to a multiple of 16 columns (where the input
  is padded with ones) and the last to a multiple of 16 rows.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import pad

from wim_fast.errors import UserError
from wim_fast.ops.part_encoding.reference import FEATURES, MIN_WEIGHT, Atlas, GridLayout, atlas_positions

ALIGNMENT = 16
WIDTHS = (16, 32, 64, 128)  # of FullyFusedMLP
INSTALL = (
    'with the CUDA toolkit of your PyTorch: pip install "setuptools<81" wheel ninja, then pip install --no-build-isolation '
    "git+https://github.com/NVlabs/tiny-cuda-nn/#subdirectory=bindings/torch"
)
COTANGENT = 1024.0  # what the absolute cotangents of a call to the MLP are scaled to add up to, see `_Scaled`
_ACTIVATIONS = {"relu": "ReLU", "tanh": "Tanh"}


def tinycudann() -> Any:
    """The module `tinycudann`; a UserError that says how to install it where it cannot be imported."""
    try:
        import tinycudann
    except ImportError as error:
        raise UserError("tinycudann", f"tiny-cuda-nn is not installed ({error})", INSTALL) from error
    except OSError as error:  # without a GPU, or built for another one
        raise UserError(
            "tinycudann",
            f"tiny-cuda-nn does not run here: {error}",
            "it needs an NVIDIA GPU and PyTorch with CUDA",
        ) from error
    return tinycudann


def hash_grid_config(layout: GridLayout) -> dict:
    """The encoding configuration with which tiny-cuda-nn lays out its table exactly as `layout`.

    tiny-cuda-nn computes resolutions in float32. Where a level would round to another number of points than ours, a growth
    that differs in the seventh digit makes it right; ValueError where none does.
    """
    levels = layout.num_levels
    sizes = np.diff(layout.offsets)
    base = round(layout.scales[0] + 1)
    growth = ((layout.scales[-1] + 1) / (layout.scales[0] + 1)) ** (1 / max(levels - 1, 1))
    log2_entries = int(np.ceil(np.log2(sizes.max())))
    for change in (0.0, -1e-7, 1e-7, -2e-7, 2e-7, -5e-7, 5e-7, -1e-6, 1e-6):
        per_level_scale = float(np.float32(growth * (1 + change)))
        resolutions = tcnn_resolutions(base, per_level_scale, levels)
        entries = np.minimum((resolutions**3 + 7) // 8 * 8, 2**log2_entries)
        if tuple(resolutions) == layout.resolutions and (entries == sizes).all():
            return {
                "otype": "HashGrid",
                "n_levels": levels,
                "n_features_per_level": FEATURES,
                "log2_hashmap_size": log2_entries,
                "base_resolution": base,
                "per_level_scale": per_level_scale,
                "interpolation": "Linear",
            }
    raise ValueError(f"tiny-cuda-nn cannot lay out a hash grid with {layout.resolutions} points a side")


def tcnn_resolutions(base_resolution: int, per_level_scale: float, levels: int) -> np.ndarray:
    """Points a side of each level (L,) int64, in tiny-cuda-nn's float32 arithmetic."""
    log2 = np.log2(np.float32(per_level_scale))
    powers = np.exp2(np.arange(levels, dtype=np.float32) * log2)
    scales = powers * np.float32(base_resolution) - np.float32(1)
    return np.ceil(scales).astype(np.int64) + 1


def to_tcnn_grid(table: Tensor) -> Tensor:
    """Flat parameters of tiny-cuda-nn's grid from our `table` (entries, F): the same numbers in the same order."""
    return table.reshape(-1)


def from_tcnn_grid(flat: Tensor) -> Tensor:
    """Our table (entries, F) from flat parameters of tiny-cuda-nn's grid."""
    return flat.view(-1, FEATURES)


def to_tcnn_mlp(weights: Sequence[Tensor]) -> Tensor:
    """Flat parameters of tiny-cuda-nn's MLP from our matrices (out, in); what is padded is zero."""
    padded = list(weights)
    padded[0] = pad(padded[0], (0, -padded[0].shape[1] % ALIGNMENT))
    padded[-1] = pad(padded[-1], (0, 0, 0, -padded[-1].shape[0] % ALIGNMENT))
    return torch.cat([w.reshape(-1) for w in padded])


def from_tcnn_mlp(flat: Tensor, shapes: Sequence[tuple[int, int]]) -> list[Tensor]:
    """Our matrices, of these `shapes` (out, in), from flat parameters of tiny-cuda-nn's MLP."""
    padded = [list(s) for s in shapes]
    padded[0][1] += -padded[0][1] % ALIGNMENT
    padded[-1][0] += -padded[-1][0] % ALIGNMENT
    parts = flat.split([rows * columns for rows, columns in padded])
    return [
        part.view(*full)[:rows, :columns]
        for part, full, (rows, columns) in zip(parts, padded, shapes, strict=True)
    ]


@functools.lru_cache(maxsize=16)
def _encoding(layout: GridLayout) -> torch.nn.Module:
    return tinycudann().Encoding(3, hash_grid_config(layout), dtype=torch.float32)


@functools.lru_cache(maxsize=16)
def _network(columns: int, width: int, hidden: int, out: int, activation: str) -> torch.nn.Module:
    config = {
        "otype": "FullyFusedMLP",
        "activation": _ACTIVATIONS[activation],
        "output_activation": "None",
        "n_neurons": width,
        "n_hidden_layers": hidden,
    }
    network = tinycudann().Network(columns, out, config)
    network.loss_scale = 1.0  # `_Scaled` does it
    return network


def part_encoding(
    local: Tensor, part_ids: Tensor, part_weights: Tensor, table: Tensor, layout: GridLayout, atlas: Atlas
) -> Tensor:
    """See ``reference.part_encoding``; tiny-cuda-nn's grid in float32, the weighted sum over the parts in torch.

    Only parts that are read go to the grid: padding would add its zeros to the gradients of the same few entries, one
    after another. The host waits to learn how many there are.
    """
    sample, slot = (part_weights >= MIN_WEIGHT).nonzero().unbind(1)
    positions = atlas_positions(local[sample, slot], part_ids[sample, slot], atlas)
    features = positions.new_zeros(0, layout.num_levels * FEATURES)
    if len(positions):
        features = functional_call(_encoding(layout), {"params": to_tcnn_grid(table)}, (positions,))
    weighted = features * part_weights[sample, slot, None]
    return weighted.new_zeros(len(local), weighted.shape[1]).index_add(0, sample, weighted)


class _Scaled(torch.autograd.Function):
    """A network in half precision, with gradients that neither vanish nor overflow in it.

    tiny-cuda-nn multiplies cotangents by its loss scale when they are half already: those below 3e-8 are zero by then.
    So they are scaled here, in float32. Gradients of weights are sums over the samples, in half too, so what is scaled
    to a fixed number is the sum of the cotangents' sizes: 1024 leaves each of 65 536 samples far above the smallest
    half, and the gradients below the largest as long as hidden values are below 60.
    """

    @staticmethod
    def forward(ctx, network, x, params):  # type: ignore[override]
        with torch.enable_grad():
            inputs = [t.detach().requires_grad_(t.requires_grad) for t in (x, params)]
            out = functional_call(network, {"params": inputs[1]}, (inputs[0],))
        ctx.inputs, ctx.out = inputs, out
        return out.detach().float()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g_out):  # type: ignore[override]
        unit = g_out.abs().sum().clamp_min(torch.finfo(torch.float32).tiny) / COTANGENT
        wanted = [t for t in ctx.inputs if t.requires_grad]
        grads = iter(torch.autograd.grad(ctx.out, wanted, (g_out / unit).to(ctx.out.dtype)))
        return None, *(next(grads).float() * unit if t.requires_grad else None for t in ctx.inputs)


def mlp(x: Tensor, weights: Sequence[Tensor], activation: str) -> Tensor:
    """See ``mlp.reference.mlp``; tiny-cuda-nn's fully fused MLP: half precision, hidden layers of one width."""
    width, columns = weights[0].shape
    if width not in WIDTHS or len(weights) < 2 or any(len(w) != width for w in weights[:-1]):
        raise ValueError(f"tiny-cuda-nn's fused MLP has hidden layers of one width out of {WIDTHS}")
    network = _network(columns, width, len(weights) - 1, len(weights[-1]), activation)
    return _Scaled.apply(network, x, to_tcnn_mlp(weights))
