"""Whether a GPU's kernels can be trusted: they are tested before they first run there, and the pass is remembered.

The test (`ops/self_test.py`) runs in a process of its own: a kernel that crashes takes the GPU's context with it, and one
that hangs is stopped.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from wim_fast import __version__
from wim_fast.files import cache_folder, sources_digest, write_atomic

PATIENCE = 600.0  # seconds that the test may take, with the compilation of all kernels
REPORT = "https://github.com/wim-fast/wim-fast/issues"


def gpu_problems(device_index: int) -> list[str]:
    """What is wrong with Triton's kernels on this GPU, a line each; none if they pass, or did with the same versions."""
    return remembered(gpu_facts(device_index), lambda: tested("triton", device_index))


def gpu_facts(device_index: int) -> dict[str, Any]:
    """All that a pass of the test hangs on."""
    import torch
    import triton

    return {
        "wim-fast": __version__,
        "sources": sources_digest(Path(__file__).parent),
        "torch": torch.__version__,
        "triton": triton.__version__,
        "CUDA": torch.version.cuda,
        "GPU": torch.cuda.get_device_name(device_index),
        "capability": list(torch.cuda.get_device_capability(device_index)),
    }


def remembered(facts: dict[str, Any], test: Callable[[], list[str]], record: Path | None = None) -> list[str]:
    """What `test()` finds wrong, unless it found nothing for the same facts before. A failure is not remembered.

    record: the file that remembers; None: one in the user's cache.
    """
    text = json.dumps(facts, indent=1, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    path = record or cache_folder() / "self-test" / f"{digest}.json"
    with suppress(OSError, UnicodeDecodeError):
        if path.read_text(encoding="utf-8") == text:
            return []
    problems = test()
    if not problems:
        with suppress(OSError):  # it is tested again next time
            write_atomic(path, text.encode())
    return problems


def tested(name: str, device_index: int) -> list[str]:
    """What the self-test of a backend says, from a process of its own; how that ended, if it did not say anything."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "failures.json"
        command = [sys.executable, "-m", "wim_fast.ops.self_test", name, str(device_index), str(answer)]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        except subprocess.TimeoutExpired:
            return [f"the self-test hangs: it has not ended after {PATIENCE:.0f} s"]
        except OSError as error:
            return [f"the self-test cannot be started: {error}"]
        if answer.is_file():
            return json.loads(answer.read_text(encoding="utf-8"))
    lines = ended.stderr.strip().splitlines() or ["it says nothing"]
    return [f"the self-test ended with status {ended.returncode}: {lines[-1][:300]}"]
