"""A run: a trained folder opened, and everything one does with it.

Everything that a run returns is in world units, in which the object is about 1.2 units long; times
`coordinate_scale` it is in the units of the recording's files, as in trajectory.npz. What comes from outside,
driving points and shifts of the whole object, is in the units of the recording's files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from wim_fast.errors import UserError
from wim_fast.model.articulated_model import ArticulatedModel
from wim_fast.model.camera_corrections import AS_GIVEN, CameraCorrections
from wim_fast.model.motion import Motion
from wim_fast.ops.backend import select_backend
from wim_fast.posing.bodies.structure import BodyStructure
from wim_fast.posing.repose import Axes
from wim_fast.posing.skeleton import PartsFound
from wim_fast.posing.tree import RootedTree
from wim_fast.recordings.cameras import Cameras
from wim_fast.runs.baseline_run import method_checked
from wim_fast.runs.bodies import bodies_of
from wim_fast.runs.drive import drive_parts
from wim_fast.runs.evaluate import Evaluation, evaluate
from wim_fast.runs.joints import JointList, list_joints
from wim_fast.runs.merge import Merging, merge_parts
from wim_fast.runs.opened_run import check_frame
from wim_fast.runs.render import TURNTABLE_PICTURES, render_picture, render_turntable
from wim_fast.runs.repose import repose_frame
from wim_fast.runs.skeleton import tree_of
from wim_fast.runs.trained_model import TrainedModel
from wim_fast.scene.scene import Scene
from wim_fast.training.checkpoint import load_checkpoint, trained_on
from wim_fast.training.pace import Pace
from wim_fast.training.run_folder import RunFolder


@dataclass(frozen=True)
class Parts:
    """The P parts in T poses: ellipsoids, part to world (x_world = R x_part + t), lengths in world units.

    Attributes:
        rotation: (T, P, 3, 3)
        translation: (T, P, 3) the parts' centres.
        semi_axes: (P, 3)
    """

    rotation: np.ndarray
    translation: np.ndarray
    semi_axes: np.ndarray


@dataclass(frozen=True)
class Poses:
    """N poses of a run's parts that need never have been filmed, lengths in world units."""

    run: Run
    motion: Motion

    def __len__(self) -> int:
        return len(self.motion)

    @property
    def rotation(self) -> np.ndarray:
        """(N, P, 3, 3) part to world."""
        return self.motion.rotation

    @property
    def translation(self) -> np.ndarray:
        """(N, P, 3) the parts' centres."""
        return self.motion.translation

    @property
    def joints(self) -> np.ndarray:
        """(N, P-1, 3) the joint of each of the run's edges."""
        return self.run.joints_in(self.motion)

    def render(
        self,
        camera: int | Cameras,
        frame: int = 0,
        *,
        size: int | None = None,
        parts: bool = False,
        joints: bool = False,
    ) -> np.ndarray:
        """What a camera sees of pose number `frame` (0..N-1); else as `Run.render`."""
        if not 0 <= frame < len(self):
            raise UserError(
                f"pose {frame}", f"there are {len(self)} poses", f"choose from 0 to {len(self) - 1}"
            )
        return render_picture(self.run, self.motion, frame, camera, size=size, parts=parts, joints=joints)


