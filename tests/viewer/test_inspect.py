"""What the viewer computes, against independent computations."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from arm_scene import SEMI_AXES
from arm_snapshot import INV_S, arm_cameras, arm_snapshot

from wim_fast.model.articulated_model import Posed
from wim_fast.ops.articulated.reference import union_reach
from wim_fast.ops.backend import select_backend
from wim_fast.ops.composite.reference import composite
from wim_fast.ops.ellipsoid import inflated_semi_axes
from wim_fast.recordings.cameras import frustum_lines, image_corners, pixel_rays, project
from wim_fast.rendering.image import render_image
from wim_fast.rendering.rays import Rays, sample_rays
from wim_fast.viewer.inspect.culling import how_it_culls, what_the_grid_is
from wim_fast.viewer.inspect.frame import frame_numbers
from wim_fast.viewer.inspect.grid import (
    GridSettings,
    cells_of,
    cells_on_ray,
    frame_grid,
    grid_slice,
    open_sides,
    training_band,
    visible_cells,
)
from wim_fast.viewer.inspect.inspection import spread
from wim_fast.viewer.inspect.rays import (
    camera_rays,
    dense_render,
    interval_ends,
    interval_weights,
    joined,
    missed_mass,
    probe_ray,
    remembered,
    sample_of_rays,
    training_step_length,
)
from wim_fast.viewer.inspect.shape import (
    ellipsoids,
    icosphere,
    pixel_on_image,
    skeleton,
    surface_mesh,
)
from wim_fast.viewer.inspect.snapshot import Snapshot


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return arm_snapshot()


@pytest.fixture(scope="module")
def posed(snapshot: Snapshot) -> Posed:
    return snapshot.posed(2)


@pytest.fixture(scope="module")
def rays(snapshot: Snapshot):
    return sample_of_rays(snapshot, arm_cameras(), [0, 1, 2], 1200)


@pytest.fixture(scope="module")
def dense(snapshot: Snapshot, posed: Posed, rays):
    return dense_render(snapshot, posed, rays)


@pytest.mark.parametrize("resolution", [16, 48, 61])
def test_occupied_cells_hold_all_samples_of_the_exact_march(snapshot, posed, rays, resolution: int) -> None:
    grid = frame_grid(snapshot, posed, GridSettings(resolution))
    jitter = torch.rand(len(rays.origins), generator=torch.Generator().manual_seed(1))
    samples = sample_rays(posed, rays, jitter, snapshot.model.field.residual_max, INV_S, snapshot.backend)
    assert len(samples.points) > 500
    assert bool(grid.contains(samples.points).all())
    assert 0.01 < grid.occupied_share < 0.9


def test_an_empty_cell_is_far_from_every_ellipsoid(snapshot, posed) -> None:
    """Against distances to points spread over the ellipsoids' surfaces."""
    grid = frame_grid(snapshot, posed, GridSettings(24))
    vertices = icosphere(4)[0]
    surface = np.einsum("pab,npb->pna", posed.rotation[0].numpy(), vertices[:, None] * SEMI_AXES)
    surface = (surface + posed.translation[0].numpy()[:, None]).reshape(-1, 3)
    empty = grid.centers((~grid.occupied).nonzero()).numpy()[::7]
    nearest = np.linalg.norm(empty[:, None] - surface[None, ::3], axis=-1).min(1)
    assert nearest.min() > training_band(snapshot)


def test_margin_and_threshold_only_take_away(snapshot, posed) -> None:
    full = frame_grid(snapshot, posed)
    box = full.low, full.cell
    tight = frame_grid(snapshot, posed, GridSettings(threshold=0.5))
    assert torch.equal(tight.low, box[0])
    assert bool((full.occupied | ~tight.occupied).all())
    assert 0 < tight.occupied_share < full.occupied_share
    assert float(full.occupancy[tight.occupied].min()) >= 0.5
    assert frame_grid(snapshot, posed, GridSettings(margin=-0.05)).occupied.sum() * 1.0 > 0


