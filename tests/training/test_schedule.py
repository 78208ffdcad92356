import dataclasses

import pytest
import torch

from wim_fast.config import Config, LossConfig, RenderConfig, ScheduleConfig
from wim_fast.training import schedule, trainer

PAPER = ScheduleConfig(
    initial_frames=10, growth_start=0.05, growth_end=0.4, newest_frames=6, newest_share=0.2
)


def active_frames(progress: float, frames: int, settings: ScheduleConfig = PAPER) -> int:
    return schedule.active_frames(progress, frames, dataclasses.replace(Config(), schedule=settings))


@pytest.mark.parametrize(
    ("progress", "frames"),
    [(0.0, 10), (0.05, 10), (0.225, 35), (0.3999, 59), (0.4, 60), (0.8, 60), (1.0, 60)],
)
def test_frames_in_use(progress, frames):
    """T_0 until tau_0, linearly more, all at tau_1."""
    assert active_frames(progress, 60) == frames


def test_frames_in_use_of_odd_schedules():
    assert active_frames(0.0, 4) == 4  # fewer frames than T_0
    at_once = dataclasses.replace(PAPER, growth_start=0.0, growth_end=0.0)
    assert active_frames(0.0, 60, at_once) == 60
    step = dataclasses.replace(PAPER, growth_start=0.5, growth_end=0.5)
    assert [active_frames(p, 60, step) for p in (0.49, 0.5)] == [10, 60]


def test_frames_only_grow():
    active = [active_frames(p / 1000, 60) for p in range(1001)]
    assert active == sorted(active)


SHARPNESS = schedule.Sharpness(200.0, 400.0)


def values_at(progress: float, frames: int = 60) -> schedule.ScheduleValues:
    config = dataclasses.replace(Config(), schedule=PAPER)
    return schedule.ScheduleValues.of(
        torch.tensor(schedule.values_at(0, progress, frames, SHARPNESS, config))
    )


def test_values_are_what_the_functions_say():
    config = dataclasses.replace(Config(), schedule=PAPER)
    numbers = torch.tensor(schedule.values_at(70, 0.225, 60, SHARPNESS, config), dtype=torch.float64)
    values = schedule.ScheduleValues.of(numbers)
    assert values.active_frames == active_frames(0.225, 60)
    assert values.newest_share == PAPER.newest_share
    assert values.inv_s == schedule.inv_s(0.225, 200.0, config.render)
    assert values.level == schedule.level(schedule.inv_s(0.225, 200.0, config.render), 400.0)
    weights = schedule.loss_weights(0.225, config)
    assert values.weights_of(("merge", "joint")).tolist() == [weights["merge"], weights["joint"]]
    assert values.learning_rate_share == schedule.learning_rate_share(70, 0.225, config)


def test_newest_frames_are_drawn_more_often():
    """A fifth of the draws while frames are added; evenly before and after."""
    generator = torch.Generator().manual_seed(0)
    for progress, newest_share in ((0.02, 0.6), (0.225, 0.2 + 0.8 * 6 / 35), (0.5, 0.1)):
        active = active_frames(progress, 60)
        frames = schedule.draw_frames(40000, values_at(progress), PAPER, generator)
        assert int(frames.min()) == 0
        assert int(frames.max()) == active - 1
        share = (frames >= active - 6).float().mean()
        assert float(share) == pytest.approx(newest_share, abs=0.01)


def test_draws_follow_the_generator():
    draws = [
        schedule.draw_frames(50, values_at(0.2), PAPER, torch.Generator().manual_seed(3)) for _ in range(2)
    ]
    assert torch.equal(*draws)


def test_one_frame():
    generator = torch.Generator().manual_seed(0)
    assert (schedule.draw_frames(20, values_at(0.2, 1), PAPER, generator) == 0).all()


def test_joint_weight_grows_until_tau_0():
    config = Config()
    start, end, tau = (
        config.loss.joint_weight_start,
        config.loss.joint_weight_end,
        config.schedule.growth_start,
    )
    weights = [schedule.joint_weight(p, config) for p in (0.0, tau / 2, tau, 1.0)]
    assert weights == pytest.approx([start, (start + end) / 2, end, end])


