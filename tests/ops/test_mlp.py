import os
from itertools import pairwise

import pytest
import torch
from kernel_cases import assert_near, gradients, non_contiguous
from torch.autograd import gradcheck

from wim_fast.ops.mlp import cpu, reference


def triton_mlp(x, weights, activation):
    """Triton's kernel on the GPU, or in Triton's interpreter where there is none; arguments and result on the CPU."""
    pytest.importorskip("triton", reason="triton is not installed")
    from wim_fast.ops.mlp.triton import mlp

    if not torch.cuda.is_available():
        if os.environ.get("TRITON_INTERPRET") != "1":
            pytest.skip("neither a GPU nor Triton's interpreter (TRITON_INTERPRET=1)")
        return mlp(x, weights, activation)
    return mlp(x.cuda(), [w.cuda() for w in weights], activation).cpu()


def half_mlp(x, weights, activation):
    """What the kernel computes."""
    return reference.mlp(x, weights, activation, precision="half")


def case(count, columns, width, out, hidden):
    """Input and weights of an MLP; the weights keep activations near unit size."""
    generator = torch.Generator().manual_seed(count)
    sizes = [columns] + [width] * hidden + [out]
    weights = [torch.randn(b, a, generator=generator) * 1.4 / a**0.5 for a, b in pairwise(sizes)]
    return torch.randn(count, columns, generator=generator), weights


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_reference_is_a_chain_of_linear_layers(activation):
    x, weights = case(20, 12, 32, 4, 2)
    layers = []
    for w in weights:
        layer = torch.nn.Linear(w.shape[1], w.shape[0], bias=False)
        layer.weight.data = w
        layers += [layer, torch.nn.ReLU() if activation == "relu" else torch.nn.Tanh()]
    expected = torch.nn.Sequential(*layers[:-1])(x)
    torch.testing.assert_close(reference.mlp(x, weights, activation), expected)


def test_reference_gradients_in_float64():
    x, weights = case(5, 3, 6, 2, 2)
    inputs = [t.double().requires_grad_() for t in (x, *weights)]
    assert gradcheck(lambda x, *w: reference.mlp(x, w, "tanh"), inputs)


def test_half_precision_in_the_reference():
    """Results are float16 numbers near the float32 ones; gradients are those of the rounded network, unrounded."""
    x, weights = case(200, 12, 64, 4, 2)
    exact, half = (reference.mlp(x, weights, "relu", precision=p) for p in ("float", "half"))
    assert torch.equal(half, half.half().float())
    assert 1e-5 < float((half - exact).abs().max()) < 1e-2
    x.requires_grad_()
    reference.mlp(x, weights, "relu", precision="half").sum().backward()
    assert not torch.equal(x.grad, x.grad.half().float())


@pytest.mark.parametrize(
    ("activation", "count", "columns", "width", "out", "hidden"),
    [
        ("relu", 0, 12, 64, 4, 1),
        ("tanh", 1, 3, 16, 1, 1),
        ("relu", 63, 12, 64, 4, 1),
        ("tanh", 70, 30, 20, 13, 1),
        ("relu", 40, 8, 20, 4, 2),
        ("tanh", 33, 8, 16, 4, 4),
    ],
)
def test_kernel_against_reference(activation, count, columns, width, out, hidden, monkeypatch):
    monkeypatch.setattr("wim_fast.ops.mlp.triton.reference", None)  # nothing is left to it
    x, weights = case(count, columns, width, out, hidden)
    (outputs, grads), (expected, expected_grads) = (
        gradients(lambda x, *w, f=f: [f(x, w, activation)], (x, *weights), range(len(weights) + 1))
        for f in (triton_mlp, half_mlp)
    )
    assert_near(outputs[0], expected[0], rmse=4e-3, maximum=4e-2, name="output")
    for i, (a, b) in enumerate(zip(grads, expected_grads, strict=True)):
        assert_near(a, b, rmse=4e-3, maximum=4e-2, name=f"gradient {i}")


