"""Matrices from YAML files that OpenCV's FileStorage wrote."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wim_fast.errors import UserError
from wim_fast.recordings.calibration.calibrated import read_text

_MATRIX = re.compile(
    r"^\s*([\w-]+)\s*:\s*!!opencv-matrix\s+rows\s*:\s*(\d+)\s+cols\s*:\s*(\d+)\s+dt\s*:\s*\"?\w+\"?\s+data\s*:\s*\[([^\]]*)\]",
    re.MULTILINE,
)


def read_matrices(file: Path) -> dict[str, NDArray[np.float64]]:
    """{name: (rows, columns)} of every matrix at the top level; what else is in the file is left out.

    FileStorage writes YAML 1.0 with a directive (`%YAML:1.0`) and tags that YAML parsers refuse, so the blocks
    `name: !!opencv-matrix`, `rows`, `cols`, `dt`, `data: [...]` are looked for by themselves.
    """
    text = read_text(file)
    found: dict[str, NDArray[np.float64]] = {}
    for name, rows, columns, data in _MATRIX.findall(text):
        try:
            values = np.array([float(v) for v in data.split(",")]) if data.strip() else np.zeros(0)
            found[name] = values.reshape(int(rows), int(columns))
        except (ValueError, OverflowError) as error:
            raise UserError(
                file, f"{name} is not a matrix of {rows} x {columns} ({error})", "write the file again"
            ) from None
        if not np.isfinite(found[name]).all():
            raise UserError(file, f"{name} is not finite", "calibrate this camera again or leave it out")
    if not found:
        raise UserError(file, "holds no matrices", "it must be a file that OpenCV's FileStorage wrote")
    return found
