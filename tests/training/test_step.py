import torch

from wim_fast.ops.samples.reference import RaySamples
from wim_fast.ops.shape_losses.reference import tetrahedron
from wim_fast.training.step import eikonal_taps, motion_loss, newest_frames, tapped_samples


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


def test_the_newest_frames_and_those_to_come():
    assert newest_frames(torch.tensor(20.0), 60).tolist() == [*range(14, 24)]
    assert newest_frames(torch.tensor(2.0), 60).tolist() == [0, 0, 0, 0, 0, 1, 2, 3, 4, 5]
    assert newest_frames(torch.tensor(59.0), 60).tolist() == [*range(53, 60), 59, 59, 59]


def test_motion_that_goes_on_as_it_was_costs_nothing():
    t = torch.arange(8.0)
    start, velocity = torch.rand(2, 5, 3, generator=generator())
    rotation = torch.eye(3).expand(8, 5, 3, 3)
    steady = start + t[:, None, None] * velocity
    semi_axes = torch.tensor([0.3, 0.2, 0.1]).expand(5, 3)
    assert motion_loss(rotation, steady, semi_axes) < 1e-9
    faster = steady + 0.5 * 0.2 * t[:, None, None].square() * torch.tensor([0.0, 1, 0])
    torch.testing.assert_close(motion_loss(rotation, faster, semi_axes), torch.tensor(0.2**2))
    # of a part that turns by 0.1 a frame about its third axis, the ends of the other two are pulled to its centre
    cos, sin = torch.cos(0.1 * t), torch.sin(0.1 * t)
    turning = torch.zeros(8, 5, 3, 3)
    turning[..., 0, 0], turning[..., 0, 1] = cos[:, None], -sin[:, None]
    turning[..., 1, 0], turning[..., 1, 1] = sin[:, None], cos[:, None]
    turning[..., 2, 2] = 1
    pull = 2 * (1 - torch.cos(torch.tensor(0.1)))
    expected = (pull * torch.tensor([0.0, 0.3, 0.2, 0.0])).square().mean()
    torch.testing.assert_close(motion_loss(turning, steady, semi_axes), expected, rtol=1e-3, atol=0)


def test_frames_still_to_come_hold_the_newest_back():
    translation = torch.zeros(10, 1, 3, requires_grad=True)
    with torch.no_grad():
        translation[6:, 0, 0] = 1.0  # a jump
    motion_loss(torch.eye(3).expand(10, 1, 3, 3), translation, torch.ones(1, 3)).backward()
    assert translation.grad is not None
    assert translation.grad[6, 0, 0] > 0 > translation.grad[5, 0, 0]
