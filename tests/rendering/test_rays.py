import numpy as np
import pytest
import torch
from kernel_cases import posed_ellipsoids
from tiny_scene import ring, view_matrix

from wim_fast.config import ModelConfig
from wim_fast.model.articulated_model import ArticulatedModel, Posed
from wim_fast.ops.articulated.reference import articulated_lookup
from wim_fast.ops.backend import select_backend
from wim_fast.recordings.cameras import pixel_rays
from wim_fast.rendering.rays import RayCameras, Rays, sample_divisions, sample_rays, shown_samples

FLIP = np.diag([1.0, -1.0, -1.0, 1.0])


def calibration(count=4, focal=150.0):
    T = np.stack([FLIP @ view_matrix(eye, np.array([0.1, 0.2, 0.3])).T for eye in ring(count)])
    K = np.array([[focal, 0.5, 60.0], [0, focal * 1.1, 47.0], [0, 0, 1.0]])
    return np.tile(K, (count, 1, 1)), T


def test_rays_are_those_of_the_scene_cameras():
    K, T = calibration()
    camera = torch.tensor([2, 0, 3])
    pixels = 128 * torch.rand(3, 50, 2, generator=torch.Generator().manual_seed(0))
    origins, directions = RayCameras.from_matrices(K, T).rays(camera, pixels)
    for b, v in enumerate(camera.tolist()):
        expected = pixel_rays(K[v], T[v], pixels[b].double().numpy())
        np.testing.assert_allclose(origins[b], expected[0], atol=1e-5)
        np.testing.assert_allclose(directions[b], expected[1], atol=1e-6)


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_samples_are_on_their_rays_near_the_surface(backend):
    posed = Posed(*posed_ellipsoids(2, 6))
    generator = torch.Generator().manual_seed(0)
    origins = torch.tensor([3.0, 0, 0]).expand(300, 3)
    targets = torch.rand(300, 3, generator=generator) - 0.5
    directions = torch.nn.functional.normalize(targets - origins, dim=-1)
    rays = Rays(origins, directions, torch.randint(2, (300,), generator=generator).to(torch.int32))
    jitter = torch.rand(300, generator=generator)
    residual_max, inv_s = 0.02, 200.0
    samples = sample_rays(posed, rays, jitter, residual_max, inv_s, select_backend(backend))
    ray = torch.repeat_interleave(torch.arange(300), samples.offsets.diff())
    assert len(samples.points) > 300
    assert torch.equal(samples.pose_ids, rays.pose_ids[ray])
    along = samples.points - origins[ray]
    torch.testing.assert_close(along.norm(dim=-1), samples.t, atol=1e-5, rtol=0)
    torch.testing.assert_close(along / samples.t[:, None], directions[ray], atol=1e-5, rtol=0)
    union = articulated_lookup(samples.points, samples.pose_ids, *posed, 1).union
    assert float(union.max()) < residual_max + 10 / inv_s


def test_the_visible_surface_lies_between_samples():
    """Every ray that meets the union has a sample in front of it and one behind, however thin the band."""
    posed = Posed(*posed_ellipsoids(1, 6))
    generator = torch.Generator().manual_seed(0)
    origins = torch.tensor([3.0, 0, 0]).expand(400, 3)
    targets = torch.rand(400, 3, generator=generator) * 0.8 - 0.4
    directions = torch.nn.functional.normalize(targets - origins, dim=-1)
    pose_ids = torch.zeros(400, dtype=torch.int32)
    t = torch.linspace(2.0, 4.0, 800)
    points = origins[:, None] + t[:, None] * directions[:, None]
    many = pose_ids.repeat_interleave(len(t))
    backend = select_backend("numba")
    union = backend.articulated_lookup(points.view(-1, 3), many, *posed, 1).union.view(400, -1)
    deep = (union < -0.045).any(1)  # deeper than the band
    first = t[(union < 0).float().argmax(1)]
    samples = sample_rays(
        posed,
        Rays(origins, directions, pose_ids),
        torch.full((400,), 0.3),
        0.02,
        150.0,
        backend,
    )
    assert deep.sum() > 20
    for ray in deep.nonzero().squeeze(1).tolist():
        own = samples.t[samples.offsets[ray] : samples.offsets[ray + 1]]
        assert float(own.min()) < float(first[ray]) < float(own.max()) + 1e-3


