"""What Triton's kernels take of GPUs that are not there: registers, spilled bytes, shared memory, for each chip.

Every launch of the package's kernels at the shapes that the settings allow is caught and compiled, with the types,
alignments and constants that Triton finds in its arguments; nothing is run.

    python tools/gpu_table.py                          # all kernels and chips, with the Triton that is installed
    python tools/gpu_table.py --write docs/gpu_table.csv
    pip install --no-deps --target OTHER triton==3.3.1 # with another Triton:
    PYTHONPATH=OTHER python tools/gpu_table.py

It ends with status 1 if a kernel does not compile, spills, or needs more shared memory than a block of the chip has.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

os.environ.pop("TRITON_INTERPRET", None)  # it would replace the compiler

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

SHARED = {80: 166_912, 90: 232_448, 120: 101_376}  # bytes that a block can have: A100, H100, GeForce RTX 50
POSES = 16


class Row(NamedTuple):
    """One kernel in one case, compiled for one chip."""

    case: str
    kernel: str  # op.function
    chip: int  # 90 for sm_90
    registers: int
    stack: int  # bytes of registers that spilled, for each thread
    shared: int  # bytes for each block

    @property
    def fits(self) -> bool:
        return self.stack == 0 and self.shared <= SHARED[self.chip]

    def __str__(self) -> str:
        return f"{self.registers}/{self.stack}/{self.shared}"


class _Absent:
    """In the place of Triton's driver: a chip that is not there."""

    def __init__(self, chip: int) -> None:
        self.chip = chip

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", self.chip, 32)

    def get_current_device(self) -> int:
        return self.chip  # compiled kernels are kept for each device

    def get_current_stream(self, device: int) -> int:
        return 0


