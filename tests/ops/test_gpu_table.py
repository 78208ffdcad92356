"""Triton's kernels are compiled for GPUs that are not there: they fit, and take what docs/gpu_table.csv says."""

import ast
import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs/gpu_table.csv"
CASES = "any"  # nine kernels of four ops, quickly compiled; the tool has all


def rows(path):
    """{(kernel, case): {column: what it takes}}"""
    with path.open(newline="", encoding="utf-8") as file:
        return {(row.pop("kernel"), row.pop("case")): row for row in csv.DictReader(file)}


def launched():
    """ "op.kernel" of the compiled functions that no other one calls."""
    compiled, called = {}, set()
    for path in (ROOT / "wim_fast/ops").glob("*/triton.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and any(
                "jit" in ast.unparse(d) for d in node.decorator_list
            ):
                compiled[node.name, path.parent.name] = f"{path.parent.name}.{node.name.strip('_')}"
                called |= {ast.unparse(n.func) for n in ast.walk(node) if isinstance(n, ast.Call)}
    return {kernel for (name, _), kernel in compiled.items() if name not in called}


def test_every_kernel_is_in_the_table():
    """In some case compiled by every Triton for every chip, and none spills."""
    table = rows(TABLE)
    assert {kernel for (kernel, _), taken in table.items() if all(taken.values())} == launched()
    cells = [cell for taken in table.values() for cell in taken.values() if cell]
    assert {cell.split("/")[1] for cell in cells} == {"0"}


def test_kernels_take_what_the_table_says(tmp_path):
    triton = pytest.importorskip("triton", reason="triton is not installed")
    written = tmp_path / "table.csv"
    options = ["--chips", "90", "--cases", f"^({CASES})$", "--write", written]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(
        [sys.executable, ROOT / "tools/gpu_table.py", *options],
        env={**os.environ, "PYTHONPATH": path, "TRITON_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found, recorded, column = rows(written), rows(TABLE), f"{triton.__version__} sm_90"
    for row, taken in found.items():
        assert row in recorded
        assert taken[column] == recorded[row].get(column, taken[column]), row
