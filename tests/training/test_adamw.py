import copy

import numpy as np
import pytest
import torch

from wim_fast.processes import computing_threads
from wim_fast.training.adamw import AdamW


def three_steps(optimizer, parameters):
    """The second parameter's gradient is there from the second step on."""
    generator = torch.Generator().manual_seed(1)
    for step in range(3):
        for number, parameter in enumerate(parameters):
            gradient = torch.randn(parameter.shape, generator=generator)
            parameter.grad = gradient if step or number != 1 else None
        optimizer.step()


def parameters():
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(size, generator=generator)) for size in (5, 3, 2)]


def make(kind, a, b, c, **options):
    groups = [
        {"params": [a, b], "weight_decay": 0.1},
        {"params": [c], "betas": (0.8, 0.99), "weight_decay": 0.0},
    ]
    return kind(groups, lr=0.1, eps=1e-12, **options)


def test_steps_and_state_are_those_of_torch():
    ours, theirs = parameters(), parameters()
    optimizers = make(AdamW, *ours), make(torch.optim.AdamW, *theirs, fused=True)
    for optimizer, values in zip(optimizers, (ours, theirs), strict=True):
        three_steps(optimizer, values)
    assert all(torch.equal(x, y) for x, y in zip(ours, theirs, strict=True))
    state, wanted = (optimizer.state_dict()["state"] for optimizer in optimizers)
    assert state.keys() == wanted.keys()
    for number in state:
        assert state[number].keys() == wanted[number].keys()
        assert all(torch.equal(state[number][name], wanted[number][name]) for name in state[number])


def multiplies_denormals():
    return float(np.float32(1e-38) * np.float32(0.01)) != 0


def test_moments_that_shrink_for_ever_end_at_zero():
    """In torch's own the mean ends at 6e-45, for good, and such floats are slow."""
    if not torch.set_flush_denormal(False):
        pytest.skip("the processor does not flush denormals")
    ours, theirs = (torch.nn.Parameter(torch.ones(40)) for _ in range(2))
    optimizers = (
        AdamW([{"params": [ours]}], eps=1e-12),
        torch.optim.AdamW([theirs], eps=1e-12, weight_decay=0, fused=True),
    )
    with computing_threads():
        for step in range(1000):
            for optimizer, parameter in zip(optimizers, (ours, theirs), strict=True):
                parameter.grad = torch.full((40,), 1e-6 if step == 0 else 0.0)
                optimizer.step()
    ours_mean, their_mean = (o.state[p]["exp_avg"] for o, p in zip(optimizers, (ours, theirs), strict=True))
    assert torch.all(ours_mean == 0)
    assert torch.all((their_mean > 0) & (their_mean < 1e-40))
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("flushed", [False, True])
def test_denormals_elsewhere_stay_as_they_were(flushed):
    if not torch.set_flush_denormal(flushed):
        pytest.skip("the processor does not flush denormals")
    try:
        values = parameters()
        with computing_threads():
            three_steps(make(AdamW, *values), values)
        assert multiplies_denormals() != flushed
    finally:
        torch.set_flush_denormal(False)


def test_gradients_are_divided_first():
    ours, theirs = parameters(), parameters()
    optimizer, other = make(AdamW, *ours), make(AdamW, *theirs)
    optimizer.param_groups[1]["grad_scale"] = torch.tensor(2.0)
    for mine, other_one, scale in zip(ours, theirs, (1, 1, 2), strict=True):
        mine.grad, other_one.grad = torch.ones_like(mine), torch.ones_like(mine) / scale
    optimizer.step()
    other.step()
    assert all(
        torch.equal(optimizer.state[x]["exp_avg"], other.state[y]["exp_avg"])
        for x, y in zip(ours, theirs, strict=True)
    )


def test_a_state_of_torchs_goes_on_in_ours():
    ours, theirs = parameters(), parameters()
    optimizer, other = make(AdamW, *ours), make(torch.optim.AdamW, *theirs, fused=True)
    three_steps(other, theirs)
    for parameter, value in zip(ours, theirs, strict=True):
        parameter.data.copy_(value.data)
    optimizer.load_state_dict(other.state_dict())
    three_steps(optimizer, ours)
    three_steps(other, theirs)
    assert all(torch.equal(x, y) for x, y in zip(ours, theirs, strict=True))


def test_a_parameter_without_a_gradient_stays():
    a, b, c = parameters()
    before, optimizer = b.detach().clone(), make(AdamW, a, b, c)
    optimizer.step()
    assert torch.equal(b, before)
    assert not optimizer.state_dict()["state"]
    three_steps(optimizer, [a, b, c])
    optimizer.zero_grad()
    assert a.grad is b.grad is c.grad is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda saved: saved["param_groups"].pop(),
        lambda saved: saved["state"].update({7: saved["state"][0]}),
        lambda saved: saved["state"].update({"one": saved["state"][0]}),
        lambda saved: saved["state"].update({0: saved["state"][1]}),
        lambda saved: saved["state"][0].pop("step"),
        lambda saved: saved["state"][0].update(exp_avg=3.0),
        lambda saved: saved["state"][0].update(exp_avg=torch.zeros(5, dtype=torch.int64)),
        lambda saved: saved.update(state=[]),
    ],
)
def test_a_state_of_other_parameters(damage):
    values = parameters()
    optimizer = make(AdamW, *values)
    three_steps(optimizer, values)
    saved = copy.deepcopy(optimizer.state_dict())
    damage(saved)
    with pytest.raises(ValueError, match="of other parameters"):
        make(AdamW, *parameters()).load_state_dict(saved)