def some_rays(poses, count):
    generator = torch.Generator().manual_seed(0)
    origins = torch.tensor([3.0, 0, 0]).expand(count, 3)
    targets = torch.rand(count, 3, generator=generator) - 0.5
    directions = torch.nn.functional.normalize(targets - origins, dim=-1)
    pose_ids = torch.randint(poses, (count,), generator=generator).to(torch.int32)
    return Rays(origins, directions, pose_ids), torch.rand(count, generator=generator)


def assert_padded(samples, exact, capacity):
    """The first of the exact samples, then padding, in `capacity` rows."""
    count = min(len(exact.t), capacity)
    for name in samples._fields[:-2]:
        rows, expected = getattr(samples, name), getattr(exact, name)
        padding = -1 if name.endswith("ids") else 0
        assert len(rows) == capacity
        assert rows.dtype == expected.dtype
        assert torch.equal(rows[:count], expected[:count])
        assert (rows[count:] == padding).all()
    assert torch.equal(samples.offsets, exact.offsets.clamp_max(capacity))
    assert int(samples.overflow) == max(len(exact.t) - capacity, 0)


def test_fixed_capacity():
    posed = Posed(*posed_ellipsoids(2, 6))
    rays, jitter = some_rays(2, 100)
    backend = select_backend("numba")
    exact = sample_rays(posed, rays, jitter, 0.02, 200.0, backend)
    count = len(exact.t)
    for capacity in (count - 7, count, count + 50):
        padded = sample_rays(posed, rays, jitter, 0.02, torch.tensor(200.0), backend, capacity)
        assert_padded(padded, exact, capacity)


@pytest.mark.parametrize(("inv_s", "error"), [(30.0, 0.03), (150.0, 1e-3), (400.0, 1e-3)])
@pytest.mark.parametrize("padding", [None, 0, 40])
def test_what_shows_is_nearly_what_decoding_all_says(padding, inv_s, error):
    """With padding as without: pictures by the samples that show are those by all samples that marching finds."""
    torch.manual_seed(0)
    model = ArticulatedModel(ModelConfig(parts=6), 2)
    with torch.no_grad():
        model.field.table.mul_(30)  # rough residuals
    posed = Posed(*posed_ellipsoids(2, 6))
    rays, jitter = some_rays(2, 300)
    backend, room = select_backend("numba"), (None, None)
    divisions = sample_divisions(inv_s)
    arguments = model, posed, rays, jitter, inv_s, divisions, backend
    if padding is not None:
        shown, marched = shown_samples(*arguments)
        room = len(marched.t) + padding, len(shown.t) + padding
    shown, marched = shown_samples(*arguments, *room)
    assert int(shown.overflow) == 0
    if padding is not None:
        assert len(shown.t) == room[1]

    def seen(samples):
        with torch.no_grad():
            values = model.evaluate(samples.points, samples.pose_ids, posed, backend)
            return backend.composite(values.sdf, values.rgb, samples.t, samples.offsets, inv_s).opacity

    same = divisions * jitter % 1  # so that all lie at multiples of a step from each other
    fine = sample_rays(posed, rays, same, model.field.residual_max, inv_s, backend)
    opacity, expected = seen(shown), seen(fine)
    assert (expected > 0.5).sum() > 50
    wrong = (opacity - expected).abs()
    assert float(wrong.mean()) < error
    assert float((wrong > 0.1).float().mean()) < error
    if inv_s > 100:  # otherwise steps are as long as the band, and nearly all shows
        assert int(shown.offsets[-1]) < 0.6 * len(fine.t)


def test_nothing_shows_of_no_samples():
    rays, jitter = some_rays(2, 3)
    rays = rays._replace(directions=-rays.directions)  # away from the object
    model, posed = ArticulatedModel(ModelConfig(parts=6), 2), Posed(*posed_ellipsoids(2, 6))
    shown, marched = shown_samples(model, posed, rays, jitter, 150.0, 2, select_backend("numba"))
    assert len(shown.points) == len(marched.t) == 0
    assert shown.offsets.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(("inv_s", "expected"), [(20.0, 2), (180.0, 3), (370.0, 4), (600.0, 5)])
def test_sharper_surfaces_take_more_steps_between_samples(inv_s, expected):
    assert sample_divisions(inv_s) == expected
