"""One training step of the paper's own network in plain torch: what `benchmark.py` compares with.

Written from the mathematics of "Watch It Move" (Noguchi et al., CVPR 2022, section 3 and supplement A) and, for
the samples along rays, of "NeuS" (Wang et al., NeurIPS 2021, section 3). In its favour: no pose losses, five
Newton steps, and rays go image by image through a graph that is kinder to the cache than one for all.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, softplus

from wim_fast.ops.ellipsoid import closest_point
from wim_fast.ops.poses.reference import rotation_from_6d
from wim_fast.rendering.rays import Rays
from wim_fast.training.batch import Batch

COARSE, ROUNDS, PER_ROUND = 64, 4, 16  # samples on a ray: 64, and 4 times 16 more where the surface is
SAMPLES_PER_RAY = COARSE + ROUNDS * PER_ROUND
OCTAVES = 6
EIKONAL_PER_RAY = 4
INV_S = 600.0
D_MAX = 0.02


class PaperModel(nn.Module):
    """Pose network, ellipsoids, and the decoder of concatenated, weighted encodings of all parts."""

    def __init__(self, parts: int, num_frames: int, frequencies: int = 30, width: int = 256) -> None:
        super().__init__()
        self.parts, self.num_frames = parts, num_frames
        self.register_buffer("k", torch.arange(frequencies))
        self.register_buffer("octaves", math.pi * 2.0 ** torch.arange(OCTAVES))
        pose = [frequencies, *3 * [width], 9 * parts]
        decoder = [parts * 6 * OCTAVES, *7 * [width], 4]
        self.pose_layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(pose))
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(decoder))
        self.semi_axes = nn.Parameter(torch.full((parts, 3), 0.1))
        self.u, self.v = nn.Parameter(torch.tensor(5.0)), nn.Parameter(torch.tensor(30.0))

    def start_at(self, rotation: Tensor, translation: Tensor, semi_axes: Tensor) -> None:
        """Begin near a pose: rotation (P, 3, 3), translation (P, 3), semi_axes (P, 3)."""
        with torch.no_grad():
            self.semi_axes.copy_(semi_axes)
            self.pose_layers[-1].weight.mul_(0.1)
            six = torch.cat([translation, rotation[..., 0], rotation[..., 1]], dim=-1)
            self.pose_layers[-1].bias.copy_(six.flatten())

    def pose(self, frame: Tensor) -> tuple[Tensor, Tensor]:
        """Rotation (P, 3, 3) and translation (P, 3) of one frame ()."""
        x = torch.cos(math.pi / self.num_frames * self.k * (frame + 0.5))
        for layer in self.pose_layers[:-1]:
            x = elu(layer(x))
        x = self.pose_layers[-1](x).view(self.parts, 9)
        return rotation_from_6d(x[:, 3:]), x[:, :3]

    def forward(self, points: Tensor, rotation: Tensor, translation: Tensor) -> tuple[Tensor, Tensor]:
        """Signed distance (N,) and colour (N, 3) in [-1, 1] at world points (N, 3) of one pose."""
        local = torch.einsum("npa,pab->npb", points[:, None] - translation, rotation)
        sdf = ellipsoid_sdf(local, self.semi_axes)
        a, b = softplus(self.v), softplus(10 * self.u)
        union = -torch.logsumexp(-b * sdf, dim=1) / b
        angles = local[..., None] * self.octaves  # (N, P, 3, octaves)
        encoding = torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(2)
        x = (torch.softmax(-a * sdf, dim=1)[..., None] * encoding).flatten(1)
        for layer in self.layers[:-1]:
            x = softplus(layer(x), beta=100)
        x = torch.tanh(self.layers[-1](x))
        return union + D_MAX * x[:, 0], x[:, 1:]


def ellipsoid_sdf(x: Tensor, r: Tensor) -> Tensor:
    """A.2: the closest point carries no gradient but through the semi-axes; differentiable twice in `x`."""
    closest, _, sdf = closest_point(x.detach(), r.detach(), steps=5)
    difference = x - (closest / r.detach()) * r
    return torch.where(sdf < 0, -1.0, 1.0) * (difference.square().sum(-1) + 1e-12).sqrt()


def alphas(sdf: Tensor, inv_s: float) -> Tensor:
    """Of the intervals between consecutive samples (R, S): (R, S - 1)."""
    phi = torch.sigmoid(inv_s * sdf)
    return ((phi[:, :-1] - phi[:, 1:]) / phi[:, :-1].clamp_min(1e-6)).clamp(0, 1)


def weights(alpha: Tensor) -> Tensor:
    """Of the intervals (R, S - 1)."""
    before = torch.cumprod(torch.cat([torch.ones_like(alpha[:, :1]), 1 - alpha[:, :-1] + 1e-7], dim=1), dim=1)
    return alpha * before


def stratified(rays: int, count: int, device: torch.device) -> Tensor:
    """Random numbers (R, count) in [0, 1), ascending, one in each of `count` equal intervals."""
    return (torch.arange(count, device=device) + torch.rand(rays, count, device=device)) / count


@torch.no_grad()
def sample(model: PaperModel, origins: Tensor, directions: Tensor, pose: tuple[Tensor, Tensor]) -> Tensor:
    """Distances (R, 128) along rays: evenly spread, then drawn near the surface, ever more sharply."""
    rays, device = len(origins), origins.device
    middle = (pose[1].mean(0) - origins).norm(dim=-1, keepdim=True)
    t = middle - 1 + 2 * stratified(rays, COARSE, device)

    def distance(t: Tensor) -> Tensor:
        points = origins[:, None] + t[..., None] * directions[:, None]
        return model(points.view(-1, 3), *pose)[0].view(t.shape)

    sdf = distance(t)
    for i in range(ROUNDS):
        share = weights(alphas(sdf, 32.0 * 2**i)) + 1e-5
        cdf = torch.nn.functional.pad(share.cumsum(1) / share.sum(1, keepdim=True), (1, 0))
        u = stratified(rays, PER_ROUND, device)
        above = torch.searchsorted(cdf, u).clamp(1, cdf.shape[1] - 1)
        low, high = cdf.gather(1, above - 1), cdf.gather(1, above)
        t_low, t_high = t.gather(1, above - 1), t.gather(1, above)
        new = t_low + (t_high - t_low) * (u - low) / (high - low).clamp_min(1e-9)
        t, order = torch.cat([t, new], dim=1).sort(dim=1)
        if i + 1 < ROUNDS:
            sdf = torch.cat([sdf, distance(new)], dim=1).gather(1, order)
    return t


def image_losses(model: PaperModel, rays: Rays, rgb: Tensor, alpha: Tensor, frame: Tensor) -> Tensor:
    """Colour, mask and eikonal loss of the rays (R) of one image."""
    origins, directions, _ = rays
    pose = model.pose(frame)
    t = sample(model, origins, directions, tuple(x.detach() for x in pose))
    points = origins[:, None] + t[..., None] * directions[:, None]
    sdf, color = model(points.view(-1, 3), *pose)
    sdf, color = sdf.view(t.shape), color.view(*t.shape, 3)
    weight = weights(alphas(sdf, INV_S))
    seen = (weight[..., None] * color[:, :-1]).sum(1) + (1 - weight.sum(1, keepdim=True))
    target = alpha[:, None] * (2 * rgb - 1) + (1 - alpha[:, None])

    pick = torch.randint(t.shape[1], (len(t), EIKONAL_PER_RAY, 1), device=t.device).expand(-1, -1, 3)
    x = points.gather(1, pick).view(-1, 3).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x, *pose)[0].sum(), x, create_graph=True)
    eikonal = ((gradient.norm(dim=-1) - 1) ** 2).mean()
    return ((seen - target) ** 2).mean() + ((weight.sum(1) - alpha) ** 2).mean() + 0.02 * eikonal


class PaperStep:
    """The paper's model and optimiser; `step` is one iteration."""

    def __init__(self, model: PaperModel) -> None:
        self.model = model
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.005)

    def step(self, batch: Batch) -> None:
        """One update from a batch of images."""
        self.optimizer.zero_grad()
        images = len(batch.camera)
        rays_per_image = len(batch.alpha) // images
        for i in range(images):
            own = slice(i * rays_per_image, (i + 1) * rays_per_image)
            rays = Rays(*(x[own] for x in batch.rays))
            loss = image_losses(self.model, rays, batch.rgb[own], batch.alpha[own], batch.frame[i])
            (loss / images).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
        self.optimizer.step()

    def matrix_flops(self, rays: int) -> int:
        """Floating point operations in the decoder's matrix products for a step of so many rays.

        A sample costs its weights once in the forward pass and twice in the backward one, an eikonal sample six times
        (distance, its gradient, and both of their backward passes).
        """
        products = sum(layer.weight.numel() for layer in self.model.layers)
        passes = COARSE + (ROUNDS - 1) * PER_ROUND + 3 * SAMPLES_PER_RAY + 6 * EIKONAL_PER_RAY
        return 2 * products * passes * rays
