import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from numba import njit, prange

import wim_fast
from wim_fast.files import sources_digest
from wim_fast.ops.compiled import STAMP, claim, discard_stale


def test_digest_follows_every_source(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "a.py").write_text("x = 1")
    (tmp_path / "inner" / "b.py").write_text("y = 2")
    digests = [sources_digest.__wrapped__(tmp_path)]
    assert sources_digest.__wrapped__(tmp_path) == digests[0]
    (tmp_path / "inner" / "b.py").write_text("y = 3")
    digests.append(sources_digest.__wrapped__(tmp_path))
    (tmp_path / "inner" / "b.py").rename(tmp_path / "inner" / "c.py")
    digests.append(sources_digest.__wrapped__(tmp_path))
    assert len(set(digests)) == 3


def test_only_what_is_stale_is_discarded(tmp_path):
    for name in ("fresh", "stale", "unknown"):
        cache = tmp_path / name
        cache.mkdir()
        for file in ("cpu.kernel-1.py311.nbi", "cpu.kernel-1.py311.1.nbc", "cpu.cpython-311.pyc"):
            (cache / file).write_text("")
    (tmp_path / "fresh" / STAMP).write_text("new")
    (tmp_path / "stale" / STAMP).write_text("old")
    for name in ("fresh", "stale", "unknown", "missing"):
        discard_stale(tmp_path / name, "new")
    assert len(list((tmp_path / "fresh").iterdir())) == 4
    for name in ("stale", "unknown"):
        assert {p.name for p in (tmp_path / name).iterdir()} == {STAMP, "cpu.cpython-311.pyc"}
        assert (tmp_path / name / STAMP).read_text() == "new"


def test_a_constant_of_another_file_reaches_the_kernel(tmp_path):
    """MIN_WEIGHT is compiled into a kernel from the reference beside it; a change of it takes effect."""
    shutil.copytree(
        Path(wim_fast.__file__).parent, tmp_path / "wim_fast", ignore=shutil.ignore_patterns("__pycache__")
    )
    reference = tmp_path / "wim_fast" / "ops" / "composite" / "reference.py"
    text = reference.read_text()
    assert "MIN_WEIGHT = 1e-3" in text
    program = (
        "import torch; from wim_fast.ops.composite.cpu import visible_samples as visible;"
        "sdf, t, offsets = torch.tensor([0.01, -0.001, -0.002]), torch.arange(3.0), torch.tensor([0, 3]);"
        "print(int(visible(sdf, t, offsets, 100.0, 1.0, 1).sum()))"
    )
    environment = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"}
    for constant, expected in (("1e-3", "3"), ("0.9", "0")):
        reference.write_text(text.replace("MIN_WEIGHT = 1e-3", f"MIN_WEIGHT = {constant}"))
        out = subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env=environment | {"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert out.stdout.split() == [expected]


@njit(parallel=True)
def _count_claims(times):
    turn = np.zeros(1, np.int64)
    for _ in prange(8):
        piece = claim(turn)
        while piece < len(times):
            times[piece] += 1
            piece = claim(turn)


def test_every_piece_is_claimed_once():
    times = np.zeros(10_000, np.int64)
    _count_claims(times)
    assert (times == 1).all()