def test_no_mass_is_missed_by_the_grid_of_training_and_some_by_a_shrunken_one(snapshot, posed, dense) -> None:
    missed = [
        missed_mass(dense, frame_grid(snapshot, posed, GridSettings(48, margin))) for margin in (0.05, 0.0)
    ]
    assert missed[0] < 1e-6
    assert missed[1] < 1e-3  # what the sigmoid has beyond 3 / s of where the decoder can put the surface
    shrunken = [
        missed_mass(dense, frame_grid(snapshot, posed, GridSettings(48, 0.0, t))) for t in (0.9, 0.9999)
    ]
    assert 1e-3 < shrunken[0] < shrunken[1]
    assert missed_mass(dense, frame_grid(snapshot, posed, GridSettings(48, -0.4))) > 0.01
    grid = frame_grid(snapshot, posed, GridSettings(48, 0.0, 0.9))
    assert missed_mass(remembered(dense), grid) == pytest.approx(shrunken[0], rel=1e-3)


def test_missed_mass_by_hand(snapshot, posed, dense) -> None:
    """Sample by sample in numpy: half of either interval's weight, where the cell is not occupied."""
    grid = frame_grid(snapshot, posed, GridSettings(20, 0.0, 0.95))
    occupied, low, cell = grid.occupied.numpy(), grid.low.numpy(), grid.cell.numpy()
    total = lost = 0.0
    weight, ray_ids = dense.weight.double().numpy(), dense.ray_ids.numpy()
    for n, point in enumerate(dense.points.numpy()):
        before = weight[n - 1] if n and ray_ids[n - 1] == ray_ids[n] else 0.0
        mass = 0.5 * (before + weight[n])
        total += mass
        index = np.floor((point - low) / cell).astype(int)
        inside = (index >= 0).all() and (index < 20).all() and occupied[tuple(index)]
        lost += 0.0 if inside else mass
    assert missed_mass(dense, grid) == pytest.approx(lost / total, rel=1e-4)


def test_dense_render_sees_what_the_renderer_sees(snapshot, posed) -> None:
    cameras = arm_cameras()
    image = render_image(snapshot.model, posed, cameras, 1, INV_S, snapshot.backend, rays_per_edge_pixel=1)
    y, x = torch.meshgrid(torch.arange(24), torch.arange(24), indexing="ij")
    rays = camera_rays(cameras, [1], torch.stack([x, y], -1).view(-1, 2) + 0.5)
    opacity = dense_render(snapshot, posed, rays).opacity.view(24, 24).numpy()
    assert image.opacity.max() > 0.9
    np.testing.assert_allclose(opacity, image.opacity, atol=2e-2)  # the march stops where the band ends


def test_rays_in_batches_are_the_whole(snapshot, posed, rays) -> None:
    """And the first batches see all of the object, though less finely."""
    mixed, grid = spread(rays), frame_grid(snapshot, posed, GridSettings(48, 0.0, 0.9))
    whole = dense_render(snapshot, posed, mixed)
    batches = [
        dense_render(snapshot, posed, Rays(*(column[some] for column in mixed)))
        for some in (slice(0, 300), slice(300, 700), slice(700, None))
    ]
    parts = joined(batches)
    assert parts.num_rays == whole.num_rays == len(rays.origins)
    torch.testing.assert_close(parts.opacity, whole.opacity)
    assert missed_mass(parts, grid) == pytest.approx(missed_mass(whole, grid), rel=1e-5)
    assert float(batches[0].opacity.mean()) == pytest.approx(float(whole.opacity.mean()), rel=0.2)


def test_interval_weights_composite() -> None:
    """Their sums are the opacities of the reference; and alpha is that of the paper."""
    torch.manual_seed(3)
    lengths = torch.tensor([5, 0, 1, 9, 2])
    offsets = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
    ray_ids = torch.repeat_interleave(torch.arange(5), lengths)
    sdf, t = 0.02 * torch.randn(17), torch.rand(17)
    alpha, weight = interval_weights(sdf, ray_ids, 100.0)
    expected = composite(sdf, torch.rand(17, 3), t, offsets, 100.0).opacity
    sums = torch.zeros(5).index_add(0, ray_ids, weight)
    torch.testing.assert_close(sums, expected, rtol=1e-4, atol=1e-5)
    phi = torch.sigmoid(100 * sdf.double())
    assert float(alpha[0]) == pytest.approx(max(float((phi[0] - phi[1]) / phi[0]), 0), abs=1e-5)
    assert float(alpha[4]) == 0  # the last of its ray
    empty = torch.zeros(0)
    assert interval_weights(empty, empty.long(), 1.0)[0].shape == (0,)