@contextmanager
def compiled_for(chip: int) -> Iterator[list[tuple[str, Any]]]:
    """Every launch of a kernel is compiled for `chip` and not run; yields them as they come, by the kernels' names."""
    caught: list[tuple[str, Any]] = []
    run = JITFunction.run

    def compile_only(kernel: JITFunction, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> None:
        op = kernel.fn.__module__.split(".")[-2]
        compiled = run(kernel, *args, grid=grid, warmup=True, **kwargs)
        caught.append((f"{op}.{kernel.fn.__name__.strip('_')}", compiled))

    driver.set_active(_Absent(chip))
    JITFunction.run = compile_only
    try:
        yield caught
    finally:
        JITFunction.run = run


def resources(cubin: bytes) -> tuple[int, int]:
    """Registers and bytes of stack of a compiled kernel, for each thread."""
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        text = subprocess.run(
            [tool, "--dump-resource-usage", path], check=True, capture_output=True, text=True
        )
    found = re.search(r"REG:(\d+) STACK:(\d+)", text.stdout)
    assert found, text.stdout
    return int(found[1]), int(found[2])


def measure(cases: dict[str, Callable[[], Any]], chips: list[int]) -> Iterator[Row]:
    """A row for each kernel that a case launches, on each chip."""
    for name, launch in cases.items():
        for chip in chips:
            with compiled_for(chip) as caught:
                launch()
            for kernel, compiled in dict(reversed(caught)).items():  # the first launch of each
                yield Row(name, kernel, chip, *resources(compiled.asm["cubin"]), compiled.metadata.shared)


def all_cases() -> dict[str, Callable[[], Any]]:
    """What is launched in training and rendering, at the corners of what the settings allow."""
    cases: dict[str, Callable[[], Any]] = {}
    for top_k, levels in ((2, 4), (1, 4), (3, 4), (8, 4), (2, 8)):
        cases[f"top {top_k}, {levels} levels"] = lambda k=top_k, n=levels: encode(20, k, n)
    for columns, width, hidden in ((8, 64, 1), (12, 64, 1), (16, 64, 1), (8, 32, 2), (8, 16, 3)):
        cases[f"{columns}-{width}x{hidden}-4"] = lambda c=columns, w=width, h=hidden: decode(c, w, h)
    cases["any"] = whole_rays
    cases[f"{POSES} poses"] = poses_and_cameras
    for each in (16, 1, 100, 200):
        cases[f"{each} points a part"] = lambda n=each: silhouettes(20, n)
    for parts in (20, 40, 256):
        cases[f"{parts} parts"] = lambda p=parts: (march(p), structure(p))
    for top_k in (2, 1, 3, 8):
        cases[f"top {top_k}"] = lambda k=top_k: look_up(20, k, of_points=False)
        cases[f"top {top_k}, points too"] = lambda k=top_k: look_up(20, k, of_points=True)
    cases["1 part"] = one_part
    return cases


def posed(parts: int) -> list[Tensor]:
    """Rotation, translation, semi-axes and both sharpnesses."""
    shapes = (POSES, parts, 3, 3), (POSES, parts, 3), (parts, 3), (), ()
    return [torch.zeros(shape, requires_grad=True) for shape in shapes]


def one_part() -> None:
    """A one in place of a number of parts or tiles is a number all the same: nothing new is compiled."""
    look_up(1, 1, of_points=False)
    encode(1, 1, 4)
    march(1)
    silhouettes(1, 16)
    structure(1)


def look_up(parts: int, top_k: int, of_points: bool) -> None:
    from wim_fast.ops.articulated.triton import articulated_lookup

    points, pose_ids = torch.zeros(1000, 3, requires_grad=of_points), torch.zeros(1000, dtype=torch.int32)
    found = articulated_lookup(points, pose_ids, *posed(parts), top_k)
    (found.union.sum() + found.part_weights.sum() + found.local.sum()).backward()
    if not of_points:
        with torch.no_grad():  # as images are made
            articulated_lookup(points, pose_ids, *posed(parts), top_k)


def march(parts: int) -> None:
    from wim_fast.ops.march import triton as module
    from wim_fast.ops.occupancy.triton import occupancy_grids

    occupancy_grids(*posed(parts)[:4], 0.03)
    rays = torch.zeros(100, 3), torch.zeros(100, 3), torch.zeros(100, dtype=torch.int32)
    module.march(*rays, *posed(parts), torch.zeros(100), 0.03, 0.01, 4000)


def encode(parts: int, top_k: int, levels: int) -> None:
    from wim_fast.ops.part_encoding.reference import FEATURES, grid_layout, part_atlas
    from wim_fast.ops.part_encoding.triton import part_encoding

    atlas = part_atlas(parts, 0.6, 0.1)
    layout = grid_layout(levels, round(atlas.side / 0.1) + 1, 2.0, 16)
    local, weights = (
        torch.zeros(1000, top_k, 3, requires_grad=True),
        torch.zeros(1000, top_k, requires_grad=True),
    )
    table = torch.zeros(layout.num_entries, FEATURES, requires_grad=True)
    ids = torch.zeros(1000, top_k, dtype=torch.int32)
    part_encoding(local, ids, weights, table, layout, atlas).sum().backward()


def decode(columns: int, width: int, hidden: int) -> None:
    from wim_fast.ops.mlp.triton import mlp

    sizes = [columns, *[width] * hidden, 4]
    weights = [torch.zeros(b, a, requires_grad=True) for a, b in pairwise(sizes)]
    mlp(torch.zeros(1000, columns, requires_grad=True), weights, "relu").sum().backward()


def whole_rays() -> None:
    """What has no sizes but the numbers of rays and samples."""
    composite()
    samples()
    images()


def images() -> None:
    from wim_fast.ops.image_losses.triton import image_losses
    from wim_fast.ops.pixels.reference import Draws, PixelTables
    from wim_fast.ops.pixels.triton import draw_pixels
    from wim_fast.ops.shading.triton import shade

    index, boxes = torch.zeros(2 * 3 * 8 * 8, dtype=torch.int32), torch.zeros(2, 3, 4, dtype=torch.int64)
    rgba, blocks = torch.zeros(4096, 4, dtype=torch.uint8), torch.zeros(2, 3, 4, 4, dtype=torch.bool)
    number = torch.zeros(POSES, dtype=torch.int64)
    outline, first = torch.zeros(10, dtype=torch.int32), torch.zeros(7, dtype=torch.int64)
    tiles = rgba, rgba[:, 0].contiguous()
    tables = PixelTables(index, first[:1], *tiles, *tiles, boxes, blocks, outline, first, 64, 64, 8, 16)
    draw_pixels(tables, number, number, torch.zeros(POSES, 100, 3), torch.zeros(()), Draws(10, 10, 0.5), 2.0)
    rgb, opacity = (torch.zeros(1600, *size, requires_grad=True) for size in ((3,), ()))
    losses = image_losses(
        rgb, opacity, rgb.detach(), opacity, opacity, rgb.detach(), torch.zeros(()), 100, 90
    )
    (losses.photo + losses.mask).backward()
    decoded, lighting = (torch.zeros(size, requires_grad=True) for size in ((1600, 4), (8, 3)))
    shaded = shade(decoded, opacity, rgb.detach(), lighting, 0.05)
    (shaded.sdf.sum() + shaded.rgb.sum()).backward()


def poses_and_cameras() -> None:
    """What has no sizes but the numbers of poses, cameras and points; and the losses of shape."""
    from wim_fast.ops.cameras.triton import camera_rays, corrected_cameras
    from wim_fast.ops.poses.triton import part_poses
    from wim_fast.ops.shape_losses.triton import shape_losses

    rest, numbers = torch.zeros(9 * 20, requires_grad=True), torch.zeros(5, 9, requires_grad=True)
    rotation, translation = part_poses(torch.zeros(POSES, 9 * 20), rest)
    (rotation.sum() + translation.sum()).backward()
    matrices = torch.zeros(5, 3, 3)
    corrected = corrected_cameras(numbers, matrices, matrices, matrices, torch.zeros(5, 3))
    number, pixels = torch.zeros(POSES, dtype=torch.int64), torch.zeros(POSES, 100, 2)
    origins, directions = camera_rays(*corrected[1:], number, pixels)
    (origins.sum() + directions.sum()).backward()
    taps, points = (torch.zeros(size, requires_grad=True) for size in ((4, 256), (64,)))
    light, counts = torch.zeros(256), torch.zeros(64, dtype=torch.bool)
    sum(shape_losses(taps, light, points, counts, points, counts, 0.002, torch.zeros(()))).backward()  # type: ignore[union-attr]


def structure(parts: int) -> None:
    from wim_fast.ops.merging.triton import merge_loss
    from wim_fast.ops.structure.triton import observe_distances, structure_losses

    ellipsoids, tree = posed(parts)[:3], torch.zeros(parts - 1, 2, dtype=torch.int64)
    losses = structure_losses(*ellipsoids, tree, tree, 0.75, 0.05)
    (losses.joint + losses.separation).backward()
    means = torch.zeros(parts, parts, 6, 6), torch.zeros(parts, parts), torch.zeros((), dtype=torch.int64)
    observe_distances(*ellipsoids, *means, 0.75, 0.01)
    if parts > 1:
        merge_loss(*ellipsoids[:2], 0.1, 3.0).backward()


def silhouettes(parts: int, each: int) -> None:
    from wim_fast.ops.silhouette import triton as module
    from wim_fast.ops.silhouette.reference import MaskTables

    nearest, reliable = (
        torch.zeros(2, 3, 64, 64, *size, dtype=kind) for size, kind in (((2,), torch.uint8), ((), torch.bool))
    )
    pixels, first = torch.zeros(100, 2, dtype=torch.uint8), torch.zeros(7, dtype=torch.int64)
    masks, projection = MaskTables(nearest, reliable, pixels, first, 512.0, 128.0), torch.zeros(2, 3, 4)
    ellipsoids, number = posed(parts)[:3], torch.zeros(POSES, dtype=torch.int64)
    points, uniform = torch.zeros(parts, each, 3), torch.zeros(POSES, 64)
    found = module.silhouette_losses(*ellipsoids, points, uniform, number, number, projection, masks, 0.01)
    (found.silhouette + found.part_center).backward()
    candidates = torch.zeros(POSES, parts, 4, 3), torch.zeros(2, POSES, parts, 4)
    module.unjudged_points(*ellipsoids, 0.05, *candidates, number, projection, masks, 64)


def composite() -> None:
    from wim_fast.ops.composite import triton as module

    sdf, rgb, t = (
        torch.zeros(1000, requires_grad=True),
        torch.zeros(1000, 3, requires_grad=True),
        torch.zeros(1000),
    )
    offsets = torch.zeros(101, dtype=torch.int64)
    module.composite(sdf, rgb, t, offsets, 150.0).rgb.sum().backward()
    module.visible_samples(sdf, t, offsets, 150.0, 0.02, 4)


def samples() -> None:
    from wim_fast.ops.march.reference import Samples
    from wim_fast.ops.samples import triton as module

    origins, directions = (torch.zeros(100, 3, requires_grad=True) for _ in range(2))
    rays = origins, directions, torch.zeros(100, dtype=torch.int32)
    ids, offsets = torch.zeros(1000, dtype=torch.int64), torch.zeros(101, dtype=torch.int64)
    found = Samples(torch.zeros(1000), ids, offsets, offsets[0])
    module.samples_along(*rays, found)
    keep = torch.zeros(4000, dtype=torch.bool)
    module.samples_along(*rays, found, keep, 0.02, 4, 1000).points.sum().backward()


def read_table(path: Path) -> tuple[list[str], dict[tuple[str, str], dict[str, str]]]:
    """Columns ("3.9.0 sm_90") and, for each kernel and case, what is in them ("registers/stack/shared")."""
    if not path.exists():
        return [], {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        columns = next(rows)[2:]
        return columns, {
            (kernel, case): dict(zip(columns, cells, strict=True)) for kernel, case, *cells in rows
        }


def write_table(path: Path, rows: list[Row]) -> None:
    """Put the columns of this Triton in place of what the table had of it."""
    columns, table = read_table(path)
    mine = {f"{triton.__version__} sm_{row.chip}" for row in rows}
    columns = sorted({*columns, *mine}, key=lambda c: [int(n) for n in re.findall(r"\d+", c)])
    for row in rows:
        table.setdefault((row.kernel, row.case), {})[f"{triton.__version__} sm_{row.chip}"] = str(row)
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["kernel", "case", *columns])
        for key in sorted(table):
            out.writerow([*key, *(table[key].get(column, "") for column in columns)])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chips", type=int, nargs="+", default=list(SHARED), choices=list(SHARED))
    parser.add_argument("--cases", default="", help="regular expression: only the cases that it matches")
    parser.add_argument("--write", type=Path, help="table to put the columns of this Triton into")
    args = parser.parse_args()
    cases = {name: launch for name, launch in all_cases().items() if re.search(args.cases, name)}
    rows = []
    for row in measure(cases, args.chips):
        rows.append(row)
        verdict = "" if row.fits else "  DOES NOT FIT"
        print(f"{row.kernel:24} {row.case:24} sm_{row.chip:<4} {row}{verdict}", flush=True)
        if args.write:
            write_table(args.write, [row])
    return int(not all(row.fits for row in rows))


if __name__ == "__main__":
    sys.exit(main())
