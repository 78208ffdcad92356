"""How many samples the arrays of fixed size have room for: measured before the first step, watched, and grown.

A GPU that never waits for the host cannot make its arrays as long as there are samples. How many there are grows with the
sharpness of the surface and the resolution, so no fixed number would do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from wim_fast.training.step_report import StepReport

AHEAD = 1.4  # times what was needed so far
LOW = 1.1  # times what is needed: with less room left it grows
MULTIPLE = 64  # rows come in multiples of this


class Room(NamedTuple):
    """Rows of the arrays of samples; None: exactly as many as there are samples."""

    marched: int | None = None
    decoded: int | None = None

    @classmethod
    def for_rays(cls, num_rays: int, marched_per_ray: float, decoded_per_ray: float) -> Room:
        return cls(_rows(num_rays * marched_per_ray), _rows(num_rays * decoded_per_ray))

    def measured(self, reports: Sequence[StepReport]) -> Room:
        """What steps suggest that were taken with this room, the fullest of them: more than this, or less."""
        return self if self == EXACT else Room(*(_rows(AHEAD * rows) for rows in needed(reports)))

    def grown(self, reports: Sequence[StepReport]) -> Room:
        """This room, or more of it where one of these steps left little."""
        if self.marched is None or self.decoded is None:
            return self
        marched, decoded = needed(reports)
        return Room(_enough(self.marched, marched), _enough(self.decoded, decoded))


EXACT = Room()


def needed(reports: Sequence[StepReport]) -> tuple[float, float]:
    """Samples marched and decoded in the fullest of some steps. Of those dropped while marching, as large a share shows."""
    marched = max(report.num_marched + report.num_marched_dropped for report in reports)
    decoded = max(
        (report.num_samples + report.num_dropped - report.num_marched_dropped)
        * (1 + report.num_marched_dropped / max(report.num_marched, 1))
        for report in reports
    )
    return marched, decoded


def _enough(rows: int, wanted: float) -> int:
    return rows if LOW * wanted <= rows else _rows(AHEAD * wanted)


def _rows(wanted: float) -> int:
    return MULTIPLE * max(1, -(-round(wanted) // MULTIPLE))