def test_cells_on_a_ray_against_small_steps(snapshot, posed) -> None:
    grid = frame_grid(snapshot, posed, GridSettings(16))
    origin, direction = arm_cameras().centers[0], posed.translation[0, 1].numpy() - arm_cameras().centers[0]
    direction = direction / np.linalg.norm(direction)
    start, along = (torch.as_tensor(v, dtype=torch.float32) for v in (origin, direction))
    cells, t = cells_on_ray(grid, start, along)
    steps = torch.arange(0, 6, 5e-4)
    index = ((start + steps[:, None] * along - grid.low) / grid.cell).floor().long()
    index = index[((index >= 0) & (index < 16)).all(1)]
    crossed = {tuple(c) for c in cells.tolist()}
    assert {tuple(c) for c in index.tolist()} <= crossed
    assert len(crossed) == len(cells)
    assert bool((cells.diff(dim=0).abs().sum(1) == 1).all())  # neighbours share a face
    torch.testing.assert_close(t[1:, 0], t[:-1, 1])
    away = cells_on_ray(grid, start, -along)
    assert away[0].shape == (0, 3)


def test_visible_cells_are_those_with_an_empty_neighbour(snapshot, posed) -> None:
    grid = frame_grid(snapshot, posed, GridSettings(16))
    occupied = grid.occupied.numpy()
    padded = np.pad(occupied, 1)
    expected = {
        (i, j, k)
        for i, j, k in np.argwhere(occupied)
        if not all(padded[tuple(np.add((i + 1, j + 1, k + 1), step))]
                   for step in ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)))
    }  # fmt: skip
    assert {tuple(c) for c in visible_cells(open_sides(grid)).tolist()} == expected
    cut = visible_cells(open_sides(grid, 1, 7))
    assert int(cut[:, 1].max()) == 7
    assert int((cut[:, 1] == 7).sum()) == int(occupied[:, 7].sum())  # the whole of the cut is open
    plane = grid_slice(grid, 1, 7)
    assert np.array_equal(plane.occupied, occupied[:, 7])
    assert plane.corner[1] == pytest.approx(float(grid.low[1] + 7.5 * grid.cell[1]))


def test_cells_know_what_is_in_them(snapshot, posed) -> None:
    """As the grid that was made with the field does."""
    bare = frame_grid(snapshot, posed, GridSettings(16), with_field=False)
    full = frame_grid(snapshot, posed, GridSettings(16))
    index = visible_cells(open_sides(bare))
    cells = cells_of(snapshot, posed, bare, index)
    i, j, k = index.unbind(-1)
    np.testing.assert_allclose(cells.sdf, full.sdf[i, j, k].numpy(), atol=1e-5)
    np.testing.assert_allclose(cells.occupancy, full.occupancy[i, j, k].numpy(), atol=1e-4)
    np.testing.assert_array_equal(cells.part, full.part[i, j, k].numpy())
    assert cells.occupied.all()
    np.testing.assert_allclose(
        cells.low + (cells.cells + 0.5) * cells.side, bare.centers(index).numpy(), atol=1e-5
    )


def test_a_probed_ray_agrees_with_the_march_and_the_depth(snapshot, posed) -> None:
    cameras, grid = arm_cameras(), frame_grid(snapshot, posed)
    at = project(cameras, posed.translation[0, 1].double().numpy())[0][0]
    origin, direction = pixel_rays(cameras.intrinsics[0], cameras.T_camera_world[0], at)
    probe = probe_ray(snapshot, posed, grid, origin, direction)
    rays = camera_rays(cameras, [0], torch.as_tensor(at, dtype=torch.float32)[None])
    jitter = torch.full((1,), 0.5)
    samples = sample_rays(posed, rays, jitter, snapshot.model.field.residual_max, INV_S, snapshot.backend)
    np.testing.assert_allclose(probe.t[probe.taken], samples.t.numpy(), atol=1e-5)
    assert probe.opacity == pytest.approx(1, abs=0.01)
    assert probe.in_grid[probe.taken].all()
    assert abs(np.interp(probe.depth, probe.t, probe.sdf)) < 2 * training_step_length(snapshot)
    assert probe.missed < 1e-3
    miss = probe_ray(snapshot, posed, grid, origin, -direction)
    assert miss.opacity == 0
    assert math.isnan(miss.depth)


