"""What `benchmark.py` prints of a backend."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

console = Console()
Results = dict[str, Any]


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows of text; numbers are right-aligned."""
    out = Table(title=title, title_justify="left", width=78)
    for i, name in enumerate(columns):
        out.add_column(name, justify="right" if i else "left")
    for row in rows:
        out.add_row(*(str(cell) for cell in row))
    console.print(out)
    console.print()


def show_backend(results: Results) -> None:
    console.rule(f"{results['backend']} on {results['device']}")
    if "beside" in results:
        show_beside(results["beside"])
        return
    show_stages(results["step"])
    show_rates(results["step"], results["limits"])
    show_rest(results)
    if "paper" in results:
        show_paper(results["paper"])
    if "growth" in results:
        show_growth(results["growth"])


def show_stages(step: Results) -> None:
    total = sum(step["stages"].values())
    rows = [[stage, milliseconds(s), f"{s / total:.0%}"] for stage, s in step["stages"].items() if s > 0]
    title = f"Stages of a step that is not recorded: {milliseconds(total)} ms under the profiler"
    table(title, ["stage", "ms", "share"], rows)


def show_rates(step: Results, limits: Results) -> None:
    flops = step["matrix_flops"] + step["fused_flops"]
    table("One step", ["", "step", "per second"], [
        ["ms, as it is", milliseconds(step["eager_seconds"]), f"{1 / step['eager_seconds']:,.1f}"],
        *([["ms, recorded", milliseconds(step["recorded_seconds"]), f"{1 / step['recorded_seconds']:,.1f}"]]
          if step["recorded_seconds"] else []),
        ["minutes for 200 000 steps", f"{step['minutes_for_200000']:.1f}", ""],
        ["rays", step["rays"], f"{step['rays_per_second']:,.0f}"],
        ["samples marched", step["marched"], f"{step['samples_per_second']:,.0f}"],
        ["samples decoded with gradients", step["decoded"], ""],
        ["samples dropped (in training before)", f"{step['dropped']} ({step['dropped_in_training']})", ""],
        ["FLOP in matrix products", f"{flops:.2e}", f"{step['flops_per_second']:.2e}"],
        ["  of these in fused MLPs, estimated", f"{step['fused_flops']:.2e}", ""],
        ["bytes moved, estimated from below", f"{step['bytes']:.2e}", f"{step['bytes_per_second']:.2e}"],
    ])  # fmt: skip
    of_limits = [
        ["FLOP in float32 matrix products", step["flops_per_second"], limits["float32_flops_per_second"]],
        ["FLOP in half matrix products", step["flops_per_second"], limits["half_flops_per_second"]],
        ["bytes copied, read and written", step["bytes_per_second"], limits["bytes_per_second"]],
    ]
    table("Limits of the machine, measured in the same run", ["", "per second", "reached"], [
        [what, f"{limit:.2e}", f"{reached / limit:.1%}"] for what, reached, limit in of_limits if limit
    ])  # fmt: skip


def show_rest(results: Results) -> None:
    image, memory = results["image_seconds"], results["memory"]
    text = f"An image: {1e3 * image:.0f} ms. " if image else ""
    text += f"Peak memory, training included: {memory_text(memory)}."
    console.print(text + "\n", highlight=False)


def show_paper(paper: Results) -> None:
    rows = [
        ["wim-fast", f"{milliseconds(paper['our_seconds'])} ms", ""],
        ["the paper's network", f"{paper['seconds']:.2f} s", f"{paper['samples']:,} samples"],
        ["ratio", f"{paper['ratio']:.0f}", ", ".join(f"{r:.0f}" for r in paper["ratios"])],
        ["its FLOP in matrix products", f"{paper['matrix_flops']:.2e}", ""],
        ["peak memory with it", memory_text(paper["memory"]), ""],
    ]
    table(f"{paper['rays']} rays, in turn", ["", "", ""], rows)


def show_beside(measured: Results) -> None:
    rates = {"alone": measured["alone"], f"beside {measured['processes']} busy": measured["beside"]}
    rows = [
        [what, f"{statistics.median(each):.1f}", ", ".join(f"{rate:.1f}" for rate in each)]
        for what, each in rates.items()
    ]
    rows.append(["times slower", f"{measured['slower']:.2f}", "median of neighbours in time"])
    table("Thousand rays per second in whole steps, in turn", ["", "median", ""], rows)


def show_growth(growth: Results) -> None:
    for what, column in growth.items():
        base = next(iter(column.values()))["seconds"]
        columns = [what, "ms", "times the first", "samples marched", "decoded", "dropped", "image ms"]
        table(f"Growth with {what}", columns, [
            [n, milliseconds(r["seconds"]), f"{r['seconds'] / base:.2f}", r["marched"], r["decoded"], r["dropped"],
             milliseconds(r["image_seconds"]) if r.get("image_seconds") else ""]
            for n, r in column.items()
        ])  # fmt: skip


def milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.2f}"


def memory_text(memory: Results) -> str:
    on_device = "" if memory["device"] is None else f", {memory['device']:.0f} MiB on the GPU"
    return f"{memory['host']:.0f} MiB{on_device}"