@pytest.mark.parametrize(
    ("activation", "count", "columns", "width", "out", "hidden", "own"),
    [
        ("relu", 0, 8, 64, 4, 1, True),
        ("relu", 1, 8, 64, 4, 1, True),
        ("relu", 2055, 12, 64, 4, 1, True),
        ("relu", 131, 4, 16, 8, 1, True),
        ("relu", 70, 8, 128, 4, 1, True),
        ("relu", 33, 10, 64, 4, 1, False),
        ("relu", 33, 8, 20, 4, 1, False),
        ("relu", 33, 8, 64, 3, 1, False),
        ("tanh", 33, 8, 64, 4, 1, False),
        ("relu", 40, 8, 64, 4, 2, False),
    ],
)
def test_cpu_against_reference(activation, count, columns, width, out, hidden, own):
    """By our kernel, or by products where the sizes or the activation are others."""
    x, weights = case(count, columns, width, out, hidden)
    assert cpu.is_narrow(x, weights, activation) == own
    (outputs, grads), (expected, expected_grads) = (
        gradients(lambda x, *w, f=f: [f(x, w, activation)], (x, *weights), range(len(weights) + 1))
        for f in (cpu.mlp, reference.mlp)
    )
    for a, b in zip([*outputs, *grads], [*expected, *expected_grads], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=2e-5)


def test_cpu_in_float64():
    x, weights = (case(20, 8, 64, 4, 1)[0].double(), [w.double() for w in case(20, 8, 64, 4, 1)[1]])
    torch.testing.assert_close(cpu.mlp(x, weights, "relu"), reference.mlp(x, weights, "relu"))


def test_cpu_takes_what_is_not_contiguous():
    x, weights = case(131, 8, 64, 4, 1)
    strided = cpu.mlp(non_contiguous(x), [non_contiguous(w) for w in weights], "relu")
    assert torch.equal(strided, cpu.mlp(x, weights, "relu"))


def test_cpu_passes_on_what_is_no_number():
    """One bad sample stays one: in its own row, and in the gradients of the weights, where a check finds it."""
    x, weights = case(131, 8, 64, 4, 1)
    x[5, 3] = torch.nan
    tensors = [t.requires_grad_() for t in (x, *weights)]
    out = cpu.mlp(x, weights, "relu")
    assert out[5].isnan().all()
    assert out.isnan().sum() == 4
    g_x, *g_weights = torch.autograd.grad(out.sum(), tensors)
    assert g_x[torch.arange(131) != 5].isfinite().all()
    assert all(g.isnan().any() for g in g_weights)


def test_small_gradients_survive_half_precision():
    """Cotangents far below the range of float16: each block scales its own."""
    x, weights = case(63, 12, 64, 4, 1)
    x.requires_grad_()
    triton_mlp(x, weights, "relu").backward(torch.full((63, 4), 1e-9))
    expected = half_mlp(x, weights, "relu").sum()
    assert_near(x.grad * 1e9, torch.autograd.grad(expected, x)[0], rmse=4e-3, maximum=4e-2)


def test_padding_rows(empty_is_nan):
    """Rows of zeros give zeros; without a cotangent they give no gradient; blocks of them are written all the same."""
    x, weights = case(150, 12, 32, 4, 1)
    x[30:] = 0
    tensors = [t.requires_grad_() for t in (x, *weights)]
    out = triton_mlp(x, weights, "tanh")
    assert (out[30:] == 0).all()
    cotangent = torch.ones_like(out)
    cotangent[30:] = 0
    grads = torch.autograd.grad(out, tensors, cotangent)
    assert (grads[0][30:] == 0).all()
    assert all(g.isfinite().all() and (g != 0).any() for g in grads)


def test_non_contiguous_inputs():
    x, weights = case(63, 12, 32, 4, 1)
    strided = triton_mlp(non_contiguous(x), [non_contiguous(w) for w in weights], "relu")
    assert torch.equal(strided, triton_mlp(x, weights, "relu"))


def test_what_is_not_such_an_mlp_is_refused():
    x, weights = case(5, 12, 32, 4, 2)
    for bad in (
        weights[:1],
        [*weights[:2], weights[2][:, :16]],
        [weights[0], weights[1][:16], weights[2][:, :16]],
    ):
        with pytest.raises(ValueError, match="hidden layers of one width"):
            triton_mlp(x, bad, "relu")
    with pytest.raises(ValueError, match="activation"):
        triton_mlp(x, weights, "elu")


@pytest.mark.parametrize(("width", "hidden"), [(64, 2), (128, 1), (256, 7)])
def test_networks_too_large_for_a_kernel_are_matrix_products(width, hidden):
    """The last is the paper's."""
    x, weights = case(20, 12, width, 4, hidden)
    found = triton_mlp(x, weights, "tanh")
    torch.testing.assert_close(found, reference.mlp(x, weights, "tanh"), rtol=1e-5, atol=1e-5)
