import pytest
import torch
from kernel_cases import assert_near, gradients

from wim_fast.model.part_field import PartField
from wim_fast.ops.articulated.reference import PartLookup
from wim_fast.ops.backend import select_backend
from wim_fast.ops.part_encoding.reference import part_encoding
from wim_fast.ops.shading.reference import lighting_basis

NUMBA, TORCH = select_backend("numba"), select_backend("torch")


def field(parts=5, **changes):
    torch.manual_seed(0)
    settings = {
        "log2_entries": 12, "coarsest_cell": 0.2, "finest_cell": 0.025, "width": 32,
        "hidden_layers": 2, "residual_max": 0.02, "half_extent": 0.6, "lighting": False,
    }  # fmt: skip
    return PartField(parts, **(settings | changes))


def inputs(count, parts, top_k=2):
    generator = torch.Generator().manual_seed(1)
    local = torch.rand(count, top_k, 3, generator=generator) - 0.5
    ids = torch.randint(parts, (count, top_k), generator=generator).to(torch.int32)
    weights = torch.rand(count, top_k, generator=generator).softmax(1)
    normal = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    return PartLookup(torch.zeros(count), ids, weights, local, normal)


def test_outputs_are_bounded():
    """|residual| <= d_max and colours in [0, 1], whatever the parameters are."""
    model = field()
    with torch.no_grad():
        for layer in model.decoder:
            layer.weight.mul_(30)
        model.table.mul_(1000)
    residual, rgb = model(inputs(500, 5), NUMBA)
    assert float(residual.detach().abs().max()) <= 0.02
    assert float(residual.detach().abs().max()) > 0.015
    assert 0 <= float(rgb.detach().min()) <= float(rgb.detach().max()) <= 1


def test_empty_grid_means_no_residual_and_grey():
    model = field()
    with torch.no_grad():
        model.table.zero_()
    residual, rgb = model(inputs(10, 5), NUMBA)
    assert (residual == 0).all()
    assert (rgb == 0.5).all()


def test_cell_sizes():
    """The coarsest level has the cells that were asked for, the finest nearly."""
    model = field(parts=20)
    side = model.atlas.side
    assert side / model.layout.scales[0] == pytest.approx(0.2, rel=1e-6)
    assert side / model.layout.scales[-1] == pytest.approx(0.025, rel=0.05)


@pytest.mark.parametrize("parts", [1, 2, 8, 20, 40])
def test_boxes_of_parts_share_no_dense_entries(parts):
    model = field(parts, log2_entries=22, finest_cell=0.1)
    generator = torch.Generator().manual_seed(0)
    local = (2 * torch.rand(300, 1, 3, generator=generator) - 1) * 0.8
    owner = torch.full((model.layout.num_entries,), -1)
    for part in range(parts):
        table = torch.zeros_like(model.table, requires_grad=True)
        ids, ones = torch.full((300, 1), part, dtype=torch.int32), torch.ones(300, 1)
        part_encoding(local, ids, ones, table, model.layout, model.atlas).sum().backward()
        touched = table.grad.abs().sum(1) > 0
        assert (owner[touched] == -1).all()
        owner[touched] = part


def test_both_backends_agree():
    model = field(parts=9)
    lookup = inputs(200, 9)
    parameters = dict(model.named_parameters())
    results = []
    for backend in (NUMBA, TORCH):

        def decode(local, weights, *values, backend=backend):
            state = dict(zip(parameters, values, strict=True))
            found = lookup._replace(local=local, part_weights=weights)
            return torch.func.functional_call(model, state, (found, backend))

        tensors = [lookup.local, lookup.part_weights, *parameters.values()]
        results.append(gradients(decode, tensors, range(len(tensors))))
    for group, other in zip(*results, strict=True):
        for x, y in zip(group, other, strict=True):
            assert_near(x, y, rmse=1e-4, maximum=1e-3)


def test_light_depends_on_the_normal_alone():
    """Colours are multiplied by 1 + basis(normal) . coefficients; without coefficients nothing changes."""
    plain, lit = field(), field(lighting=True)
    found = inputs(50, 5)
    residual, rgb = plain(found, NUMBA)
    same_residual, same_rgb = lit(found, NUMBA)
    assert torch.equal(same_residual, residual)
    assert torch.equal(same_rgb, rgb)
    with torch.no_grad():
        lit.lighting[2] = 0.5  # from +z
    residual, lit_rgb = lit(found, NUMBA)
    assert torch.equal(residual, same_residual)
    torch.testing.assert_close(lit_rgb, rgb * (1 + 0.5 * found.normal[:, 2:]))


def test_lighting_basis_is_orthogonal_on_the_sphere():
    """Eight harmonics without a mean; the length of the normal does not matter."""
    normal = torch.randn(50000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    basis = lighting_basis(normal)
    gram = basis.T @ basis / len(basis)
    assert float(basis.mean(0).abs().max()) < 0.02
    assert float((gram - gram.diagonal().diag()).abs().max()) < 0.02
