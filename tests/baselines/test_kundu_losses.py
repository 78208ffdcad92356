"""Kundu*'s losses, each against an independent computation, and their gradients in float64."""

from __future__ import annotations

import math
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter
from scipy.stats import multivariate_normal
from tiny_template import sphere

from wim_fast.baselines.kundu import losses
from wim_fast.baselines.kundu.outline import find_outline, mesh_edges, soft_mask
from wim_fast.baselines.kundu.prior import load_pose_prior
from wim_fast.errors import UserError
from wim_fast.rendering.raster import rasterize


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_visibility() -> None:
    for facing, behind in ((1.0, 0.0), (0.02, 0.1), (-0.1, -0.3)):
        s = [1 / (1 + math.exp(-x)) for x in (50 * facing, 10 * behind, -10 * behind)]
        found = losses.visibility(torch.tensor(facing), torch.tensor(behind))
        assert float(found) == pytest.approx(4 * s[0] * s[1] * s[2], rel=1e-5)
    assert float(losses.visibility(torch.tensor(1.0), torch.tensor(0.0))) == pytest.approx(1.0)


def test_normals_of_a_sphere_point_outward() -> None:
    vertices, faces = sphere(24, 32)
    normals = losses.vertex_normals(torch.from_numpy(vertices)[None], torch.from_numpy(faces))[0]
    assert (normals.numpy() * vertices).sum(-1).min() > 0.98


def test_consensus_and_sampling() -> None:
    images, weights = random(3, 3, 5, 7).abs(), random(3, 4, seed=1).abs()
    pixels = torch.rand(3, 4, 2, dtype=torch.float64) * torch.tensor([6.0, 4.0]) + 0.5
    colors = losses.sampled(images, pixels)
    total = count = 0.0
    for b in range(3):
        for v in range(4):
            x, y = (pixels[b, v] - 0.5).tolist()
            i, j = min(int(x), 5), min(int(y), 3)
            corners = images[b, :, j : j + 2, i : i + 2]
            expected = torch.tensor([1 - (y - j), y - j], dtype=torch.float64) @ corners
            expected = expected @ torch.tensor([1 - (x - i), x - i], dtype=torch.float64)
            torch.testing.assert_close(colors[b, v], expected)
            other = (b - 1) % 3
            both = float(weights[b, v] * weights[other, v])
            total += both * float((colors[b, v] - colors[other, v]).square().mean())
            count += both
    assert float(losses.consensus_loss(colors, weights)) == pytest.approx(total / count)


def test_masks_are_compared_as_they_are_and_blurred() -> None:
    mask, alpha, reliable = (random(2, 24, 20, seed=k).sigmoid() for k in range(3))
    difference = (reliable * (mask - alpha)).numpy()
    expected = np.square(difference).mean()
    for side in (3, 7):
        blurred = difference
        for _ in range(3):
            blurred = uniform_filter(blurred, (0, side, side), mode="constant")
        expected += np.square(blurred).mean()
    assert float(losses.outline_loss(mask, alpha, reliable)) == pytest.approx(expected)


def mixture(seed: int = 3, K: int = 3, D: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(K, D, D))
    return {
        "means": rng.normal(size=(K, D)),
        "covars": root @ root.transpose(0, 2, 1) + 0.1 * np.eye(D),
        "weights": rng.dirichlet(np.ones(K)),
    }


def test_prior_is_the_largest_of_the_gaussians(tmp_path: Path) -> None:
    """Up to a constant, minus the logarithm of the likeliest term of the mixture."""
    arrays = mixture()
    np.savez(tmp_path / "prior.npz", **arrays)
    prior = load_pose_prior(tmp_path / "prior.npz", 6)
    poses = random(5, 6).numpy()
    terms = [
        np.log(w) + multivariate_normal(m, c).logpdf(poses)
        for w, m, c in zip(arrays["weights"], arrays["means"], arrays["covars"], strict=True)
    ]
    likeliest = -np.max(terms, axis=0)
    found = np.array([float(prior(torch.from_numpy(pose)[None])) for pose in poses])
    np.testing.assert_allclose(found - found[0], likeliest - likeliest[0], atol=1e-9)
    assert float(prior(torch.from_numpy(poses))) == pytest.approx(found.mean())
    assert float(losses.small_angles(torch.tensor([[1.0, 2.0], [0.0, 1.0]]))) == 3.0


def test_priors_that_are_none(tmp_path: Path) -> None:
    file = tmp_path / "prior.npz"
    for changes, problem in (
        ({"means": np.zeros((2, 6))}, "do not fit each other"),
        ({"covars": np.zeros((3, 6, 6))}, "no mixture of Gaussians"),
    ):
        np.savez(file, **{**mixture(), **changes})
        with pytest.raises(UserError, match=problem):
            load_pose_prior(file, 6)
    np.savez(file, **mixture())
    with pytest.raises(UserError, match="of 6 angles, and the body has 3"):
        load_pose_prior(file, 3)
    evil = tmp_path / "gmm.pkl"
    evil.write_bytes(pickle.dumps(print))
    with pytest.raises(UserError, match="is not read"):
        load_pose_prior(evil, 6)
    with pytest.raises(UserError, match="no such file") as caught:
        load_pose_prior(tmp_path / "gmm_08.pkl", 69)
    assert "smplify" in str(caught.value)


