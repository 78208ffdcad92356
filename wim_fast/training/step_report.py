"""What is worth logging of a step that was taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

NUMBERS = "squared_error", "num_samples", "num_dropped", "num_marched", "num_marched_dropped"


class StepReport(NamedTuple):
    """Loss terms and counts of a step. Reading any waits for the GPU: see `on_host`."""

    names: tuple[str, ...]  # of the loss terms
    values: Tensor  # (n + 5,): n weighted terms, then `NUMBERS`
    num_rays: int

    @classmethod
    def of(cls, names: Sequence[str], terms: Tensor, num_rays: int, numbers: Sequence[Tensor]) -> StepReport:
        """From weighted terms (n,), and 0-dim tensors: `NUMBERS`, the counts among them int64."""
        squared_error, *counts = numbers
        values = torch.cat([terms.detach(), squared_error[None], torch.stack(counts).float()])
        return cls(tuple(names), values, num_rays)

    def _number(self, name: str) -> float:
        return float(self.values[NUMBERS.index(name) - len(NUMBERS)])

    @property
    def losses(self) -> dict[str, float]:
        return dict(zip(self.names, self.values.tolist(), strict=False))

    @property
    def squared_error(self) -> float:
        """Mean over the rays, on the batch's backgrounds."""
        return self._number("squared_error")

    @property
    def num_samples(self) -> int:
        """Decoded with gradients."""
        return round(self._number("num_samples"))

    @property
    def num_dropped(self) -> int:
        """For want of room in arrays of fixed size."""
        return round(self._number("num_dropped"))

    @property
    def num_marched(self) -> int:
        """Found along the rays, some steps apart: they tell which samples show."""
        return round(self._number("num_marched"))

    @property
    def num_marched_dropped(self) -> int:
        """Those dropped before it was known whether they show."""
        return round(self._number("num_marched_dropped"))


def on_host(reports: Sequence[StepReport]) -> list[StepReport]:
    """The same reports with their values in the host's memory, by one copy: a GPU is waited for once."""
    if not reports:
        return []
    values = torch.cat([report.values for report in reports]).cpu()
    parts = values.split([len(report.values) for report in reports])
    return [report._replace(values=part) for report, part in zip(reports, parts, strict=True)]
