import torch

from wim_fast.ops.shape_losses.reference import tetrahedron
from wim_fast.rendering.rays import RaySamples
from wim_fast.training.step import eikonal_taps, tapped_samples


def generator():
    return torch.Generator().manual_seed(0)


def test_taps_are_tetrahedra_round_samples():
    points = torch.rand(200, 3, generator=generator())
    samples = RaySamples(points, torch.arange(200).int(), torch.zeros(200), torch.tensor([0, 200]))
    taps, pose_ids = eikonal_taps(samples, tapped_samples(samples, 30, generator()), 0.002)
    taps, pose_ids = taps.view(4, 30, 3), pose_ids.view(4, 30)
    assert (pose_ids == pose_ids[0]).all()
    center = points[pose_ids[0].long()]
    torch.testing.assert_close(taps.mean(0), center)
    offset = taps - center
    scale = offset[0, 0, 0] / tetrahedron(offset.device)[0, 0]
    torch.testing.assert_close(
        offset, (scale * tetrahedron(offset.device))[:, None].expand_as(offset), atol=1e-6, rtol=0
    )


def test_taps_of_few_samples():
    for count in (0, 1, 3):
        offsets = torch.tensor([0, count])
        samples = RaySamples(torch.zeros(count, 3), torch.zeros(count).int(), torch.zeros(count), offsets)
        tapped = tapped_samples(samples, 30, generator())
        assert eikonal_taps(samples, tapped, 0.002)[0].shape == (4 * 30 if count else 0, 3)
