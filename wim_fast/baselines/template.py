"""Skinned bodies: a mesh at rest that a tree of joints carries, SMPL's or one of our own npz layout.

The layout (`tools/make_template.py` writes it): vertices (V, 3), faces (F, 3) counter-clockwise from outside, weights
(V, J) that sum to 1, joints (J, 3) at rest, parents (J,) each before its children, the root's -1; where there are any,
shape_directions (V, 3, S), how vertices move with each of S numbers of shape. Lengths in any unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wim_fast import strict_npz
from wim_fast.errors import UserError
from wim_fast.recordings.smpl import load_body_model

TEMPLATE_REMEDY = "make one by tools/make_template.py (docs/baselines.md says what it holds)"
SMPL_REMEDY = (
    "give SMPL_NEUTRAL.npz: register at https://smpl.is.tue.mpg.de and download the model; "
    "a .pkl could run anything and is not read (docs/baselines.md says how to convert it)"
)
LARGEST = {"vertices": 200_000, "joints": 1000}


@dataclass(frozen=True)
class Template:
    """V vertices, F faces, J joints, S numbers of shape; float64, in the file's units.

    Attributes:
        joint_directions: (J, 3, S) how joints move with the shape.
        pose_directions: (V, 3, 9 (J - 1)) how vertices move with R - 1 of every joint but the root; SMPL alone.
    """

    vertices: np.ndarray
    faces: np.ndarray
    weights: np.ndarray
    joints: np.ndarray
    parents: np.ndarray
    shape_directions: np.ndarray
    joint_directions: np.ndarray
    pose_directions: np.ndarray | None = None


def load_template(file: Path) -> Template:
    """One of our own. UserError if it is none, or if its arrays do not fit each other."""
    names = "vertices", "faces", "weights", "joints", "parents"
    try:
        arrays = strict_npz.read(file, (*names, "shape_directions"), TEMPLATE_REMEDY)
    except FileNotFoundError:
        raise UserError(file, "there is no such template", TEMPLATE_REMEDY) from None
    for name in names:
        if name not in arrays:
            raise UserError(file, f"is no template: it holds no {name}", TEMPLATE_REMEDY)
    vertices, joints = arrays["vertices"], arrays["joints"]
    directions = arrays.get("shape_directions", np.zeros((len(vertices), 3, 0)))
    found = Template(
        vertices.astype(float),
        arrays["faces"].astype(np.int64),
        arrays["weights"].astype(float),
        joints.astype(float),
        arrays["parents"].astype(np.int64),
        directions.astype(float),
        np.zeros((len(joints), 3, directions.shape[-1])),
    )
    check_template(found, file)
    return found


def check_template(template: Template, file: Path) -> None:
    """UserError for the first thing that does not fit."""
    V, J = len(template.vertices), len(template.joints)

    def require(holds: bool, problem: str) -> None:
        if not holds:
            raise UserError(file, problem, TEMPLATE_REMEDY)

    shapes = {
        "vertices": (V, 3),
        "faces": (len(template.faces), 3),
        "weights": (V, J),
        "joints": (J, 3),
        "parents": (J,),
        "shape_directions": (V, 3, template.shape_directions.shape[-1]),
    }
    for name, shape in shapes.items():
        array = getattr(template, name)
        said = " x ".join(map(str, array.shape))
        require(
            (array.shape == shape and array.size > 0) or name == "shape_directions",
            f"{name} is {said}, and must be {' x '.join(map(str, shape))}",
        )
        require(bool(np.isfinite(array).all()), f"{name} is not finite everywhere")
    for name, most in LARGEST.items():
        require(len(getattr(template, name)) <= most, f"has more than {most} {name}")
    faces, parents = template.faces, template.parents
    require(faces.min() >= 0 and faces.max() < V, f"faces name vertices that are not among the {V}")
    require(
        parents[0] == -1 and bool(((parents[1:] >= 0) & (parents[1:] < np.arange(1, J))).all()),
        "parents is no tree whose root is the first joint, and where each joint comes after its parent",
    )
    sums = template.weights.sum(axis=1)
    require(
        bool((template.weights >= 0).all() and np.allclose(sums, 1, atol=1e-3)),
        "weights of a vertex are negative or do not sum to 1",
    )


def load_smpl(file: Path) -> Template:
    """SMPL's body. UserError if it is something else, or not there."""
    if not file.is_file():
        raise UserError(file, "there is no such file", SMPL_REMEDY)
    if file.suffix == ".pkl":
        raise UserError(file, "is a pickle, and not read", SMPL_REMEDY)
    model = load_body_model(file, "smpl")
    faces = _faces(file, len(model.template))
    directions = model.shape_directions[..., :10]
    return Template(
        model.template,
        faces,
        model.weights,
        model.joint_regressor @ model.template,
        np.where(np.arange(len(model.parents)) == 0, -1, model.parents),
        directions,
        np.einsum("jv,vds->jds", model.joint_regressor, directions),
        model.pose_directions,
    )


def _faces(file: Path, vertices: int) -> np.ndarray:
    """(F, 3) of an SMPL file, which calls them f."""
    faces = strict_npz.read(file, ("f",), SMPL_REMEDY).get("f", np.zeros((0, 0)))
    if faces.shape[1:] != (3,) or not faces.size or faces.dtype.kind not in "iu" or faces.max() >= vertices:
        raise UserError(file, "f, the faces, is missing or is something else", SMPL_REMEDY)
    return faces.astype(np.int64)