def test_numbers_count_samples(snapshot, posed, rays, dense) -> None:
    grid = frame_grid(snapshot, posed)
    numbers = frame_numbers(snapshot, posed, grid, rays, dense)
    jitter = torch.full((len(rays.origins),), 0.5)
    samples = sample_rays(posed, rays, jitter, snapshot.model.field.residual_max, INV_S, snapshot.backend)
    counts = samples.offsets.diff().numpy()
    assert numbers.samples_per_ray == pytest.approx(counts.mean())
    assert numbers.rays_without_samples == pytest.approx((counts == 0).mean())
    assert numbers.samples_per_hit == pytest.approx(counts[counts > 0].mean())
    assert numbers.grid_steps_per_ray > numbers.samples_per_ray  # a grid is coarser than the exact march
    assert numbers.occupied_cells == round(numbers.occupied_share * 48**3)


def test_numbers_of_the_intervals(snapshot, posed, rays, dense) -> None:
    """Step by step: what lies between the first entry and the last exit, found by looking at every step."""
    numbers = frame_numbers(snapshot, posed, frame_grid(snapshot, posed), rays, dense)
    reach = union_reach(training_band(snapshot), 3, posed.union_sharpness)
    inflated = inflated_semi_axes(posed.semi_axes, reach)
    offset = dense.points[:, None] - posed.translation[0]
    local = torch.einsum("npa,pab->npb", offset, posed.rotation[0])
    inside = ((local / inflated).square().sum(-1) <= 1).any(1)
    steps = 0
    for ray in dense.ray_ids[inside].unique():
        of_ray = inside[dense.ray_ids == ray].nonzero()
        steps += int(of_ray[-1] - of_ray[0]) + 1
    assert numbers.interval_steps_per_ray == pytest.approx(steps / dense.num_rays, rel=1e-3)
    assert numbers.interval_steps_per_ray > numbers.samples_per_ray
    assert 0 < numbers.rays_without_intervals <= numbers.rays_without_samples
    assert numbers.missed_by_intervals < 1e-3  # the sigmoid's tail beyond the band


def test_intervals_of_a_probed_ray(snapshot, posed) -> None:
    """All samples lie in them; the ray through a part's centre is within it there; a ray that looks away has none."""
    center = posed.translation[0, 1].double().numpy()
    cameras, grid = arm_cameras(), frame_grid(snapshot, posed)
    at = project(cameras, center)[0][0]
    origin, direction = pixel_rays(cameras.intrinsics[0], cameras.T_camera_world[0], at)
    probe = probe_ray(snapshot, posed, grid, origin, direction)
    near, far = probe.span
    assert probe.taken.any()
    assert ((probe.t[probe.taken] >= near) & (probe.t[probe.taken] <= far)).all()
    assert 1 in probe.parts_met
    enters, leaves = probe.intervals[1]
    assert enters < np.linalg.norm(center - origin) < leaves
    ends = interval_ends(probe)
    assert ends.shape == (len(probe.parts_met), 2, 3)
    np.testing.assert_allclose(
        np.linalg.norm(ends - origin, axis=-1), probe.intervals[probe.parts_met], rtol=1e-5
    )
    shifted = interval_ends(probe, np.array([0.0, 0.0, 1.0]), 0.1) - ends
    np.testing.assert_allclose(np.linalg.norm(shifted[:, 0], axis=-1), 0.1 * np.arange(1, len(ends) + 1))
    np.testing.assert_allclose(shifted @ direction, 0, atol=1e-9)
    away = probe_ray(snapshot, posed, grid, origin, -direction)
    assert away.span is None
    assert interval_ends(away).shape == (0, 2, 3)
    from_within = probe_ray(snapshot, posed, grid, center, direction)
    assert from_within.span[0] == 0


