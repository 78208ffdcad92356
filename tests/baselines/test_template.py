"""Skinned bodies: what is refused in one line, and posing against the numpy skinning of recorded people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from tiny_template import tiny_template, write_template

from wim_fast.baselines.kundu.skinning import Skin
from wim_fast.baselines.template import Template, load_smpl, load_template
from wim_fast.errors import UserError
from wim_fast.recordings.smpl import load_body_model, pose_body


def smpl_arrays(vertices: int = 40, joints: int = 24, shapes: int = 10) -> dict[str, Any]:
    """Arrays as an SMPL file holds them, of a body that is nobody's."""
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(joints), vertices)
    parents = np.array([2**32 - 1, *(rng.integers(0, j) for j in range(1, joints))])
    return {
        "v_template": rng.normal(size=(vertices, 3)),
        "shapedirs": 0.1 * rng.normal(size=(vertices, 3, shapes)),
        "posedirs": 0.1 * rng.normal(size=(vertices, 3, 9 * (joints - 1))),
        "J_regressor": rng.dirichlet(np.ones(vertices), joints),
        "weights": weights,
        "kintree_table": np.stack([parents, np.arange(joints)]),
        "f": rng.integers(0, vertices, (30, 3)),
    }


def test_smpl_is_posed_as_recorded_people_are(tmp_path: Path) -> None:
    file = tmp_path / "SMPL_NEUTRAL.npz"
    np.savez(file, **smpl_arrays())
    rng = np.random.default_rng(1)
    betas, pose = rng.normal(size=10), 0.4 * rng.normal(size=(3, 24, 3))
    turn, place = rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
    pose[:, 0] = 0
    model = load_body_model(file, "smpl")
    coefficients = np.tile(betas, (3, 1))
    joints, vertices = pose_body(model, coefficients, pose, np.zeros((3, 3)), np.zeros((3, 3)))
    R, root = Rotation.from_rotvec(turn).as_matrix(), joints[:, :1]
    skin = Skin(load_smpl(file)).double()
    shape, angles = torch.from_numpy(betas), torch.from_numpy(pose[:, 1:])
    found = skin(torch.from_numpy(R), torch.from_numpy(place), angles, torch.tensor(1.7), shape)
    for ours, theirs in zip(found, (vertices, joints), strict=True):
        expected = 1.7 * (theirs - root) @ R.transpose(0, 2, 1) + place[:, None]
        np.testing.assert_allclose(ours.numpy(), expected, atol=1e-5)  # the arrays are kept in float32


def test_posing_has_gradients() -> None:
    rng = np.random.default_rng(2)
    arrays = tiny_template()
    few = rng.choice(len(arrays["vertices"]), 6, replace=False)
    body = Template(
        arrays["vertices"][few], arrays["faces"][:1], arrays["weights"][few], arrays["joints"],
        arrays["parents"], rng.normal(size=(6, 3, 2)), rng.normal(size=(2, 3, 2)),
    )  # fmt: skip
    skin = Skin(body).double()
    inputs = [rng.normal(size=shape) for shape in ((2, 3, 3), (2, 3), (2, 1, 3), (), (2,))]
    assert torch.autograd.gradcheck(skin, [torch.tensor(x, requires_grad=True) for x in inputs])


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"weights": None}, "holds no weights"),
        ({"weights": np.ones((3, 2))}, "weights is 3 x 2, and must be 86 x 2"),
        ({"weights": np.ones((86, 2))}, "weights of a vertex are negative or do not sum to 1"),
        ({"parents": np.array([0, -1])}, "parents is no tree"),
        ({"parents": np.array([-1])}, "parents is 1, and must be 2"),
        ({"faces": np.array([[0, 1, 99]])}, "faces name vertices that are not among the 86"),
        ({"joints": np.full((2, 3), np.nan)}, "joints is not finite everywhere"),
    ],
)
def test_templates_that_do_not_fit(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=problem) as caught:
        load_template(write_template(tmp_path / "t.npz", **changes))
    assert "make_template.py" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_something_else(tmp_path: Path) -> None:
    text = tmp_path / "text.npz"
    text.write_text("no archive")
    with pytest.raises(UserError, match="cannot be read as an npz file"):
        load_template(text)
    with pytest.raises(UserError, match="there is no such template"):
        load_template(tmp_path / "none.npz")
    pickled = tmp_path / "SMPL_NEUTRAL.pkl"
    pickled.write_bytes(b"cos\nsystem\n")
    faceless = tmp_path / "faceless.npz"
    np.savez(faceless, **{name: array for name, array in smpl_arrays().items() if name != "f"})
    for file, problem in (
        (tmp_path / "SMPL.npz", "there is no such file"),
        (pickled, "is a pickle"),
        (faceless, "f, the faces"),
    ):
        with pytest.raises(UserError, match=problem) as caught:
            load_smpl(file)
        assert "https://smpl.is.tue.mpg.de" in str(caught.value)
    with pytest.raises(UserError):
        load_smpl(write_template(tmp_path / "t.npz"))
