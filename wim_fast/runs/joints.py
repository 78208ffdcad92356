"""Which number is which part or body and joint of a run, and how each joint can turn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wim_fast.compositing import over_uint8
from wim_fast.drawing.annotate import draw_joints, draw_labels, part_palette
from wim_fast.drawing.images import enlarge, write_png
from wim_fast.drawing.sheets import grid
from wim_fast.drawing.views import projected
from wim_fast.files import output_folder
from wim_fast.model.motion import posed_at
from wim_fast.posing.bodies.unions import largest_parts
from wim_fast.posing.joints.motion import JointMotion, joint_motions
from wim_fast.posing.skeleton import PartsFound, Skeleton
from wim_fast.posing.tree import RootedTree
from wim_fast.rendering.part_map import render_parts
from wim_fast.runs.camera_path import clearest_views, resized_to, zoomed
from wim_fast.runs.defaults import PART_PICTURE_SIZE
from wim_fast.runs.opened_run import check_frame
from wim_fast.runs.skeleton import skeleton_of
from wim_fast.runs.trained_model import TrainedModel

CANVAS_SIZE = 768  # drawn on
STILL = 3.0  # degrees: a joint that turns by less is called stiff
LIGHT_GREY = np.array([205, 205, 205], np.uint8)
JOINT_PLATE = np.array([60, 60, 60], np.uint8)


@dataclass(frozen=True)
class JointList:
    """The joints between the N parts or bodies of a run in one of the frames trained on.

    Attributes:
        motions: of every part or body but the root: how it was seen to turn about the joint to its parent, in the
            order of the tree.
    """

    frame: int
    skeleton: Skeleton
    motions: dict[int, JointMotion]

    @property
    def tree(self) -> RootedTree:
        """From a base that hardly moves, else from its middle."""
        return self.skeleton.tree

    @property
    def positions(self) -> np.ndarray:
        """(N-1, 3) of the joints, world units."""
        return self.skeleton.joints[self.frame]


def list_joints(run: TrainedModel, frame: int = 0, parts_found: PartsFound = None) -> JointList:
    """The tree, the joints and how they turn.

    Args:
        frame: position among the frames trained on.
        parts_found: of so many bodies, or of the parts (`skeleton.PartsFound`).
    """
    check_frame(run, frame)
    skeleton = skeleton_of(run, parts_found)
    return JointList(frame, skeleton, joint_motions(skeleton.motion.rotation, skeleton.tree, frame))


@dataclass(frozen=True)
class WrittenJoints:
    """A list of joints, a labelled picture, and a pose file to start from."""

    joints: JointList
    picture: Path
    pose_file: Path
    example: str  # what the pose file holds


def write_joints(
    run: TrainedModel,
    output: Path | None = None,
    frame: int = 0,
    *,
    camera: int | None = None,
    size: int | None = None,
    parts_found: PartsFound = "auto",
) -> WrittenJoints:
    """Lists the joints of a frame, and writes a picture of them and an example of a pose file.

    Args:
        output: a folder; None: RUN/novel_pose.
        frame, camera, size: see `labelled_picture`.
        parts_found: see `list_joints`. Where a single body was found, which has no joints, the parts are listed.
    """
    joints = list_joints(run, frame, parts_found)
    if parts_found == "auto" and joints.skeleton.count == 1:
        joints, parts_found = list_joints(run, frame), None
    example = example_pose(joints, parts_found)
    with output_folder(output or run.path / "novel_pose") as folder:
        name = "parts.png" if parts_found is None else "bodies.png"
        picture = write_png(folder / name, labelled_picture(run, joints, camera, size))
        pose_file = folder / "example.yaml"
        pose_file.write_text(example, encoding="utf-8")
    return WrittenJoints(joints, picture, pose_file, example)


def example_pose(joints: JointList, parts_found: PartsFound = None) -> str:
    """A pose file that turns the two joints which were seen to turn most, by half of what was seen.

    parts_found: of the bodies, if it is bodies that are listed.
    """
    tree, turns, what = joints.tree, joints.motions, joints.skeleton.what
    found = (
        [] if parts_found in (None, "auto") else [f"parts_found: {parts_found}         # of so many bodies"]
    )
    lines = [
        *found,
        f"root: {tree.root}                 # the {what} that stays where it is",
        f"frame: {joints.frame}                # which of the frames trained on the motion starts from",
        "sequence: together      # or one_after_another",
        f"axes: world             # or {what}: the frame in which the axes below are given",
        "seconds: 2",
        "fps: 15",
        "root_translation: [0, 0, 0]   # moves the whole object, in the scene's own units",
        "rotations:              # degrees; the length is the angle, the direction the axis",
    ]
    for node in sorted(turns, key=lambda node: -turns[node].span)[:2]:
        turn = turns[node]
        far = turn.greatest if turn.greatest > -turn.least else turn.least
        angle = 0.5 * far if abs(far) > STILL else 30.0
        axis_angle = ", ".join(f"{angle * x:.1f}" for x in turn.axis)
        lines.append(f"  - {{{what}: {node}, axis_angle: [{axis_angle}]}}")
    if not turns:  # a single part: all that can turn is the whole
        lines.append(f"  - {{{what}: {tree.root}, axis_angle: [0, 0, 30]}}")
    return "\n".join(lines) + "\n"


def labelled_picture(
    run: TrainedModel, joints: JointList, camera: int | None = None, size: int | None = None
) -> np.ndarray:
    """The numbers of parts or bodies and of joints in a frame trained on, (H, W, 3) uint8.

    Args:
        camera: id; None: from the two sides that show them best.
        size: of the longer side of what is rendered, in pixels; None: `PART_PICTURE_SIZE`.
    """
    pose, skeleton = run.motion.at([joints.frame]), joints.skeleton
    ids = run.camera_ids if camera is None else (camera,)
    cameras = resized_to(run.recorded_cameras(ids), size or PART_PICTURE_SIZE)
    clearest = clearest_views(cameras, pose.translation[0])
    cameras = zoomed(cameras, run.extremes(pose))
    centers = skeleton.motion.translation[joints.frame]
    largest = largest_parts(skeleton.node_of_part, run.semi_axes)
    colors = part_palette(len(run.semi_axes))[largest]
    names = "the parts" if skeleton.what == "part" else "the bodies"
    rows, captions = [], []
    for index in clearest:
        parts = render_parts(run.model, posed_at(run.model, pose, 0), cameras, index, run.inv_s, run.backend)
        painted, plain = (
            enlarge(
                over_uint8(parts.paint(paint[skeleton.node_of_part]), run.background),
                CANVAS_SIZE,
                smooth=True,
            )
            for paint in (colors, np.broadcast_to(LIGHT_GREY, colors.shape))
        )
        drawn = cameras.select([index]).resized(plain.shape[1], plain.shape[0])
        at_joints, at_centers = projected(drawn, joints.positions), projected(drawn, centers)
        bones = draw_joints(plain, at_joints, at_centers, skeleton.edges, colors)
        plates = np.broadcast_to(JOINT_PLATE, (len(at_joints), 3))
        rows.append(
            [
                draw_labels(painted, at_centers, [str(k) for k in range(len(centers))], colors),
                draw_labels(bones, at_joints, [str(k) for k in range(len(at_joints))], plates),
            ]
        )
        captions.append(f"camera {cameras.ids[index]}: numbers of {names} (left) and of the joints (right)")
    return grid(rows, row_captions=captions)
