import numpy as np
import pytest
import torch
from kernel_cases import (
    BACKENDS,
    KERNELS,
    assert_near,
    gradients,
    interpreted,
    non_contiguous,
    operation,
    posed_ellipsoids,
)
from torch.autograd import gradcheck

from wim_fast.ops.silhouette import reference
from wim_fast.ops.silhouette.reference import NOWHERE, MaskTables

IMAGE, SIDE = 48.0, 16.0  # the coarse masks are square here
CAMERAS, FRAMES = 4, 3


def random(*shape, seed=0, dtype=torch.float32):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def make_masks(seed=0, unreliable=0.2):
    """A blob in every image, some of whose pixels are unreliable; the mask of image (1, 2) is empty."""
    side = int(SIDE)
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    grid = torch.stack([x, y], -1)
    nearest = torch.zeros(CAMERAS, FRAMES, side, side, 2, dtype=torch.uint8)
    reliable = random(CAMERAS, FRAMES, side, side, seed=seed) >= unreliable
    pixels, first = [], [0]
    for v in range(CAMERAS):
        for t in range(FRAMES):
            center = 5 + 6 * random(2, seed=10 * v + t)
            blob = ((grid - center) ** 2).sum(-1) < 12
            if (v, t) == (1, 2):
                blob[:] = False
            else:
                kept = grid[blob]
                nearest[v, t] = kept[torch.cdist(grid.view(-1, 2).float(), kept.float()).argmin(1)].view_as(
                    grid
                )
                nearest[v, t][~reliable[v, t] & blob] = NOWHERE
            pixels.append(grid[blob & reliable[v, t]])
            first.append(first[-1] + len(pixels[-1]))
    return MaskTables(nearest, reliable, torch.cat(pixels).to(torch.uint8), torch.tensor(first), IMAGE, SIDE)


def make_projection(distance=3.0):
    """World to homogeneous pixels of cameras (CAMERAS, 3, 4) round the origin that look at it."""
    rows = []
    for k in range(CAMERAS):
        angle = 2 * torch.pi * k / CAMERAS
        turn = torch.tensor(
            [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
        ).float()
        K = torch.tensor([[60.0, 0, 24], [0, 60, 24], [0, 0, 1]])
        rows.append(K @ torch.cat([turn, torch.tensor([[0.0], [0], [distance]])], 1))
    return torch.stack(rows)


def case(images=6, parts=3, each=5, mask_pixels=7, distance=3.0):
    """Arguments of `silhouette_losses`, image (1, 2), whose mask is empty, among the images."""
    rotation, translation, semi_axes = posed_ellipsoids(images, parts)[:3]
    camera = torch.arange(images) % CAMERAS
    frame = torch.arange(images) % FRAMES
    camera[-1], frame[-1] = 1, 2
    return [rotation, translation, semi_axes, normal(parts, each, 3), random(images, mask_pixels), camera, frame,
            make_projection(distance), make_masks()]  # fmt: skip


def losses_of(backend, inputs, dead_zone):
    run = operation(backend, "silhouette", "silhouette_losses")
    return gradients(lambda *x: run(*x, dead_zone), inputs, (0, 1, 2))


@pytest.mark.parametrize("backend", KERNELS)
@pytest.mark.parametrize("dead_zone", [0.0, 3 / 512, 0.1])
@pytest.mark.parametrize(
    ("images", "parts", "each", "mask_pixels", "distance"),
    [
        (6, 3, 5, 7, 3.0),
        (1, 1, 1, 1, 3.0),  # its mask is empty
        (2, 1, 1, 1, 3.0),
        (8, 10, 16, 64, 3.0),
        (5, 4, 9, 33, 0.8),  # most points fall outside of the images
        (8, 4, 9, 33, 0.1),  # half of the points lie behind the cameras
    ],
)
def test_kernel_against_reference(
    images, parts, each, mask_pixels, distance, dead_zone, backend, empty_is_nan
):
    if interpreted(backend) and (dead_zone == 0.1 or (parts == 10 and dead_zone == 0)):
        pytest.skip("too slow in Triton's interpreter")
    inputs = case(images, parts, each, mask_pixels, distance)
    found, grads = losses_of(backend, inputs, dead_zone)
    expected, expected_grads = losses_of("torch", inputs, dead_zone)
    scale = max(1.0, *(float(x) for x in expected))
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x, y, atol=1e-7, rtol=1e-5)
    for name, x, y in zip(("rotation", "translation", "axes"), grads, expected_grads, strict=True):
        assert_near(x / scale, y / scale, rmse=2e-4, maximum=5e-3, name=name)
    assert (images > 1) == any(bool(x.any()) for x in grads)


@pytest.mark.parametrize("backend", KERNELS)
def test_images_without_a_mask_add_nothing(backend):
    inputs = case()
    _, grads = losses_of(backend, inputs, 0.0)
    for x in grads[:2]:
        assert (x[-1] == 0).all()
        assert (x[:-1] != 0).any()


@pytest.mark.parametrize("backend", KERNELS)
def test_non_contiguous_inputs(backend):
    inputs = case()
    strange = [non_contiguous(x) for x in inputs[:-1]]
    for x, y in zip(
        losses_of(backend, inputs, 0.01), losses_of(backend, [*strange, inputs[-1]], 0.01), strict=True
    ):
        assert all(torch.equal(a, b) for a, b in zip(x, y, strict=True))


