import dataclasses

import pytest
import torch

from wim_fast.config import Config, replace
from wim_fast.model.articulated_model import ArticulatedModel
from wim_fast.model.camera_corrections import CameraCorrections
from wim_fast.training.optimizer import clip_gradients, make_optimizer, set_learning_rates
from wim_fast.training.schedule import ScheduleValues


def model_and_optimizer(**changes):
    config = replace(Config(), parts=4, hash_log2_entries=6, pose_width=16, decoder_width=16, **changes)
    model = ArticulatedModel(config.model, 5)
    return model, make_optimizer(model, config)


def test_only_weights_of_networks_decay():
    """With gradients of zero AdamW changes a parameter by its decay alone."""
    model, optimizer = model_and_optimizer(weight_decay=0.5, grid_decay=0.0)
    model.start_at(torch.eye(3).repeat(4, 1, 1), torch.ones(4, 3), torch.full((4, 3), 0.1))
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        decays = name.startswith(("trajectory.layers", "field.decoder"))
        assert torch.equal(parameter, before[name]) != decays, name
    torch.testing.assert_close(model.trajectory.rest, before["trajectory.rest"])


def test_features_decay_where_asked():
    """By lr * decay of themselves in a step without a gradient, and nothing else does."""
    model, optimizer = model_and_optimizer(weight_decay=0.0, grid_decay=0.5, lr_grid=0.1)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        kept = 1 - 0.1 * 0.5 if name == "field.table" else 1
        torch.testing.assert_close(parameter.detach(), kept * before[name])


def test_every_parameter_is_learned():
    for lighting in (True, False):
        model, optimizer = model_and_optimizer(lighting=lighting)
        learned = [id(p) for group in optimizer.param_groups for p in group["params"]]
        assert sorted(learned) == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize("clip_all", [False, True])
def test_clipping(clip_all):
    """Pose together, semi-axes with sharpnesses together, the rest not; or everything together."""
    model, optimizer = model_and_optimizer(clip_all=clip_all)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    clip_gradients(optimizer, 0.5)
    optimizer.step()  # shortens them

    def norm(parameters):
        return float(torch.cat([p.grad.flatten() for p in parameters]).norm())

    if clip_all:
        assert norm(model.parameters()) == pytest.approx(0.5, rel=1e-4)
        return
    shape = [model.log_semi_axes, model.union_sharpness_logit, model.weight_sharpness_logit]
    assert norm(model.trajectory.parameters()) == pytest.approx(0.5, rel=1e-4)
    assert norm(shape) == pytest.approx(0.5, rel=1e-4)
    assert (model.field.table.grad == 1).all()


def shares(value, camera_share=0.0):
    now = dict.fromkeys(ScheduleValues._fields, torch.tensor(value))
    return ScheduleValues(**{**now, "camera_share": torch.tensor(camera_share)})


def test_cameras_follow_a_share_of_their_own():
    config = replace(Config(), parts=4, hash_log2_entries=6, pose_width=16, lr_lateness=0.5)
    corrections = CameraCorrections(3)
    optimizer = make_optimizer(ArticulatedModel(config.model, 5), config, corrections)
    set_learning_rates(optimizer, shares(0.25, camera_share=0.1))
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rates[id(corrections.lateness)] == pytest.approx(0.05)
    assert rates[id(corrections.calibration)] == pytest.approx(0.1 * config.cameras.lr_calibration)


@pytest.mark.parametrize("as_tensors", [False, True])  # as on a GPU
def test_learning_rates_follow_their_base(as_tensors):
    _, optimizer = model_and_optimizer(lr_grid=0.5)
    if as_tensors:
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(group["lr"], dtype=torch.float64)
    set_learning_rates(optimizer, shares(0.25))
    rates = Config().optimizer
    expected = {0.25 * rate for rate in (rates.lr_pose, rates.lr_semi_axes, 0.5, rates.lr_decoder)}
    assert {float(group["lr"]) for group in optimizer.param_groups} == expected
    assert all(group["betas"] == (0.9, 0.999) for group in optimizer.param_groups)
    slow = dataclasses.replace(rates, adam_beta1=0.5)
    assert slow.adam_beta1 == 0.5