@dataclass(frozen=True, kw_only=True)
class Run(TrainedModel):
    """A trained run. `load_run` opens one, `wim_fast.train` makes one."""

    @property
    def parts(self) -> Parts:
        """Poses and semi-axes of all parts, in the T frames trained on."""
        return Parts(self.motion.rotation, self.motion.translation, self.semi_axes)

    @property
    def joints(self) -> np.ndarray:
        """(T, P-1, 3) the joint of each edge in the frames trained on, world units."""
        return self.joints_in(self.motion)

    @property
    def tree(self) -> RootedTree:
        """The kinematic tree, from a base that hardly moves, else from its middle."""
        return tree_of(self)

    def list_joints(self, frame: int = 0, *, parts_found: PartsFound = None) -> JointList:
        """How each part or body was seen to turn about the joint to its parent: axes to re-pose it about.

        Args:
            frame: position among the frames trained on, 0..T-1, whose pose axes and angles are relative to.
            parts_found: as for `repose`.
        """
        return list_joints(self, frame, parts_found)

    @property
    def cameras(self) -> Cameras:
        """All cameras of the recording, world units, with images as trained."""
        return self.recorded_cameras()

    @cached_property
    def scene(self) -> Scene:
        """The images and masks that were trained on."""
        return self.load_scene(cameras=self.camera_ids)

    def render(
        self,
        camera: int | Cameras,
        frame: int = 0,
        *,
        size: int | None = None,
        parts: bool = False,
        joints: bool = False,
    ) -> np.ndarray:
        """What a camera sees of a frame trained on.

        Args:
            camera: id of one of the recording's, or any single camera in world units.
            frame: position among the frames trained on, 0..T-1.
            size: longer side in pixels; None: as trained, or as the given camera has it.
            parts: each part in a colour of its own, in place of the object's.
            joints: draw part centres and joints, on the run's background; such pictures are opaque, and whole
                times larger until their shorter side has 384 pixels.

        Returns:
            (H, W, 4) float32 in [0, 1], straight alpha.
        """
        check_frame(self, frame)
        return render_picture(self, self.motion, frame, camera, size=size, parts=parts, joints=joints)

    def turntable(
        self,
        frame: int = 0,
        count: int = TURNTABLE_PICTURES,
        *,
        size: int | None = None,
        parts: bool = False,
        joints: bool = False,
    ) -> Iterator[np.ndarray]:
        """Pictures, as `render` returns them, from a circle round a frame trained on that stands still."""
        check_frame(self, frame)
        return render_turntable(self, self.motion.at([frame] * count), size=size, parts=parts, joints=joints)

    def repose(
        self,
        rotations: Mapping[int, Sequence[float]],
        frame: int = 0,
        *,
        root: int | None = None,
        axes: Axes = "world",
        root_translation: Sequence[float] = (0.0, 0.0, 0.0),
        parts_found: PartsFound = None,
    ) -> Poses:
        """A frame with some parts or bodies turned about their joints, as one pose (supplement A.8).

        Args:
            rotations: {part or body: axis-angle (3,) in degrees}; what hangs from it goes with it.
            frame: position among the frames trained on, 0..T-1.
            root: the part or body that stays where it is; None: a base that hardly moves, else the middle of the tree.
            axes: "world", or "part" or "body": the frame in which the axes are given.
            root_translation: (3,) moves the whole object, in the units of the recording's files.
            parts_found: None: numbers are those of parts; else of bodies, so many of them or, with "auto", as many as
                explain the motion best (as `bodies` counts them).
        """
        motion = repose_frame(
            self,
            rotations,
            frame,
            root=root,
            axes=axes,
            root_translation=root_translation,
            parts_found=parts_found,
        )
        return Poses(self, motion)

    def drive(
        self, points: np.ndarray, fit_frames: str | Sequence[int] | None = None, *, linear: bool = False
    ) -> Poses:
        """The poses that follow from points which move with the object, one for each row.

        Args:
            points: (N, M, 3) in the units of the recording's files; row r is frame number r of the recording.
            fit_frames: rows to learn from (positions or a range such as "0:60"), which must be frames trained
                on; None: all of these.
            linear: by the linear map of supplement A.10, in place of rigid parts that follow the points on them.
        """
        return Poses(self, drive_parts(self, points, fit_frames, linear=linear).motion)

    def evaluate(
        self, cameras: Sequence[int] | None = None, frames: str | Sequence[int] | None = None
    ) -> Evaluation:
        """Views of the recording rendered and measured: training views, novel views and novel poses.

        Args:
            cameras: ids; None: the test cameras, else all that were not trained on.
            frames: positions among all frames of the recording (positions or a range such as "0:60:6"); those
                not trained on are novel poses. None: some of every kind.
        """
        return evaluate(self, cameras, frames)

    def bodies(self, count: int | None = None) -> BodyStructure:
        """The rigid bodies that parts make up and the joints between them; the number that explains the motion best.

        Args:
            count: so many bodies instead, 1 to the number of parts.
        """
        return bodies_of(self, count)

    def merge(self, count: int | None = None) -> Merging:
        """Merges parts that move as one into bodies, step by step (supplement D).

        Args:
            count: until so many are left; None: as many as explain the motion best.
        """
        return merge_parts(self, count)


def load_run(path: str | Path, backend: str = "auto") -> Run:
    """The newest state of a run. UserError if it is not a run of our model, of a newer format, or damaged.

    Args:
        backend: which kernels to use: auto, tcnn, triton, numba or torch.
    """
    folder = RunFolder(Path(path))
    config = method_checked(folder, ours=True)
    newest = folder.all_checkpoints()[-1]
    content = load_checkpoint(newest)
    facts = trained_on(content)
    model = ArticulatedModel(config.model, len(facts.frame_ids))
    try:
        model.load_state_dict(content["model"])
    except RuntimeError:
        problem = "does not fit the model settings of config.yaml"
        raise UserError(newest, problem, "put the run's own config.yaml back") from None
    corrections = CameraCorrections.restored(content["cameras"])
    chosen = select_backend(backend)
    model.requires_grad_(False).eval().to(chosen.device)
    return Run(
        path=folder.path,
        config=config,
        model=model,
        backend=chosen,
        inv_s=content["inv_s"],
        frame_ids=facts.frame_ids,
        camera_ids=facts.camera_ids,
        coordinate_scale=facts.coordinate_scale,
        step=content["step"],
        iterations=Pace.parse(content["pace"]).iterations,
        found=AS_GIVEN if corrections is None else corrections.found(facts.camera_ids),
    )