def test_reference_gradients_in_float64():
    *tensors, masks = case(3, 2, 4, 5)
    rotation, translation, axes, direction, uniform, camera, frame, projection = (
        x.double() if x.is_floating_point() else x for x in tensors
    )
    others = direction, uniform, camera, frame, projection, masks, 0.01
    posed = [x.requires_grad_() for x in (rotation, translation, axes)]
    assert gradcheck(lambda *x: reference.silhouette_losses(*x, *others), posed, eps=1e-7, atol=1e-6)


def test_surface_points_lie_on_their_ellipsoids():
    rotation, translation, semi_axes = posed_ellipsoids(3, 4)[:3]
    points = reference.surface_points(rotation, translation, semi_axes, normal(4, 50, 3)).view(3, 4, 50, 3)
    local = torch.einsum("fpab,fpna->fpnb", rotation, points - translation[:, :, None])
    on_sphere = (local / semi_axes[:, None]).norm(dim=-1)
    torch.testing.assert_close(on_sphere, torch.ones(3, 4, 50), atol=1e-5, rtol=0)


def brute_chamfer(pixels, mask, weight, dead_zone):
    """Both directions over all pairs, image by image."""
    total = 0.0
    for points, target, w in zip(pixels.numpy(), mask.numpy(), weight.tolist(), strict=True):
        distance = np.linalg.norm(points[:, None] - target[None], axis=-1)
        for nearest in (distance.min(1), distance.min(0)):
            total += w * np.where(nearest < dead_zone, 0, nearest**2).mean()
    return total / len(pixels)


@pytest.mark.parametrize("dead_zone", [0.0, 0.06])
def test_chamfer_by_brute_force(dead_zone):
    pixels, mask = random(4, 40, 2, dtype=torch.float64), 0.5 * random(4, 70, 2, seed=1, dtype=torch.float64)
    weight = torch.tensor([1.0, 0, 1, 1]).double()
    index = torch.cdist(pixels, mask).argmin(-1)
    nearest = torch.gather(mask, 1, index[..., None].expand(-1, -1, 2))
    loss = reference.chamfer(pixels, nearest, mask, weight, dead_zone)
    assert float(loss) == pytest.approx(brute_chamfer(pixels, mask, weight, dead_zone))


def test_chamfer_pulls_both_ways():
    """Points outside of the mask move in; mask pixels without a point near them draw the closest."""
    pixels = torch.tensor([[[0.9, 0.5], [0.4, 0.5]]], requires_grad=True)
    mask = torch.tensor([[[0.1, 0.5], [0.4, 0.5]]])
    reference.chamfer(pixels, mask[:, 1:].expand(1, 2, 2), mask, torch.ones(1), 0.0).backward()
    gradient = pixels.grad[0]
    assert gradient[0, 0] > 0  # descends to the left, into the mask
    assert gradient[1, 0] > 0  # descends to the left, to the pixel at 0.1
    assert (gradient[:, 1] == 0).all()


def test_points_outside_of_the_image_are_pulled_in():
    far = torch.tensor([[[-3.0, 0.5], [9.0, 9.0], [0.5, -1.0]]])
    zero = torch.tensor([0])
    found = reference.nearest_in_mask(make_masks(unreliable=0), zero, zero, far)
    assert ((found > 0) & (found < 1)).all()


def unjudged_case(poses=2, parts=3, each=40, distance=1.2):
    """Arguments of `unjudged_points` but the count; the pictures cut the parts off."""
    rotation, translation, semi_axes = posed_ellipsoids(poses, parts)[:3]
    frame = torch.arange(poses) % FRAMES
    return [rotation, translation, semi_axes, 0.05, normal(poses, parts, each, 3), random(2, poses, parts, each), frame,
            make_projection(distance), make_masks(unreliable=0.9)]  # fmt: skip


@pytest.mark.parametrize("backend", KERNELS)
@pytest.mark.parametrize(
    ("poses", "parts", "each", "distance"),
    [(2, 3, 40, 3.0), (1, 1, 9, 0.1), (5, 4, 30, 0.3), (8, 10, 7, 1.2)],
)
def test_unjudged_points_against_reference(poses, parts, each, distance, backend, empty_is_nan):
    inputs = unjudged_case(poses, parts, each, distance)
    for count in (0, 5, poses * parts * each):
        found, expected = (
            operation(b, "silhouette", "unjudged_points")(*inputs, count) for b in (backend, "torch")
        )
        torch.testing.assert_close(found.points, expected.points, atol=1e-6, rtol=1e-5)
        assert torch.equal(found.pose_ids, expected.pose_ids)
        assert torch.equal(found.unjudged, expected.unjudged)
        assert found.pose_ids.dtype == expected.pose_ids.dtype == torch.int32


@pytest.mark.parametrize("backend", BACKENDS)
def test_unjudged_points_come_first(backend):
    """None that a camera judges while there are others; all of them lie in the grown ellipsoids of their poses."""
    rotation, translation, semi_axes, margin, *others = unjudged_case()
    run = operation(backend, "silhouette", "unjudged_points")
    every = run(rotation, translation, semi_axes, margin, *others, 240)
    number = int(every.unjudged.sum())
    assert 0 < number < 240
    assert every.unjudged[:number].all()
    assert not every.unjudged[number:].any()
    frame, projection, masks = others[2:]
    for f in range(2):
        mine = every.pose_ids == f
        judged = reference.judged(masks, every.points[mine][None], frame[f : f + 1], projection)[0]
        assert torch.equal(judged, ~every.unjudged[mine])
        local = torch.einsum("pab,npa->npb", rotation[f], every.points[mine][:, None] - translation[f])
        assert ((local / (semi_axes + margin)).norm(dim=-1).min(1).values <= 1 + 1e-5).all()
