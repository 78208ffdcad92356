"""People's bodies by SMPL and SMPL-X: points to drive by and joints to measure against.

The linear blend skinning of the SMPL paper (Loper et al. 2015, eq. 2 to 10) in numpy, from the user's own model file: it may not
be shipped, see <https://smpl-x.is.tue.mpg.de>. Only the .npz releases are read: a .pkl could run anything.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wim_fast import strict_json, strict_npz
from wim_fast.errors import SceneWarning, UserError
from wim_fast.recordings.calibration.conventions import rotation_matrices
from wim_fast.recordings.recording import GroundTruth

Array = NDArray[np.float64]

BODY_JOINTS = {
    "smpl": 24,
    "smplx": 23,
}  # the first ones: SMPL-X has the jaw there, and goes on with eyes and fingers
FRAMES_AT_ONCE = 32  # so that posing 10475 vertices takes 100 MB
HAND_COMPONENTS = 6  # of SMPL-X hands in 87 pose numbers


@dataclass(frozen=True)
class BodyModel:
    """V vertices, J joints, S shape and E expression coefficients."""

    kind: str  # smpl or smplx
    template: Array  # (V, 3)
    shape_directions: Array  # (V, 3, S + E)
    num_shapes: int
    pose_directions: Array  # (V, 3, 9 (J - 1))
    joint_regressor: Array  # (J, V)
    weights: Array  # (V, J)
    parents: NDArray[np.int64]  # (J,) each before its children
    hands: (
        tuple[Array, Array, Array, Array] | None
    )  # left and right components (45, 45), left and right mean (45,)


def find_body_model(scene: Path, kind: str) -> Path | None:
    """SMPL_NEUTRAL.npz or SMPLX_NEUTRAL.npz in `body_models/` in or beside the scene's folder; None: not there."""
    name = f"{kind.upper()}_NEUTRAL"
    folders = [root / "body_models" for root in (scene, scene.resolve().parent)]
    for folder in folders:
        for file in (folder / f"{name}.npz", folder / kind / f"{name}.npz"):
            if file.is_file():
                return file
    for folder in folders:
        for file in (folder / f"{name}.pkl", folder / kind / f"{name}.pkl"):
            if file.is_file():
                remedy = f"put {name}.npz beside it: saved by numpy.savez from the same arrays, if there is no such release"
                raise UserError(file, "is a pickle, which could run any program, and is not read", remedy)
    return None


def where_body_model_goes(scene: Path, kind: str) -> str:
    """What to do for a body model to be found."""
    return (
        f"put {kind.upper()}_NEUTRAL.npz from its authors into {scene / 'body_models'}, or beside the scene"
    )


@functools.cache
def say_once(text: str) -> None:
    """A SceneWarning; a command opens a recording several times."""
    warnings.warn(text, SceneWarning, stacklevel=2)


def load_body_model(file: Path, kind: str) -> BodyModel:
    """UserError if a needed array is missing or has another shape."""
    names = ["v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table"]
    hands = [f"hands_{what}{side}" for what in ("components", "mean") for side in "lr"]
    remedy = "give the .npz release of the model, or numpy.savez of its arrays"
    wanted = names + (hands if kind == "smplx" else [])
    arrays = strict_npz.read(file, wanted, remedy)
    if missing := [name for name in wanted if name not in arrays]:
        raise UserError(file, f"holds no {missing[0]}", remedy)
    V, J = len(arrays["v_template"]), arrays["kintree_table"].shape[-1]
    S = arrays["shapedirs"].shape[-1]
    shapes = {
        "v_template": (V, 3),
        "shapedirs": (V, 3, S),
        "posedirs": (V, 3, 9 * (J - 1)),
        "J_regressor": (J, V),
        "weights": (V, J),
        "kintree_table": (2, J),
    }
    for name, shape in shapes.items():
        if arrays[name].shape != shape or arrays[name].dtype.kind not in "fiu":
            found = " x ".join(map(str, arrays[name].shape))
            raise UserError(file, f"{name} is {found}", f"it must be {' x '.join(map(str, shape))}")
    parents = arrays["kintree_table"][0].astype(np.int64)
    if (
        (24 if kind == "smpl" else 55) != J
        or (parents[1:] >= np.arange(1, J)).any()
        or (parents[1:] < 0).any()
    ):
        raise UserError(file, f"kintree_table is not that of {kind.upper()}", remedy)
    of_hands = tuple(arrays[name].astype(float) for name in hands) if kind == "smplx" else None
    if of_hands and [a.shape for a in of_hands] != [(45, 45), (45, 45), (45,), (45,)]:
        raise UserError(file, "the hands' components or means have another shape", remedy)
    num_shapes = S if kind == "smpl" else (300 if S > 300 else 10)
    return BodyModel(
        kind,
        arrays["v_template"].astype(float),
        arrays["shapedirs"].astype(float),
        num_shapes,
        arrays["posedirs"].astype(float),
        arrays["J_regressor"].astype(float),
        arrays["weights"].astype(float),
        parents,
        of_hands,  # type: ignore[arg-type]
    )


