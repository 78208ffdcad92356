"""For whoever first has a GPU: everything that could not be tried without one, in one command of some minutes.

Each stage is on its own: what fails is told at once and the rest goes on. gpu_report.json holds all numbers,
gpu_report.md a table of them for docs/results.md. The exit code is 1 where something failed.

python tools/first_gpu.py                          # the embedded dog, enlarged to the paper's 512 pixels
python tools/first_gpu.py --sanitize               # compute-sanitizer over the kernels too
python tools/first_gpu.py --only kernels waiting
python tools/first_gpu.py --interpret              # the same at small sizes, in Triton's interpreter on a CPU
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpu_stages import Bench

SANITIZER = ("compute-sanitizer", "--tool", "memcheck", "--error-exitcode", "1")


def main() -> int:
    args = arguments()
    if args.interpret:
        os.environ["TRITON_INTERPRET"] = "1"
    from gpu_stages import STAGES, TINY, Bench, Sizes

    bench = Bench(args.scene, TINY if args.interpret or args.small else Sizes())
    stages = [stage for stage in STAGES if not args.only or stage.__name__ in args.only]
    if args.sanitize:
        stages.append(sanitized)
    report: dict[str, Any] = {}
    for name, outcome in run(stages, bench):
        report[name] = outcome
        said = outcome.get("reason") or json.dumps(outcome["result"])
        print(f"{outcome['status']:8}{name:14}{outcome['seconds']:7.1f} s  {said}", flush=True)
        write(report, args.output)
    failed = [name for name, outcome in report.items() if outcome["status"] == "failed"]
    print(f"failed: {', '.join(failed)}" if failed else "nothing failed")
    return 1 if failed else 0


def run(stages: Sequence[Callable[[Bench], Any]], bench: Bench) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name and the outcome of each stage, as it ends: its status (ok, skipped, failed), seconds, result or reason."""
    from gpu_stages import Skip

    for stage in stages:
        start = time.perf_counter()
        try:
            outcome = {"status": "ok", "result": stage(bench)}
        except Skip as reason:
            outcome = {"status": "skipped", "reason": str(reason)}
        except Exception as error:
            outcome = {"status": "failed", "reason": repr(error), "traceback": traceback.format_exc()}
        yield stage.__name__, outcome | {"seconds": time.perf_counter() - start}


def sanitized(bench: Bench) -> str:
    """The kernels at small sizes under compute-sanitizer, which finds accesses out of bounds."""
    from gpu_stages import Skip, needs_cuda

    needs_cuda()
    if shutil.which(SANITIZER[0]) is None:
        raise Skip(f"{SANITIZER[0]} is not there: it comes with the CUDA toolkit")
    command = [*SANITIZER, sys.executable, __file__, "--only", "kernels", "--small", "--scene", bench.scene]
    # without torch's cache of memory, arrays end where they end
    environment = {**os.environ, "PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(done.stdout[-4000:])
    return "no errors"


def write(report: dict[str, Any], folder: Path) -> None:
    """gpu_report.json and gpu_report.md."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gpu_report.json").write_text(json.dumps(report, indent=2) + "\n")
    rows = [
        f"| {name} | {outcome['status']} | {outcome['seconds']:.1f} | {row} | {text} |"
        for name, outcome in report.items()
        for row, text in cells(outcome)
    ]
    head = ["| stage | | seconds | of | measured |", "|---|---|---|---|---|"]
    (folder / "gpu_report.md").write_text("\n".join([*head, *rows]) + "\n")


def cells(outcome: dict[str, Any]) -> list[tuple[str, str]]:
    """What a table says of a stage: a row for each backend, or one."""
    if "reason" in outcome:
        return [("", " ".join(outcome["reason"].split()).replace("|", "/")[:200])]
    result = outcome["result"]
    if isinstance(result, dict) and result and all(isinstance(value, dict) for value in result.values()):
        return [(name, text(value)) for name, value in result.items()]
    return [("", text(result))]


def text(result: Any) -> str:
    """Numbers in short."""
    if isinstance(result, dict):
        return ", ".join(f"{name} {text(value)}" for name, value in result.items())
    return f"{result:.4g}" if isinstance(result, float) else str(result).replace("|", "/")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scene", default="dog", help="a scene that ships with wim-fast, or a folder")
    parser.add_argument("--only", nargs="+", metavar="STAGE", help="these stages alone")
    parser.add_argument("--sanitize", action="store_true", help="the kernels under compute-sanitizer too")
    parser.add_argument("--small", action="store_true", help="at the smallest sizes")
    parser.add_argument("--interpret", action="store_true", help="small, in Triton's interpreter on a CPU")
    parser.add_argument("--output", type=Path, default=Path(), help="folder of the report")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
