"""What a training ran on: the machine, the versions, and the commit of wim-fast if it is a checkout."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from wim_fast import __version__
from wim_fast.files import write_atomic
from wim_fast.ops.backend import Backend

CHECKOUT = Path(__file__).resolve().parents[2]


def write_machine(path: Path, backend: Backend, step: int) -> None:
    """machine.json: a list with an entry for each time that training began or went on. Raises OSError.

    Args:
        step: the one that it begins from; entries of this and later steps are replaced.
    """
    earlier = [entry for entry in read_machines(path) if entry["from_step"] < step]
    write_atomic(path, (json.dumps([*earlier, machine_facts(backend, step)], indent=1) + "\n").encode())


def read_machines(path: Path) -> list[dict[str, Any]]:
    """The entries of a machine.json; none if it is missing or damaged."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    entries = entries if isinstance(entries, list) else []
    return [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("from_step"), int)]


def machine_facts(backend: Backend, step: int) -> dict[str, Any]:
    """Of this machine, now; for JSON."""
    gpu = torch.cuda.get_device_name(backend.device) if backend.device.type == "cuda" else None
    return {
        "from_step": step,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": gpu,
        "backend": backend.name,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "wim_fast": __version__,
        "commit": commit(),
    }


def processor_name() -> str:
    """As the maker calls it, where the system says so."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def commit() -> str | None:
    """Of wim-fast, with `-dirty` behind it where files differ from it; None unless it is a checkout of git."""
    if not (CHECKOUT / ".git").exists():
        return None
    command = ["git", "-C", str(CHECKOUT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, env=environment)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
