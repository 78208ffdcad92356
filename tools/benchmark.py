"""Times a training step and an image on this machine, and beside them the paper's own step on rays drawn alike.

Each backend is measured in a process of its own, so that its memory is its own and its failure does not stop the
others. With one thread, seconds on the CPU are those of the processor, which other work on the machine disturbs
little; with more, and on a GPU, they are those of the clock on the wall. The stages of a step are always on the wall,
as the profiler has it, and the least of several steps: other work on the machine only adds to them.

python tools/benchmark.py                              # the embedded dog, 20 parts, 4 x 384 rays; minutes
python tools/benchmark.py --backend each --skip-growth # every backend that runs here
python tools/benchmark.py --beside 1 --parts 10        # how much slower a step is while another program is busy
python tools/benchmark.py --to-quality                 # seconds until novel views have 25 and 27 dB; an hour
python tools/benchmark.py --to-quality --scene FOLDER --parts 10 --train-cameras 0 1 2 3 4 --against OTHER_CHECKOUT
python tools/benchmark.py --backend triton tcnn --paper-batch --scene FOLDER --json results.json
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import traceback
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numba
from backend_timing import Results, measure
from benchmark_tables import console, show_backend, table
from beside import measure_beside
from machine_limits import machine
from to_quality import to_quality

from wim_fast.errors import UserError
from wim_fast.ops.backend import BACKENDS

PAPER_BATCH = {"images": 16, "rays": 384, "size": 512, "parts": 20}


def main() -> int:
    args = arguments()
    if args.to_quality:
        found = to_quality(args)
        if args.json:
            args.json.write_text(json.dumps(found, indent=2) + "\n")
        return 0
    os.environ.setdefault(
        "KINETO_LOG_LEVEL", "6"
    )  # the profiler of the processes below says when it starts and stops
    results: Results = {
        "machine": machine() | {"threads": args.threads},
        "scene": args.scene,
        "batch": {name: getattr(args, name) for name in PAPER_BATCH},
        "backends": {}, "unavailable": {}, "failed": {},
    }  # fmt: skip
    table("Machine", ["", ""], results["machine"].items())
    each = "each" in args.backend
    for name in BACKENDS[1:] if each else args.backend:
        try:
            measured = measure_alone(name, args)
        except UserError as error:
            results["unavailable"][name] = str(error)
            console.print(f"[bold]{name}[/bold] cannot run here: {error}\n", highlight=False)
        except Exception as error:
            results["failed"][name] = repr(error)
            traceback.print_exc()
        else:
            results["backends"][measured["backend"]] = measured
            show_backend(measured)
        if args.json:
            args.json.write_text(json.dumps(results, indent=2) + "\n")
    return 1 if results["failed"] or (results["unavailable"] and not each) else 0


def measure_alone(name: str, args: argparse.Namespace) -> Results:
    """`measure`, or `measure_beside`, in a new process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(measure_beside if args.beside else measure, name, args).result()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--backend", nargs="+", default=["auto"], choices=("each", *BACKENDS), metavar="NAME",
        help=f"{', '.join(BACKENDS)}; each: all that can run here",
    )  # fmt: skip
    parser.add_argument("--scene", default="dog", help="a scene that ships with wim-fast, or a folder")
    parser.add_argument("--train-cameras", type=int, nargs="+", help="default: as its configuration says")
    parser.add_argument("--parts", type=int, default=20)
    parser.add_argument("--images", type=int, default=4, help="images per step")
    parser.add_argument("--rays", type=int, default=384, help="rays per image")
    parser.add_argument("--size", type=int, default=128, help="longer image side")
    paper_batch = ", ".join(f"{name} {value}" for name, value in PAPER_BATCH.items())
    parser.add_argument("--paper-batch", action="store_true", help=f"the paper's sizes: {paper_batch}")
    parser.add_argument("--threads", type=int, help="default: 1; all with --beside")
    parser.add_argument(
        "--beside", type=int, metavar="N",
        help="measure this alone: steps beside N busy processes, and without them, in turn",
    )  # fmt: skip
    parser.add_argument(
        "--warm-steps", type=int, default=300, help="steps of training before anything is timed"
    )
    parser.add_argument("--repeats", type=int, default=40, help="steps that are timed (on a GPU, times 20)")
    parser.add_argument(
        "--images-timed", type=int, default=9, help="whole images; 0 for none (with torch there are none)"
    )
    parser.add_argument("--paper-repeats", type=int, default=3, help="steps of the paper that are timed")
    parser.add_argument("--skip-paper", action="store_true")
    parser.add_argument("--skip-growth", action="store_true", help="leave out rays, parts and resolutions")
    quality = parser.add_argument_group("with --to-quality")
    quality.add_argument("--to-quality", action="store_true", help="measure this alone, at 1 and 2 threads")
    quality.add_argument("--goals", type=float, nargs="+", help="dB; default: 25 27 for the dog, else 28 30")
    quality.add_argument(
        "--unseen-cameras", type=int, nargs="+", help="default: the test cameras, or all others"
    )
    quality.add_argument("--unseen-frames", help="for instance 0:60:6; default: some of those trained on")
    quality.add_argument("--against", type=Path, help="a checkout of other code, trained in turn with this")
    quality.add_argument("--first-iterations", type=int, default=500, help="of the shortest run")
    quality.add_argument("--most-iterations", type=int, default=16000, help="give up after a run of so many")
    parser.add_argument("--json", type=Path, help="write all numbers to this file")
    args = parser.parse_args()
    if args.threads is None and not args.to_quality:
        args.threads = numba.config.NUMBA_NUM_THREADS if args.beside else 1
    if args.paper_batch:
        vars(args).update(PAPER_BATCH)
    return args


if __name__ == "__main__":
    sys.exit(main())
