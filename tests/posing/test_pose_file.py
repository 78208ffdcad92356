"""Pose files: what is written is read back, and each mistake gets one message that names file and cause."""

from __future__ import annotations

from pathlib import Path

import pytest
from errors import refused
from hypothesis import given, settings
from hypothesis import strategies as st

from wim_fast.posing.pose_file import PoseFile, read_pose_file, write_pose_file
from wim_fast.posing.repose import JointRotation

numbers = st.floats(-1e4, 1e4, allow_nan=False).map(lambda x: x + 0.0)
vectors = st.tuples(numbers, numbers, numbers)


@settings(deadline=None, max_examples=30)
@given(
    rotations=st.lists(st.builds(JointRotation, st.integers(0, 9), vectors), min_size=1, max_size=4),
    root=st.none() | st.integers(0, 9),
    frame=st.integers(0, 59),
    sequence=st.sampled_from(["together", "one_after_another"]),
    own_axes=st.booleans(),
    parts_found=st.sampled_from([None, "auto", 10]),
    seconds=st.floats(0.1, 100),
    fps=st.integers(1, 120),
    shift=vectors,
)
def test_written_is_read(
    tmp_path_factory, rotations, root, frame, sequence, own_axes, seconds, fps, shift, parts_found
) -> None:
    axes = "world" if not own_axes else "body" if parts_found else "part"
    pose = PoseFile(tuple(rotations), root, frame, sequence, axes, seconds, fps, shift, parts_found)
    path = tmp_path_factory.getbasetemp() / "pose.yaml"
    write_pose_file(path, pose)
    assert read_pose_file(path, num_parts=10, num_frames=60) == pose


def test_defaults(tmp_path: Path) -> None:
    path = tmp_path / "pose.yaml"
    path.write_text("rotations:\n  - {part: 5, axis_angle: [0, 0, 45]}\n")
    pose = read_pose_file(path, num_parts=10)
    assert pose == PoseFile(rotations=(JointRotation(5, (0.0, 0.0, 45.0)),))
    assert pose.num_frames == 60


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "key: value"),
        ("- 1", "key: value"),
        ("rotations: [", "YAML"),
        ("\x00", "YAML"),
        ("frame: 3\nframe: 4\nrotations: [{part: 1, axis_angle: [0, 0, 1]}]", "frame is there twice"),
        ("rotations: [{part: 1, part: 2, axis_angle: [0, 0, 1]}]", "part is there twice"),
        ("speed: 3\nrotations: []", "speed"),
        ("rotations: 5", "rotations"),
        ("rotations: []", "nothing moves"),
        ("frame: 3", "nothing moves"),
        ("rotations: [{part: 10, axis_angle: [0, 0, 1]}]", "part 10"),
        ("rotations: [{part: -1, axis_angle: [0, 0, 1]}]", "part -1"),
        ("rotations: [{part: leg, axis_angle: [0, 0, 1]}]", "'leg'"),
        ("rotations: [{part: true, axis_angle: [0, 0, 1]}]", "True"),
        ("rotations: [{part: 1}]", "axis_angle"),
        ("rotations: [{axis_angle: [0, 0, 1]}]", "'part'"),
        ("rotations: [{part: 1, axis_angle: [0, 1]}]", "axis_angle"),
        ("rotations: [{part: 1, axis_angle: [0, 1, .nan]}]", "axis_angle"),
        ("rotations: [{part: 1, axis_angle: 45}]", "axis_angle"),
        ("rotations: [{part: 1, angle: 45, axis_angle: [0, 0, 1]}]", "'angle'"),
        ("rotations: [4]", "rotation 1"),
        ("root: 12\nrotations: [{part: 1, axis_angle: [0, 0, 1]}]", "root 12"),
        ("frame: 60\nrotations: [{part: 1, axis_angle: [0, 0, 1]}]", "frame is 60"),
        ("frame: 1.5\nrotations: [{part: 1, axis_angle: [0, 0, 1]}]", "frame is 1.5"),
        ("seconds: 0\nrotations: [{part: 1, axis_angle: [0, 0, 1]}]", "seconds is 0"),
        ("fps: fast\nrotations: [{part: 1, axis_angle: [0, 0, 1]}]", "fps is 'fast'"),
        ("sequence: [a]\nrotations: [{part: 1, axis_angle: [0, 0, 1]}]", "sequence"),
        ("seconds: 3600\nfps: 240\nrotations: [{part: 1, axis_angle: [0, 0, 1]}]", "864000"),
        ("seconds: 2020-13-45\nrotations: [{part: 1, axis_angle: [0, 0, 1]}]", "seconds"),
        (f"frame: {'9' * 400}\nrotations: [{{part: 1, axis_angle: [0, 0, 1]}}]", "frame is 999"),
        (f"seconds: {'9' * 400}\nrotations: [{{part: 1, axis_angle: [0, 0, 1]}}]", "seconds is 999"),
        ("rotations: [{part: 1, axis_angle: [0, 0, 1e300]}]", "axis_angle"),
        ("root_translation: [1e300, 0, 0]", "root_translation"),
        ("rotations: [{body: 1, axis_angle: [0, 0, 1]}, {part: 1, axis_angle: [0, 0, 1]}]", "names a part"),
        ("rotations: [{body: 1, part: 1, axis_angle: [0, 0, 1]}]", "names a part"),
        ("rotations: [{body: -1, axis_angle: [0, 0, 1]}]", "body -1"),
        ("parts_found: 9\nrotations: [{part: 1, axis_angle: [0, 0, 1]}]", "names a part"),
        ("parts_found: 11\nrotations: [{body: 1, axis_angle: [0, 0, 1]}]", "parts_found is 11"),
        ("axes: part\nrotations: [{body: 1, axis_angle: [0, 0, 1]}]", "axes is 'part'"),
        ("axes: camera\nrotations: [{part: 1, axis_angle: [0, 0, 1]}]", "axes is 'camera'"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "pose.yaml"
    path.write_text(text)
    with refused(path, named):
        read_pose_file(path, num_parts=10, num_frames=60)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with refused(tmp_path / "nowhere.yaml"):
        read_pose_file(tmp_path / "nowhere.yaml", num_parts=3)


def test_numbers_are_those_of_yaml_1_2(tmp_path: Path) -> None:
    path = tmp_path / "pose.yaml"
    path.write_text("root: 010\nrotations: [{part: 5, axis_angle: [0, 0, 1e-3]}]\n")
    pose = read_pose_file(path, num_parts=11)
    assert pose.root == 10
    assert pose.rotations == (JointRotation(5, (0.0, 0.0, 1e-3)),)


def test_bodies_are_counted_as_found_unless_the_file_says_how_many(tmp_path: Path) -> None:
    path = tmp_path / "pose.yaml"
    for more, count in (("", "auto"), ("parts_found: auto\n", "auto"), ("parts_found: 3\n", 3)):
        path.write_text(f"{more}root: 0\nrotations: [{{body: 2, axis_angle: [0, 0, 45]}}]\n")
        pose = read_pose_file(path, num_parts=10)
        assert pose == PoseFile((JointRotation(2, (0.0, 0.0, 45.0)),), root=0, parts_found=count)
        assert pose.what == "body"
