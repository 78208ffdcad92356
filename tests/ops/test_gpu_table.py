"""Triton's kernels are compiled for GPUs that are not there: they fit, and take what docs/gpu_table.csv says."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CASES = "8-64x1-4|any|1 part"  # every kernel once; the tool has the others


def rows(path):
    """{(kernel, case): {column: what it takes}}"""
    with path.open(newline="", encoding="utf-8") as file:
        return {(row.pop("kernel"), row.pop("case")): row for row in csv.DictReader(file)}


def test_kernels_fit_and_take_what_the_table_says(tmp_path):
    """Also where there is one part, so that a number of parts or tiles is 1: Triton would make a constant of it."""
    triton = pytest.importorskip("triton", reason="triton is not installed")
    written = tmp_path / "table.csv"
    command = [
        sys.executable,
        ROOT / "tools/gpu_table.py",
        "--chips",
        "90",
        "--cases",
        f"^({CASES})$",
        "--write",
        written,
    ]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found, column = rows(written), f"{triton.__version__} sm_90"
    kernels = {kernel for kernel, _ in found}
    sources = [path.parent.name for path in (ROOT / "wim_fast/ops").glob("*/triton.py")]
    assert {kernel.split(".")[0] for kernel in kernels} == set(sources) - {"ellipsoid"}  # which others inline
    recorded = rows(ROOT / "docs/gpu_table.csv")
    for row, taken in found.items():
        assert row in recorded
        assert taken[column] == recorded[row].get(column, taken[column]), row
