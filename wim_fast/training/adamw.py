"""Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor


@contextmanager
def _without_denormals() -> Iterator[None]:
    """Floats under 1.2e-38 are 0 on the calling thread, the only one that steps (`computing_threads`), where it can.

    The mean of the gradients of a feature that no ray reads any more shrinks by a tenth a step, to 6e-45, where it is
    rounded to itself for good. Arithmetic with such floats takes many times as long.
    """
    before = bool(np.float32(1e-38) * np.float32(0.01) == 0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


class AdamW:
    """Steps and state are those of `torch.optim.AdamW(fused=True)`, to the bit, but for moments under 1.2e-38: they are 0.

    A step is torch's kernel alone. torch's own class loads its compiler when it is made, which takes longer than a small
    training, and does more round the kernel than in it, for each group, on the CPU.

    Attributes:
        param_groups: a dict for each group: `params`, what `__init__` names, and whatever else it was given; `grad_scale` (),
            which its gradients are divided by first, or None.
        state: of each parameter that had a gradient: `step` (), and `exp_avg` and `exp_avg_sq` like the parameter.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        """The options hold for groups that do not say otherwise."""
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "grad_scale": None}
        self.param_groups = [{**options, **group, "params": list(group["params"])} for group in groups]
        self.state: dict[Tensor, dict[str, Tensor]] = {}

    @torch.no_grad()
    @_without_denormals()
    def step(self) -> None:
        """Change every parameter that has a gradient."""
        changed = [[p for p in group["params"] if p.grad is not None] for group in self.param_groups]
        steps = [self._state_of(p)["step"] for parameters in changed for p in parameters]
        if steps:
            torch._foreach_add_(steps, 1)
        for group, parameters in zip(self.param_groups, changed, strict=True):
            if not parameters:
                continue
            states = [self.state[p] for p in parameters]
            means, squares, steps = ([s[name] for s in states] for name in ("exp_avg", "exp_avg_sq", "step"))
            beta1, beta2 = group["betas"]
            torch._fused_adamw_(
                parameters, [p.grad for p in parameters], means, squares, [], steps, lr=group["lr"], beta1=beta1, beta2=beta2,
                weight_decay=group["weight_decay"], eps=group["eps"], amsgrad=False, maximize=False,
                grad_scale=group["grad_scale"],
            )  # fmt: skip

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self._parameters():
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """In torch's form, without the options: the state by the parameters' numbers, and which these are in each group."""
        parameters = self._parameters()
        number = {parameter: k for k, parameter in enumerate(parameters)}
        groups = [
            {"params": [number[parameter] for parameter in group["params"]]} for group in self.param_groups
        ]
        return {
            "state": {number[p]: self.state[p] for p in parameters if p in self.state},
            "param_groups": groups,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Put the state back, also from another device; options stay. ValueError if it is not one of these parameters."""
        parameters = self._parameters()
        state, sizes = saved["state"], [len(group["params"]) for group in saved["param_groups"]]
        if sizes != [len(group["params"]) for group in self.param_groups] or not isinstance(state, dict):
            raise ValueError("the optimiser's state is of other parameters")
        self.state = {}
        for number, kept in state.items():
            if not isinstance(number, int) or not 0 <= number < len(parameters) or not isinstance(kept, dict):
                raise ValueError("the optimiser's state is of other parameters")
            self.state[parameters[number]] = _restored(kept, parameters[number])

    def _parameters(self) -> Sequence[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def _state_of(self, parameter: Tensor) -> dict[str, Tensor]:
        if parameter not in self.state:
            self.state[parameter] = {
                "step": torch.zeros((), device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
        return self.state[parameter]


def _restored(kept: dict[str, Any], parameter: Tensor) -> dict[str, Tensor]:
    """The state of one parameter, a copy of its own."""
    shapes = {"step": torch.Size(), "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}
    for name, shape in shapes.items():
        value = kept.get(name)
        if not isinstance(value, Tensor) or value.shape != shape or not value.is_floating_point():
            raise ValueError(f"the optimiser's {name} is of other parameters")
    return {name: kept[name].to(parameter.device, torch.float32, copy=True) for name in shapes}
