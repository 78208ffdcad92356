import pytest
import torch
from kernel_cases import operation, posed_ellipsoids, rays_at, tangent_rays

from wim_fast.ops.march.reference import march
from wim_fast.ops.occupancy import reference
from wim_fast.ops.occupancy.reference import ROUNDING, occupancy_grids

BAND, STEP = 0.03, 0.02


def exact_samples(posed, rays, band=BAND, step=STEP):
    """Points (N, 3) of the brute-force march and their poses (N,)."""
    origins, directions, pose_ids, jitter = rays
    samples = march(origins, directions, pose_ids, *posed, jitter, band, step)
    points = origins[samples.ray_ids] + samples.t[:, None] * directions[samples.ray_ids]
    return points, pose_ids[samples.ray_ids].long()


def in_occupied_cells(points, pose, occupied, boxes):
    """(N,) bool"""
    resolution = occupied.shape[-1]
    low, high = boxes[pose].split(3, dim=1)
    cell = ((points - low) / (high - low) * resolution).floor().long()
    inside = ((cell >= 0) & (cell < resolution)).all(1)
    i, j, k = cell.clamp(0, resolution - 1).unbind(1)
    return inside & occupied[pose, i, j, k]


@pytest.mark.parametrize("parts", [1, 7])
def test_every_sample_of_the_exact_march_lies_in_an_occupied_cell(parts):
    posed = posed_ellipsoids(3, parts, seed=parts)
    posed[2][0] = torch.tensor([0.3, 0.02, 0.02])
    occupied, aabbs = occupancy_grids(*posed[:4], BAND, 24)
    assert occupied.shape == (3, 24, 24, 24)
    assert occupied.dtype == torch.bool
    assert 0.0 < float(occupied.float().mean()) < 0.8
    points, pose = exact_samples(posed, rays_at(posed, 300))
    low, high = aabbs[pose].split(3, dim=1)
    cell = ((points - low) / (high - low) * 24).floor().long()
    assert len(cell) > 20
    assert (cell >= 0).all()
    assert (cell < 24).all()
    assert occupied[pose, cell[:, 0], cell[:, 1], cell[:, 2]].all()


def test_cells_far_from_every_part_are_empty():
    """One sphere: the cells that can be within reach, and no others."""
    posed = [
        torch.eye(3)[None, None],
        torch.full((1, 1, 3), 0.1),
        torch.full((1, 3), 0.3),
        torch.tensor(50.0),
    ]
    occupied, aabbs = occupancy_grids(*posed, BAND, 16)
    torch.testing.assert_close(aabbs, torch.tensor([[-0.23] * 3 + [0.43] * 3]))
    centers = (torch.arange(16) + 0.5) / 16 * 0.66 - 0.33
    distance = torch.cartesian_prod(centers, centers, centers).norm(dim=1).view(16, 16, 16) - 0.3
    limit = BAND + 0.66 / 16 * 3**0.5 / 2
    assert occupied[0][distance < limit].all()
    assert not occupied[0][distance > limit + 2 * ROUNDING].any()


def test_slabs_of_layers_are_the_whole(monkeypatch):
    """As many layers at once as there is room for; the last slab is thinner."""
    posed = posed_ellipsoids(2, 3)
    whole, boxes = occupancy_grids(*posed[:4], BAND, 7)
    monkeypatch.setattr(reference, "AT_ONCE", 2 * 7**2 * 2 * 3)
    slabs, same_boxes = occupancy_grids(*posed[:4], BAND, 7)
    assert torch.equal(slabs, whole)
    assert torch.equal(same_boxes, boxes)


@pytest.mark.parametrize(
    ("backend", "parts", "resolution"),
    [("triton", 1, 7), ("triton", 3, 7), ("numba", 1, 24), ("numba", 20, 24)],
)
def test_kernels_fill_the_same_grids(backend, parts, resolution, empty_is_nan):
    """All poses in one launch; a block of cells ends beyond the grids."""
    posed = posed_ellipsoids(2, parts)
    expected, boxes = occupancy_grids(*posed[:4], BAND, resolution)
    found, found_boxes = operation(backend, "occupancy", "occupancy_grids")(*posed[:4], BAND, resolution)
    assert found.dtype == torch.bool
    assert found.is_contiguous()
    torch.testing.assert_close(found_boxes, boxes)
    assert 0 < int(expected.sum()) < expected.numel()
    assert int((found != expected).sum()) <= (1 if torch.cuda.is_available() or backend == "numba" else 0)


@pytest.mark.parametrize("resolution", [16, 96])
@pytest.mark.parametrize("semi_axes", [(0.02, 0.02, 0.6), (0.5, 0.5, 0.02), (0.02, 0.3, 0.6)])
def test_thin_shapes_at_a_small_margin(semi_axes, resolution):
    """Tips of needles and rims of discs are in the grid, up to the border of the band."""
    posed, band = posed_ellipsoids(1, 1, seed=2), 0.008
    posed[2] = torch.tensor([semi_axes])
    rays = tangent_rays(posed, 500, band * torch.linspace(0.0, 0.99, 500))
    points, pose = exact_samples(posed, rays, band, band / 4)
    occupied, boxes = occupancy_grids(*posed[:4], band, resolution)
    assert len(points) > 500
    assert in_occupied_cells(points, pose, occupied, boxes).all()
    assert occupied.float().mean() < 0.9