def python2_pickle(arrays: dict[str, np.ndarray]) -> bytes:
    """As Python 2 wrote a dict of float64 arrays: texts and bytes are strings to it."""

    def text(value: bytes) -> bytes:
        short = len(value) < 256
        return (b"U" + bytes([len(value)]) if short else b"T" + struct.pack("<i", len(value))) + value

    def array(x: np.ndarray) -> bytes:
        shape = b"(" + b"".join(b"K" + bytes([n]) for n in x.shape) + b"t"
        dtype = (
            b"cnumpy\ndtype\n(" + text(b"f8") + b"K\x00K\x01tR(K\x03" + text(b"<") + b"NNNJ\xff\xff\xff\xff"
        )
        dtype += b"J\xff\xff\xff\xffK\x00tb"
        start = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85" + text(b"b") + b"tR"
        return start + b"(K\x01" + shape + dtype + b"\x89" + text(x.astype("<f8").tobytes()) + b"tb"

    items = b"".join(text(name.encode()) + array(x) for name, x in arrays.items())
    return b"\x80\x02}(" + items + b"u."


def test_prior_of_python_2(tmp_path: Path) -> None:
    arrays = mixture()
    (tmp_path / "gmm.pkl").write_bytes(python2_pickle(arrays))
    assert pickle.loads(python2_pickle(arrays), encoding="latin1")["means"].shape == (3, 6)
    np.savez(tmp_path / "gmm.npz", **arrays)
    pose = random(4, 6)
    both = [load_pose_prior(tmp_path / f"gmm.{kind}", 6)(pose) for kind in ("pkl", "npz")]
    assert both[0] == both[1]


TRIANGLE = np.array([[4.3, 3.2], [20.1, 7.4], [9.6, 18.7]])


def soft_triangle(pixels: torch.Tensor, softness: float = 1.5) -> torch.Tensor:
    faces, place = np.array([[0, 1, 2]]), pixels.detach().numpy()
    covered = rasterize(place, np.ones(3), faces, 24, 26).face >= 0
    outline = find_outline(place, faces, mesh_edges(faces), covered)
    return soft_mask(pixels, outline, covered, softness)


def test_soft_mask_of_a_triangle() -> None:
    """The sigmoid of the signed distance to its three sides, pixel by pixel."""
    found = soft_triangle(torch.from_numpy(TRIANGLE)).numpy()
    for row in range(24):
        for column in range(26):
            p, away, inside = np.array([column + 0.5, row + 0.5]), np.inf, True
            for a, b in zip(TRIANGLE, np.roll(TRIANGLE, -1, axis=0), strict=True):
                along = b - a
                t = np.clip((p - a) @ along / (along @ along), 0, 1)
                away = min(away, float(np.linalg.norm(p - a - t * along)))
                inside &= along[0] * (p - a)[1] - along[1] * (p - a)[0] > 0
            if away < 9.0:
                assert found[row, column] == pytest.approx(
                    1 / (1 + math.exp(-(away if inside else -away) / 1.5)), abs=1e-6
                )
            else:
                assert found[row, column] == inside


def test_only_the_outline_of_several_surfaces_counts() -> None:
    """A small sphere before a large one does not soften its middle; an empty picture has no outline."""
    vertices, faces = sphere(16, 24)
    both = np.concatenate([10 * vertices, 3 * vertices])[:, :2] + 16
    faces = np.concatenate([faces, faces + len(vertices)])
    depth = np.concatenate([np.full(len(vertices), 2.0), np.full(len(vertices), 1.0)])
    covered = rasterize(both, depth, faces, 32, 32).face >= 0
    outline = find_outline(both, faces, mesh_edges(faces), covered)
    assert outline.ends.max() < len(vertices)
    mask = soft_mask(torch.from_numpy(both), outline, covered, 1.0).numpy()
    assert mask[16, 16] == 1.0
    assert mask[16, 16 + 9] > 0.5 > mask[16, 16 + 11]
    away = soft_mask(torch.from_numpy(both + 500), find_outline(both + 500, faces, mesh_edges(faces), covered & False),
                     covered & False, 1.0)  # fmt: skip
    assert not away.any()


def test_gradients() -> None:
    check = torch.autograd.gradcheck
    pixels = torch.tensor(TRIANGLE, requires_grad=True)
    assert check(soft_triangle, (pixels,), atol=1e-6)
    images, weights = random(3, 3, 5, 7), random(3, 4, seed=1).abs()
    place = (random(3, 4, 2, seed=2).sigmoid() * 4 + 0.7).requires_grad_()
    assert check(lambda p: losses.consensus_loss(losses.sampled(images, p), weights), (place,))
    mask = random(1, 3, 3).requires_grad_()
    assert check(
        lambda m: losses.outline_loss(m, images[:1, 0, :3, :3], torch.ones(1, 3, 3).double()), (mask,)
    )
    prior = losses.PosePrior.of(*(torch.from_numpy(x) for x in mixture().values()))
    pose = random(4, 6).requires_grad_()
    assert check(prior, (pose,))
    assert check(losses.small_angles, (pose,))