def test_captions_say_what_the_backend_does(snapshot) -> None:
    """Whose grid it is, and how the march at hand skips what is empty."""
    numba = snapshot.backend
    tcnn = numba._replace(name="tcnn", culling="grid")
    assert "tcnn backend marches through; this run's backend numba culls analytically" in what_the_grid_is(
        numba
    )
    assert "this run's backend" not in what_the_grid_is(tcnn)
    assert "inflated ellipsoid" in how_it_culls(numba)
    assert "grid" in how_it_culls(tcnn)
    assert "every step" in how_it_culls(select_backend("torch"))


def test_surface_mesh_lies_where_the_field_is_zero(snapshot, posed) -> None:
    mesh = surface_mesh(snapshot, posed, 48)
    points = torch.as_tensor(mesh.vertices, dtype=torch.float32)
    ids = torch.zeros(len(points), dtype=torch.int32)
    sdf = snapshot.model.evaluate(points, ids, posed, snapshot.backend).sdf
    assert len(mesh.faces) > 1000
    assert float(sdf.abs().median()) < 2e-3
    corners = mesh.vertices[mesh.faces]
    volume = np.einsum("ni,ni->n", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert volume > 0.01  # counter-clockwise from outside


def test_unit_spheres_become_the_ellipsoids(snapshot, posed) -> None:
    from scipy.spatial.transform import Rotation

    placed, (vertices, faces) = ellipsoids(posed), icosphere(1)
    assert vertices.shape == (42, 3)
    assert faces.shape == (80, 3)
    for part in range(3):
        rotation = Rotation.from_quat(np.roll(placed.wxyz[part], -1))
        world = rotation.apply(vertices * placed.semi_axes[part]) + placed.position[part]
        local = (world - posed.translation[0, part].numpy()) @ posed.rotation[0, part].numpy()
        np.testing.assert_allclose(((local / SEMI_AXES[part]) ** 2).sum(1), 1, atol=1e-4)


def test_skeleton_joins_part_centres_by_joints(snapshot) -> None:
    pose = snapshot.motion.at([1])
    bones = skeleton(snapshot, pose)
    np.testing.assert_allclose(bones.chosen.mean(1), bones.joints)
    assert bones.candidates.shape == (3, 6, 3)
    edges = snapshot.model.joints.edges.numpy()
    for k, (i, j) in enumerate(edges):
        np.testing.assert_allclose(bones.bones[2 * k : 2 * k + 2, 0], pose.translation[0][[i, j]])
        np.testing.assert_allclose(bones.bones[2 * k : 2 * k + 2, 1], [bones.joints[k]] * 2)


def test_a_click_on_an_image_finds_its_pixel() -> None:
    cameras = arm_cameras()
    corners = image_corners(cameras, 2, 0.3)
    pixels, depth = project(cameras, corners)
    np.testing.assert_allclose(pixels[2], [[0, 0], [24, 0], [24, 24], [0, 24]], atol=1e-6)
    np.testing.assert_allclose(depth[2], 0.3)
    eye = np.array([1.0, 2.0, 3.0])
    target = corners[0] + 0.25 * (corners[1] - corners[0]) + 0.75 * (corners[3] - corners[0])
    np.testing.assert_allclose(pixel_on_image(corners, eye, target - eye), [0.25, 0.75])
    assert pixel_on_image(corners, eye, eye - target) is None
    assert pixel_on_image(corners, eye, corners[0] - 0.1 * (corners[1] - corners[0]) - eye) is None
    assert frustum_lines(cameras, 2, 0.3).shape == (8, 2, 3)


def test_backends_show_the_same(snapshot, posed) -> None:
    """The torch references; Triton's interpreter agrees too, but takes a minute."""
    backend = select_backend("torch")
    if backend.device.type != "cpu":
        pytest.skip("the tiny snapshot is on the CPU")
    other = dataclasses.replace(snapshot, backend=backend)
    rays = sample_of_rays(snapshot, arm_cameras(), [0], 60)
    rows = [
        frame_numbers(s, posed, frame_grid(s, posed, GridSettings(10)), rays).to_dict()
        for s in (snapshot, other)
    ]
    assert rows[0] == pytest.approx(rows[1], rel=1e-3, abs=1e-6)
