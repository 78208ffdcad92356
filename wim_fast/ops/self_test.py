"""Whether a backend's kernels compute what the references do: each of them once, forward and backward, on its device.

A kernel that compiles can still be wrong on a machine on which nobody has tried it. `failures` runs every kernel of a
backend at small sizes and real shapes, in new memory full of NaN, and compares with the references on the CPU.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

from wim_fast.files import write_atomic
from wim_fast.ops.articulated import reference as articulated
from wim_fast.ops.backend import Backend, select_backend
from wim_fast.ops.cameras import reference as cameras
from wim_fast.ops.composite import reference as composite
from wim_fast.ops.image_losses import reference as image_losses
from wim_fast.ops.march import reference as march
from wim_fast.ops.merging import reference as merging
from wim_fast.ops.mlp import reference as mlp
from wim_fast.ops.occupancy import reference as occupancy
from wim_fast.ops.part_encoding import reference as part_encoding
from wim_fast.ops.pictures import reference as pictures
from wim_fast.ops.pixels import reference as pixels
from wim_fast.ops.poses import reference as poses
from wim_fast.ops.samples import reference as samples
from wim_fast.ops.shading import reference as shading
from wim_fast.ops.shape_losses import reference as shape_losses
from wim_fast.ops.silhouette import reference as silhouette
from wim_fast.ops.structure import reference as structure

POSES, TOP_PARTS = 3, 2
BAND, STEP, INV_S = 0.03, 0.02, 150.0
FLOAT = 1e-3  # relative RMS difference that is rounding
HALF = 2e-2  # the same of a network in half precision
FEW = 5e-2  # the same where single samples may fall on the other side of a border


@dataclass(frozen=True)
class Case:
    """One kernel at work: what it is given, what comes out of it, and how near the reference it has to be."""

    kernel: str  # field of Backend
    reference: Callable
    inputs: tuple[Tensor, ...]
    outputs: Callable[[Callable, Sequence[Tensor]], Sequence[Tensor]]  # (kernel, inputs) -> what is compared
    differentiable: Sequence[int] = ()  # of the inputs
    tolerance: float = FLOAT


def failures(backend: Backend) -> list[str]:
    """What is wrong with the kernels of a backend, a line for each: it raises, is not finite, or is not the reference."""
    interpreted = backend.name == "triton" and backend.device.type == "cpu"
    parts, count = (
        (4, 40) if interpreted else (20, 4003)
    )  # Triton's interpreter takes seconds for tens of points
    with _new_memory_is_nan():
        problems = [(case.kernel, _problem(case, backend)) for case in _cases(backend.name, parts, count)]
    return [f"{kernel}: {problem}" for kernel, problem in problems if problem is not None]


def run_once(backend: Backend, kernel: str) -> None:
    """Run a kernel, forward and backward, on a few points: it is compiled then. `kernel`: the field of Backend."""
    for case in _cases(backend.name, parts=4, count=40):
        if case.kernel == kernel:
            _evaluate(case, getattr(backend, kernel), backend.device)


def _problem(case: Case, backend: Backend) -> str | None:
    """How a kernel fails; None if it does not."""
    try:
        expected = _evaluate(case, case.reference, torch.device("cpu"))
        found = _evaluate(case, getattr(backend, case.kernel), backend.device)
    except Exception as error:  # whatever a compiler, a driver or a kernel comes up with
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    for (name, ours), (_, theirs) in zip(found, expected, strict=True):
        if ours.shape != theirs.shape:
            return f"{name} has the shape {tuple(ours.shape)} in place of {tuple(theirs.shape)}"
        if not ours.isfinite().all():
            return f"{name} is not finite"
        scale = theirs.square().mean().sqrt().clamp_min(1e-6)
        difference = float((ours - theirs).square().mean().sqrt() / scale)
        if difference > case.tolerance:
            return f"{name} differs by {difference:.1e} of its size, more than {case.tolerance:.0e}"
    return None


def _evaluate(case: Case, kernel: Callable, device: torch.device) -> list[tuple[str, Tensor]]:
    """Outputs, and gradients under fixed cotangents, float64 on the CPU, with what to call them."""
    inputs = [x.to(device) for x in case.inputs]
    wanted = [inputs[i].requires_grad_() for i in case.differentiable]
    outputs = case.outputs(kernel, inputs)
    named = [(f"output {i}", x) for i, x in enumerate(outputs)]
    if wanted:
        generator = torch.Generator().manual_seed(1)
        differentiable = [x for x in outputs if x.requires_grad]
        cotangents = [torch.randn(x.shape, generator=generator).to(device) for x in differentiable]
        gradients = torch.autograd.grad(differentiable, wanted, cotangents)
        named += [(f"gradient {i}", g) for i, g in zip(case.differentiable, gradients, strict=True)]
    for x in wanted:
        x.requires_grad_(False)
    return [(name, x.detach().cpu().double()) for name, x in named]


@contextmanager
def _new_memory_is_nan() -> Iterator[None]:
    """New tensors are full of NaN, so that what a kernel leaves unwritten shows."""
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    filled = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = True  # type: ignore[assignment]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[assignment]


def _cases(name: str, parts: int, count: int) -> Iterator[Case]:
    """All kernels of a backend, with so many parts, at about `count` points, the last of them padding."""
    random = torch.Generator().manual_seed(0)
    posed = _posed_ellipsoids(parts, random)
    points, pose_ids = _points_near(posed, count, random)
    lookup = Case(
        "articulated_lookup", articulated.articulated_lookup, (points, pose_ids, *posed),
        lambda kernel, x: kernel(*x, TOP_PARTS), (0, 2, 3, 4, 5, 6),
    )  # fmt: skip
    yield lookup
    yield _encoding(lookup.outputs(lookup.reference, lookup.inputs), parts, random)
    yield _network("decoder_mlp", count, (8, 64, 4), "relu", name in ("tcnn", "triton"), random)
    yield _network("pose_mlp", 16, (30, 128, 128, 128, 9 * parts), "tanh", name == "tcnn", random)
    yield _march(posed, max(count // 64, 3), random)
    yield _occupancy(posed)
    yield from _rendering(count, random)
    yield from _pictures(count, random)
    yield _drawing(count, random)
    yield from _colors(count, random)
    yield from _silhouettes(posed, random)
    yield from _structure(posed, random)
    yield from _merging(min(max(count // 50, 3), 64), parts, random)
    yield from _calibration(max(count // 8, 3), random)
    yield _shape(count, random)


def _posed_ellipsoids(parts: int, random: torch.Generator) -> list[Tensor]:
    """Rotation, translation, semi-axes and both sharpnesses of a cloud of parts about one unit across."""
    rotation = torch.linalg.qr(torch.randn(POSES, parts, 3, 3, generator=random)).Q
    translation = torch.rand(POSES, parts, 3, generator=random) - 0.5
    semi_axes = 0.03 + 0.12 * torch.rand(parts, 3, generator=random)
    return [rotation, translation, semi_axes, torch.tensor(50.0), torch.tensor(30.0)]


def _points_near(posed: Sequence[Tensor], count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points (count, 3) near parts, and their poses (count,) int32; an eighth at the end is padding."""
    pose = torch.randint(POSES, (count,), generator=random)
    part = torch.randint(len(posed[2]), (count,), generator=random)
    points = posed[1][pose, part] + 0.08 * torch.randn(count, 3, generator=random)
    points[-(count // 8) :], pose[-(count // 8) :] = 0, -1
    return points, pose.to(torch.int32)


def _encoding(lookup: Sequence[Tensor], parts: int, random: torch.Generator) -> Case:
    _, part_ids, part_weights, local, _ = lookup
    atlas = part_encoding.part_atlas(parts, 0.6, 0.1)
    layout = part_encoding.grid_layout(4, round(atlas.side / 0.1) + 1, 2.0, 12)
    table = torch.randn(layout.num_entries, part_encoding.FEATURES, generator=random)
    inputs = (local, part_ids, part_weights, table)
    return Case(
        "part_encoding",
        part_encoding.part_encoding,
        inputs,
        lambda kernel, x: [kernel(*x, layout, atlas)],
        (0, 2, 3),
    )


def _network(
    kernel: str, rows: int, sizes: Sequence[int], activation: str, half: bool, random: torch.Generator
) -> Case:
    """An MLP with these sizes of its layers, in half precision or not."""
    weights = [torch.randn(b, a, generator=random) / a**0.5 for a, b in pairwise(sizes)]
    x = torch.randn(rows, sizes[0], generator=random)
    return Case(
        kernel, partial(mlp.mlp, precision="half") if half else mlp.mlp, (x, *weights),
        lambda kernel, x: [kernel(x[0], x[1:], activation)], range(len(sizes)), HALF if half else FLOAT,
    )  # fmt: skip


def _march(posed: Sequence[Tensor], rays: int, random: torch.Generator) -> Case:
    """Rays from all round; compared are the number and the sum of each ray's samples, and those of the padding."""
    origins = 3 * normalize(torch.randn(rays, 3, generator=random), dim=-1)
    directions = normalize(torch.rand(rays, 3, generator=random) - 0.5 - origins, dim=-1)
    pose_ids = torch.randint(POSES, (rays,), generator=random).to(torch.int32)

    def outputs(kernel: Callable, x: Sequence[Tensor]) -> Sequence[Tensor]:
        found = kernel(*x, BAND, STEP, 40 * rays)
        sums = found.t.new_zeros(rays + 1).index_add(0, found.ray_ids % (rays + 1), found.t)
        return [found.offsets, sums, found.overflow]

    inputs = (origins, directions, pose_ids, *posed, torch.rand(rays, generator=random))
    return Case("march", march.march, inputs, outputs, tolerance=FEW)


def _occupancy(posed: Sequence[Tensor]) -> Case:
    """Cells and boxes of all poses."""

    def outputs(kernel: Callable, x: Sequence[Tensor]) -> Sequence[Tensor]:
        cells, boxes = kernel(*x, BAND, 12)
        return [cells.float(), boxes]

    return Case("occupancy_grids", occupancy.occupancy_grids, tuple(posed[:4]), outputs, tolerance=FEW)


def _rendering(count: int, random: torch.Generator) -> Iterator[Case]:
    """Compositing of packed samples, of which some rays have none, and padding behind them."""
    offsets = (torch.rand(count // 8, generator=random) ** 2 * 20).long().cumsum(0)
    rows = int(offsets[-1])
    sdf = 0.02 * torch.randn(rows + 100, generator=random)
    rgb, t = torch.rand(rows + 100, 3, generator=random), torch.rand(rows + 100, generator=random)
    offsets[0] = 0
    yield Case(
        "composite", composite.composite, (sdf, rgb, t, offsets), lambda kernel, x: kernel(*x, INV_S), (0, 1)
    )
    yield Case(
        "visible_samples", composite.visible_samples, (sdf, STEP * 4 * torch.arange(len(sdf)), offsets),
        lambda kernel, x: [kernel(*x, INV_S, STEP, 4)], tolerance=FEW,
    )  # fmt: skip
    rays = torch.randn(2, len(offsets) - 1, 3, generator=random)
    ray_ids = torch.searchsorted(offsets, torch.arange(rows + 100), right=True) - 1
    ray_ids[rows:] = -1
    keep = (torch.rand(4 * len(t), generator=random) < 0.3) & (torch.arange(4 * len(t)) < 4 * rows)

    def along(kernel: Callable, x: Sequence[Tensor]) -> Sequence[Tensor]:
        *rays, t, ray_ids, offsets, overflow, keep = x
        found = march.Samples(t, ray_ids, offsets, overflow)
        return [*kernel(*rays, found, keep, STEP, 4, 2 * rows), *kernel(*rays, found)]

    pose_ids = torch.randint(POSES, (len(offsets) - 1,), generator=random).to(torch.int32)
    t = pad(t[:rows], (0, 100))
    inputs = *rays, pose_ids, t, ray_ids, offsets, torch.tensor(0), keep
    yield Case("samples_along", samples.samples_along, inputs, along, (0, 1))


def _pictures(count: int, random: torch.Generator) -> Iterator[Case]:
    """Samples of rays through a wavy surface, some farther apart; compared are the number and the sum of each ray's."""
    length = STEP * (1 + 2 * (torch.rand(count, generator=random) < 0.1))
    t, offsets = 1 + length.cumsum(0), 12 * torch.arange(count // 12 + 1)
    t, sdf = t[: offsets[-1]], 0.05 * torch.randn(int(offsets[-1]), generator=random)
    near = 1e-3, INV_S, 1.5 * STEP

    def sums(t: Tensor, offsets: Tensor) -> Tensor:
        return pad(t.double().cumsum(0), (1, 0))[offsets].diff()

    def of_guides(kernel: Callable, x: Sequence[Tensor]) -> Sequence[Tensor]:
        found = [kernel(*x[:3], guides, 4, *near, STEP / 2) for guides in (None, x[3])]
        return [y for samples in found for y in (samples.offsets, sums(samples.t, samples.offsets))]

    def finer(kernel: Callable, x: Sequence[Tensor]) -> Sequence[Tensor]:
        found = [kernel(*x, *near, 0.75 * STEP, ahead) for ahead in (0.0, STEP)]
        return [y for more in found for y in (more.offsets, sums(more.t, more.offsets), sums(*more.new[::2]))]

    guides = torch.randperm(len(offsets) - 1, generator=random)[: count // 24]
    yield Case("near_samples", pictures.near_samples, (t, sdf, offsets, guides), of_guides, tolerance=FEW)
    yield Case("finer_samples", pictures.finer_samples, (t, sdf, offsets), finer, tolerance=FEW)
    yield Case(
        "closed_runs",
        pictures.closed_runs,
        (t, sdf, offsets),
        lambda kernel, x: [kernel(*x, 1.5 * STEP, INV_S)],
    )
    parts = torch.randint(20, (len(t),), generator=random, dtype=torch.int32)
    depth = t[offsets[:-1]] + STEP * 5 * torch.rand(len(offsets) - 1, generator=random)
    yield Case(
        "part_seen",
        pictures.part_seen,
        (t, offsets, parts, depth),
        lambda kernel, x: [kernel(*x)],
        tolerance=FEW,
    )
    yield Case(
        "edge_pixels", pictures.edge_pixels, (torch.rand(9, count // 9, 4, generator=random) / 4,),
        lambda kernel, x: [kernel(*x, 0.2)], tolerance=FEW,
    )  # fmt: skip


def _drawing(count: int, random: torch.Generator) -> Case:
    """Pixels of images of 24 x 20 and 12 x 10, in tiles of 8 and blocks of 4; some of them from the whole image."""
    cameras, width, height, tile, block = 2, 24, 20, 8, 4
    sizes = cameras * POSES * 9, cameras * POSES * 4  # images times tiles
    index = torch.randperm(sum(sizes), generator=random)
    index = torch.cat([index[index < sizes[0]], index[index >= sizes[0]]]).int()
    tile_first = torch.tensor([0, sizes[0]])
    rgba, coarse_rgba = (
        torch.randint(256, (n * tile**2, 4), generator=random, dtype=torch.uint8) for n in sizes
    )
    mask, coarse_mask = (torch.randint(3, (n * tile**2,), generator=random, dtype=torch.uint8) for n in sizes)
    boxes = torch.tensor([4, 2, 21, 17]).repeat(cameras, POSES, 1)
    blocks = torch.rand(cameras, POSES, 5, 6, generator=random) < 0.5
    outline = torch.randint(width * height // 4, (60,), generator=random, dtype=torch.int32)
    first = torch.linspace(0, 60, 2 * cameras * POSES + 1).long()
    camera, frame = (torch.randint(n, (2,), generator=random) for n in (cameras, POSES))

    def outputs(kernel: Callable, x: Sequence[Tensor]) -> Sequence[Tensor]:
        camera, frame, uniform, level = x[-4:]
        tables = pixels.PixelTables._make([*x[:-4], width, height, tile, block])
        return kernel(tables, camera, frame, uniform, level, pixels.Draws(count // 8, count // 8, 0.5), 2.0)

    uniform = torch.rand(2, count // 2, 3, generator=random)
    images = index, tile_first, rgba, mask, coarse_rgba, coarse_mask, boxes, blocks, outline, first
    inputs = *images, camera, frame, uniform, torch.tensor(0.5)
    return Case("draw_pixels", pixels.draw_pixels, inputs, outputs, tolerance=FEW)


def _colors(count: int, random: torch.Generator) -> Iterator[Case]:
    """What samples look like, lit or not; and what is lost on rays, before a background of their own or one for all."""
    decoded, normal = (torch.randn(count, n, generator=random) for n in (4, 3))
    lighting = 0.1 * torch.randn(8, 3, generator=random)
    yield Case(
        "shade", shading.shade, (decoded, torch.randn(count, generator=random), lighting, normal),
        lambda kernel, x: [y for light in (x[2], None) for y in kernel(x[0], x[1], x[3], light, 0.1)], (0, 1, 2),
    )  # fmt: skip
    rgb, filmed, background = (torch.rand(count, 3, generator=random) for _ in range(3))
    opacity, alpha, weight = (torch.rand(count, generator=random) for _ in range(3))
    yield Case(
        "image_losses", image_losses.image_losses, (rgb, opacity, filmed, alpha, weight, background),
        lambda kernel, x: [y for grey in (x[5], x[5][:1]) for y in kernel(*x[:5], grey, 4.0, count, count)], (0, 1),
    )  # fmt: skip


def _silhouettes(posed: Sequence[Tensor], random: torch.Generator) -> Iterator[Case]:
    """Discs as masks, in two cameras that look along z."""
    views, side, each, parts = 2, 32, 200, len(posed[2])
    grid = torch.stack(torch.meshgrid(*2 * [torch.arange(side)], indexing="xy"), dim=-1)
    from_middle = grid - (side - 1) / 2
    nearest = 15.5 + from_middle * (10 / from_middle.norm(dim=-1, keepdim=True)).clamp_max(1)
    nearest = nearest.round().to(torch.uint8).expand(views, POSES, side, side, 2).contiguous()
    reliable = torch.rand(views, POSES, side, side, generator=random) > 0.3
    pixels = torch.randint(8, 24, (views * POSES * each, 2), generator=random, dtype=torch.uint8)
    first = each * torch.arange(views * POSES + 1)
    projection = torch.tensor([[40.0, 0, 16, 48], [0, 40, 16, 48], [0, 0, 1, 3]]).repeat(views, 1, 1)
    frame, camera = torch.arange(POSES), torch.arange(POSES) % views
    images = (frame, projection, nearest, reliable, pixels, first)

    def losses(kernel: Callable, x: Sequence[Tensor]) -> Sequence[Tensor]:
        *posed, direction, uniform, camera, frame, projection, nearest, reliable, pixels, first = x
        masks = silhouette.MaskTables(nearest, reliable, pixels, first, float(side), float(side))
        return kernel(*posed, direction, uniform, camera, frame, projection, masks, 3 / 512)

    def moments(kernel: Callable, x: Sequence[Tensor]) -> Sequence[Tensor]:
        """Of the points that no camera judges: their order hangs on single roundings."""
        *posed, direction, uniform, frame, projection, nearest, reliable, pixels, first = x
        masks = silhouette.MaskTables(nearest, reliable, pixels, first, float(side), float(side))
        found = kernel(*posed, BAND, direction, uniform, frame, projection, masks, 50)
        poses = found.pose_ids.float()
        return [
            found.points.mean(0),
            found.points.square().mean(0),
            poses.mean(),
            found.unjudged.float().mean(),
        ]

    direction, uniform = torch.randn(parts, 8, 3, generator=random), torch.rand(POSES, 16, generator=random)
    yield Case(
        "silhouette_losses", silhouette.silhouette_losses, (*posed[:3], direction, uniform, camera, *images), losses,
        (0, 1, 2), FEW,
    )  # fmt: skip
    direction = torch.randn(POSES, parts, 8, 3, generator=random)
    uniform = torch.rand(2, POSES, parts, 8, generator=random)
    yield Case(
        "unjudged_points", silhouette.unjudged_points, (*posed[:3], direction, uniform, *images), moments,
        tolerance=FEW,
    )  # fmt: skip


def _structure(posed: Sequence[Tensor], random: torch.Generator) -> Iterator[Case]:
    """Poses from numbers; joints of a chain of parts, and running distances that were seen before."""
    parts = len(posed[2])
    numbers = torch.randn(POSES, 9 * parts, generator=random), torch.randn(9 * parts, generator=random)
    yield Case("part_poses", poses.part_poses, numbers, lambda kernel, x: kernel(*x), (0, 1))
    chain = torch.arange(parts - 1)
    tree = torch.stack([chain, chain + 1], 1), torch.randint(6, (parts - 1, 2), generator=random)
    yield Case(
        "structure_losses", structure.structure_losses, (*posed[:3], *tree), lambda kernel, x: kernel(*x, 0.75, 0.2),
        (0, 1, 2),
    )  # fmt: skip

    def observed(kernel: Callable, x: Sequence[Tensor]) -> Sequence[Tensor]:
        means = [mean.clone() for mean in x[3:]]
        kernel(*x[:3], *means, 0.75, 0.1)
        return means

    pairs, centers = (
        torch.rand(parts, parts, 6, 6, generator=random),
        torch.rand(parts, parts, generator=random),
    )
    means = pairs + pairs.transpose(0, 1).transpose(2, 3), centers + centers.t()
    yield Case(
        "observe_distances", structure.observe_distances, (*posed[:3], *means, torch.tensor(3)), observed
    )


def _merging(frames: int, parts: int, random: torch.Generator) -> Iterator[Case]:
    """Parts of which two nearly move as one."""
    turns = torch.linalg.qr(torch.randn(frames, parts, 3, 3, generator=random)).Q
    places = torch.rand(frames, parts, 3, generator=random)
    turns[:, 1], places[:, 1] = turns[:, 0], places[:, 0] + 0.01 * places[:, 1]
    yield Case(
        "merge_loss", merging.merge_loss, (turns, places), lambda kernel, x: (kernel(*x, 0.1, 3.0),), (0, 1)
    )


def _calibration(count: int, random: torch.Generator) -> Iterator[Case]:
    """Cameras that are a little off, and rays through their pixels; one of the cameras has two images, one has none."""
    views = 3
    K = torch.tensor([[90.0, 0, 24], [0, 90, 20], [0, 0, 1]]).repeat(views, 1, 1)
    rotation = torch.linalg.qr(torch.randn(views, 3, 3, generator=random)).Q
    given = K, torch.linalg.inv(K), rotation, torch.randn(views, 3, generator=random)
    numbers = 0.05 * torch.randn(views, cameras.NUMBERS, generator=random)
    yield Case(
        "corrected_cameras", cameras.corrected_cameras, (numbers, *given), lambda kernel, x: kernel(*x), (0,)
    )
    images = torch.tensor([2, 0, 2]), 40 * torch.rand(3, count, 2, generator=random)
    yield Case(
        "camera_rays", cameras.camera_rays, (*given[1:], *images), lambda kernel, x: kernel(*x), (0, 1, 2)
    )


def _shape(count: int, random: torch.Generator) -> Case:
    """Distances at taps, at points that nobody judges, and at points of the hull, of which some count."""
    taps, points, core = (
        0.02 * torch.randn(*size, generator=random) for size in ((4, count), (count,), (count,))
    )
    light, counts = torch.rand(count, generator=random), torch.rand(2, count, generator=random) > 0.3
    return Case(
        "shape_losses", shape_losses.shape_losses, (taps, light, points, counts[0], core, counts[1]),
        lambda kernel, x: kernel(*x, 0.01, torch.tensor(INV_S, device=x[0].device)), (0, 2, 4),
    )  # fmt: skip


def main(name: str, device_index: str, path: str) -> None:
    """Leave the failures of a backend in a file, as JSON (`ops/first_run.py` asks for it)."""
    write_atomic(Path(path), json.dumps(failures(select_backend(name, int(device_index)))).encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