def test_silhouette_losses_fade_after_all_frames_are_in():
    config = Config()
    end, least = config.for_masks().growth_end, config.loss.silhouette_final_share
    assert schedule.silhouette_share(0.0, config) == schedule.silhouette_share(end, config) == 1.0
    assert schedule.silhouette_share(1.0, config) == pytest.approx(least)
    shares = [schedule.silhouette_share(p / 100, config) for p in range(101)]
    assert shares == sorted(shares, reverse=True)
    assert schedule.loss_weights(0.7, config)["silhouette"] == shares[70] * config.loss.silhouette_weight


def test_sharpness_rises_to_its_final_value():
    """By equal factors; where it is to stay below the first one, at once."""
    render = RenderConfig(initial_inv_s=60.0, sharpening_end=0.8)
    values = [schedule.inv_s(p / 100, 240.0, render) for p in range(101)]
    assert values[0] == 60
    assert values[40] == pytest.approx(120)
    assert values[80:] == pytest.approx([240] * 21)
    assert values == sorted(values)
    assert schedule.inv_s(0.0, 30.0, render) == schedule.inv_s(1.0, 30.0, render) == 30


def test_learning_rate():
    """Linear warm-up over steps, cosine decay over the run."""
    config = Config()
    warm, final = config.optimizer.warmup_steps, config.for_masks().final_lr_share
    assert schedule.learning_rate_share(0, 0.0, config) == pytest.approx(1 / warm)
    assert schedule.learning_rate_share(warm // 2 - 1, 0.0, config) == pytest.approx(0.5)
    assert schedule.learning_rate_share(warm, 0.0, config) == pytest.approx(1)
    assert schedule.learning_rate_share(10 * warm, 0.5, config) == pytest.approx((1 + final) / 2)
    assert schedule.learning_rate_share(10 * warm, 1.0, config) == pytest.approx(final)
    cold = dataclasses.replace(config, optimizer=dataclasses.replace(config.optimizer, warmup_steps=0))
    assert schedule.learning_rate_share(0, 0.0, cold) == pytest.approx(1)


@pytest.mark.parametrize(
    ("progress", "start", "end", "value"),
    [(0.1, 0.2, 0.4, 0), (0.2, 0.2, 0.4, 0), (0.3, 0.2, 0.4, 0.5), (0.4, 0.2, 0.4, 1), (0.2, 0.2, 0.2, 1)],
)
def test_ramp(progress, start, end, value):
    assert schedule.ramp(progress, start, end) == pytest.approx(value)


def test_masks_are_believed_until_the_coarse_shape_stands():
    """No doubt until then; afterwards linearly more, all of it at the end."""
    config = dataclasses.replace(Config(), loss=LossConfig(doubt=8.0))
    start = config.schedule.doubt_start
    assert schedule.doubt(0.0, config) == schedule.doubt(start, config) == 0
    assert schedule.doubt((start + 1) / 2, config) == pytest.approx(4)
    assert schedule.doubt(1.0, config) == 8
    assert values_at(1.0).doubt == 0, "nothing is doubted unless asked for"


def test_the_final_sharpness_belongs_to_the_pixel_but_has_a_limit(monkeypatch):
    config = Config()
    render = config.render
    for size, expected in ((0.01, config.for_masks().inv_s_pixels / 0.01), (0.0001, render.most_inv_s)):
        monkeypatch.setattr(trainer, "pixel_size", lambda scene, size=size: size)
        assert trainer.sharpness(None, config).final == expected
        assert trainer.sharpness(None, config).of_pixels == config.for_masks().inv_s_pixels / size
    asked = dataclasses.replace(config, render=dataclasses.replace(render, final_inv_s=1234.0))
    assert trainer.sharpness(None, asked).final == 1234


@pytest.mark.parametrize(("inv_s", "halvings"), [(50, 3), (100, 2), (200, 1), (283, 0.5), (400, 0), (900, 0)])
def test_images_are_halved_until_their_pixels_suit_the_surface(inv_s, halvings):
    """Twice as large pixels suit half of the sharpness."""
    assert schedule.level(inv_s, of_pixels=400) == pytest.approx(halvings, abs=2e-3)