def pose_body(
    model: BodyModel,
    coefficients: Array,
    pose: Array,
    root_rotation: Array,
    root_translation: Array,
) -> tuple[Array, Array]:
    """Joints (T, J, 3) and vertices (T, V, 3) of T frames.

    Args:
        coefficients: (T, S + E) of shape and expression. pose: (T, J, 3) axis-angle, each joint in its parent.
        root_rotation, root_translation: (T, 3) axis-angle and position: x -> R x + t of the whole body, about
            the origin (EasyMocap's Rh and Th) and not about the pelvis.
    """
    T, J = pose.shape[:2]
    rest_joints = model.joint_regressor @ model.template  # (J, 3)
    joint_directions = np.einsum("jv,vds->jds", model.joint_regressor, model.shape_directions)
    rest = rest_joints + np.einsum("jds,ts->tjd", joint_directions, coefficients)
    R = rotation_matrices(pose)  # (T, J, 3, 3)
    turn, joints = R.copy(), rest.copy()
    for j in range(1, J):
        parent = model.parents[j]
        turn[:, j] = turn[:, parent] @ R[:, j]
        joints[:, j] = joints[:, parent] + _apply(turn[:, parent], rest[:, j] - rest[:, parent])
    shift = joints - _apply(turn, rest)

    bend = (R[:, 1:] - np.eye(3)).reshape(T, -1)  # (T, 9 (J - 1))
    points = model.template + _offsets(model.shape_directions, coefficients)
    points += _offsets(model.pose_directions, bend)
    moves = np.concatenate([turn, shift[..., None]], axis=-1)  # (T, J, 3, 4)
    blended = (model.weights @ moves.reshape(T, J, 12)).reshape(T, -1, 3, 4)
    points = _apply(blended[..., :3], points) + blended[..., 3]
    root = rotation_matrices(root_rotation)[:, None]
    return _apply(root, joints) + root_translation[:, None], _apply(root, points) + root_translation[:, None]


def _offsets(directions: Array, coefficients: Array) -> Array:
    """(T, V, 3) sums of directions (V, 3, C), weighted by coefficients (T, C)."""
    return (coefficients @ directions.reshape(-1, directions.shape[2]).T).reshape(-1, *directions.shape[:2])


def _apply(matrices: Array, vectors: Array) -> Array:
    return np.einsum("...ab,...b->...a", matrices, vectors)


def body_truth(
    file: Path, kind: str, parameters: Sequence[Mapping[str, Any]], where: Sequence[Path]
) -> GroundTruth:
    """Joints and all vertices in every frame, from EasyMocap's parameters: Rh, Th, poses, shapes and maybe expression.

    Args:
        file: the model. parameters: one mapping per frame. where: the files they are from, for errors.
    """
    model = load_body_model(file, kind)
    S = model.shape_directions.shape[2]
    T = len(parameters)
    coefficients, pose = np.zeros((T, S)), np.zeros((T, len(model.parents), 3))
    root = {"Rh": np.zeros((T, 3)), "Th": np.zeros((T, 3))}
    for t, (values, source) in enumerate(zip(parameters, where, strict=True)):
        for key, rows in root.items():
            rows[t] = _numbers(values, key, source, 3)
        shapes = _numbers(values, "shapes", source)[: model.num_shapes]
        coefficients[t, : len(shapes)] = shapes
        if kind == "smplx" and "expression" in values:
            expression = _numbers(values, "expression", source)[: S - model.num_shapes]
            coefficients[t, model.num_shapes : model.num_shapes + len(expression)] = expression
        pose[t] = _full_pose(model, _numbers(values, "poses", source), source)
    joints = np.empty((T, BODY_JOINTS[kind], 3), np.float32)
    points = np.empty((T, len(model.template), 3), np.float32)
    for start in range(0, T, FRAMES_AT_ONCE):
        some = slice(start, start + FRAMES_AT_ONCE)
        posed = pose_body(model, coefficients[some], pose[some], root["Rh"][some], root["Th"][some])
        joints[some], points[some] = posed[0][:, : BODY_JOINTS[kind]], posed[1]
    return GroundTruth(joints, points)


def _numbers(values: Mapping[str, Any], key: str, source: Path, count: int | None = None) -> Array:
    try:
        numbers = np.asarray(values[key], float).reshape(-1)
    except (KeyError, TypeError, ValueError, OverflowError):
        numbers = np.full(1, np.nan)
    if not np.isfinite(numbers).all() or (count is not None and len(numbers) != count):
        wanted = f"{count} numbers" if count else "numbers"
        raise UserError(source, f"{key} is missing or not finite", f"it must hold {wanted}")
    return numbers


def _full_pose(model: BodyModel, poses: Array, source: Path) -> Array:
    """(J, 3) axis-angle from what is in the files: all of it, or SMPL-X with hands by a few components.

    The 87 numbers of SMPL-X are 22 body joints (66), left and right hand (6 each: added to the mean hand), and
    jaw, left and right eye (9); 165 are all joints in the model's order.
    """
    J = len(model.parents)
    if len(poses) == 3 * J:
        return poses.reshape(J, 3)
    if model.hands and len(poses) == 66 + 2 * HAND_COMPONENTS + 9:
        left, right, left_mean, right_mean = model.hands
        hands = np.split(poses[66:-9], 2)
        left_hand = left_mean + hands[0] @ left[:HAND_COMPONENTS]
        right_hand = right_mean + hands[1] @ right[:HAND_COMPONENTS]
        return np.concatenate([poses[:66], poses[-9:], left_hand, right_hand]).reshape(J, 3)
    choices = f"{3 * J} numbers" + (" or 87" if model.hands else "")
    raise UserError(source, f"poses holds {len(poses)} numbers", f"{model.kind.upper()} has {choices}")


def read_parameters(file: Path) -> Mapping[str, Any]:
    """The parameters of the (first) person in an EasyMocap JSON file."""
    try:
        data = strict_json.read(file)
        people = data["annots"] if isinstance(data, dict) and "annots" in data else data
        person = people[0] if isinstance(people, list) else people
        if not isinstance(person, dict):
            raise ValueError("it holds no person")
    except FileNotFoundError:
        raise UserError(
            file, "is missing", "every frame needs its parameters: fit it, or move their folder away"
        ) from None
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise UserError(file, f"holds no body parameters ({error})", "write the file again") from None
    return person
