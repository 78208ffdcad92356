"""Pieces, tunnels and cavities of solids whose numbers are known, and of a trained model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from trained_run import TinyRun

from wim_fast.cli import main
from wim_fast.runs.topology import Topology, topology

POINTS = np.stack(np.meshgrid(*[np.linspace(-1, 1, 60)] * 3, indexing="ij"), axis=-1)
X, Y, Z = np.moveaxis(POINTS, -1, 0)
RING = np.hypot(np.hypot(X, Y) - 0.6, Z) < 0.2


def ball(center: tuple[float, float, float], radius: float) -> np.ndarray:
    """The points inside of it."""
    return np.linalg.norm(POINTS - center, axis=-1) < radius


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        (np.zeros_like(RING), (0, 0, 0)),
        (np.ones_like(RING), (1, 0, 0)),  # to the grid's border
        (ball((0, 0, 0), 0.5), (1, 0, 0)),
        (RING, (1, 1, 0)),
        (RING | (np.hypot(Y, Z) < 0.15) & (np.abs(X) < 0.6), (1, 2, 0)),  # a wheel with one spoke
        (RING | ball((0, 0, 0.7), 0.25) & ~ball((0, 0, 0.7), 0.15), (2, 1, 1)),
        (RING & (X < 0.3), (1, 0, 0)),
    ],
)
def test_known_solids(inside: np.ndarray, expected: tuple[int, int, int]) -> None:
    found = topology(inside)
    assert found == Topology(*expected)
    assert found.euler == expected[0] - expected[1] + expected[2]


def test_specks_do_not_count() -> None:
    spoiled = RING.copy()
    spoiled[0, 0, 0] = True  # a piece
    spoiled[tuple(np.argwhere(np.hypot(np.hypot(X, Y) - 0.6, Z) < 0.05)[0])] = False  # a cavity
    assert topology(spoiled) == topology(RING)


def test_the_command(tiny_run: TinyRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tiny_run.path), "--holes", "--frames", "0:2"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    numbers = [[int(x) for x in row] for row in rows if row and all(x.lstrip("-").isdigit() for x in row)]
    assert len(numbers) == 2
    assert all(row[1] >= 1 and row[4] == row[1] - row[2] + row[3] for row in numbers)


def test_it_writes_no_picture_and_bends_nothing(tiny_run: TinyRun, tmp_path: Path) -> None:
    picture = tmp_path / "holes.png"
    assert main(["check", str(tiny_run.path), "--holes", "--output", str(picture)]) != 0
    with pytest.raises(SystemExit):
        main(["check", str(tiny_run.path), "--holes", "--bends"])
    assert not picture.exists()
    assert main(["check", str(tiny_run.path), "--holes", "--parts-found", "3"]) != 0
