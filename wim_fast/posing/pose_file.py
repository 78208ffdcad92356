"""The pose file of `wim-fast render-novel-pose`: which bodies or parts turn, from which frame, together or in turn.

```yaml
root: 3                     # optional: the body that stays where it is
frame: 0                    # training frame the motion starts from
sequence: together          # or one_after_another
axes: world                 # or body: the frame in which the axes below are given
seconds: 2.0
fps: 30
root_translation: [0, 0, 0] # in the scene's own units
rotations:                  # degrees; the length is the angle, the direction the axis
  - {body: 5, axis_angle: [0, 0, 45]}
```

With `part` in place of `body` the parts are turned one by one; a file names the one or the other. `parts_found: 9` says
that the numbers are those of nine bodies, in place of as many as explain the motion best.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, cast

from wim_fast import strict_yaml
from wim_fast.errors import UserError
from wim_fast.posing.repose import Axes, JointRotation
from wim_fast.posing.skeleton import Node, PartsFound

MOST_PICTURES = 20_000  # of a video: eleven minutes at 30 a second
MOST_DEGREES = 36_000.0  # a hundred turns
MOST_SHIFT = 1e9  # units of the recording's files
EXAMPLE = "{body: 5, axis_angle: [0, 0, 45]}"

Sequencing = Literal["together", "one_after_another"]


@dataclass(frozen=True)
class PoseFile:
    """What a pose file says; see the module's example for the meaning of each field.

    `parts_found`: numbers are those of so many bodies; None: of parts.
    """

    rotations: tuple[JointRotation, ...] = ()
    root: int | None = None
    frame: int = 0
    sequence: Sequencing = "together"
    axes: Axes = "world"
    seconds: float = 2.0
    fps: int = 30
    root_translation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    parts_found: PartsFound = None

    @property
    def what(self) -> Node:
        """Numbers are those of."""
        return "part" if self.parts_found is None else "body"

    @property
    def num_frames(self) -> int:
        """Pictures in the video, the first and the last pose included."""
        return max(2, round(self.seconds * self.fps))


_KEYS = tuple(PoseFile.__dataclass_fields__)


def read_pose_file(path: str | Path, num_parts: int, num_frames: int | None = None) -> PoseFile:
    """Reads and checks a pose file.

    Args:
        num_parts: parts of the model that is posed. How many bodies they make up is not looked at.
        num_frames: frames it was trained on; None leaves `frame` unchecked.

    Raises:
        UserError: the file is missing or no YAML, a key is unknown or there twice, a value impossible, or a part not
            there.
    """
    path = Path(path)
    content = strict_yaml.read(path)
    check = _Checker(path, num_parts)
    data = check.mapping(content, "the file", _KEYS)
    what, rotations = check.rotations(data.get("rotations", []), "parts_found" in data)
    root = data.get("root")
    pose = PoseFile(
        rotations=rotations,
        root=None if root is None else check.node(root, "root", what),
        frame=check.integer(data.get("frame", 0), "frame", 0, None if num_frames is None else num_frames - 1),
        sequence=cast(Sequencing, check.choice(data, "sequence", ("together", "one_after_another"))),
        axes=cast(Axes, check.choice(data, "axes", ("world", what))),
        seconds=check.number(data.get("seconds", 2.0), "seconds", 0.05, 3600.0),
        fps=check.integer(data.get("fps", 30), "fps", 1, 240),
        root_translation=check.vector(
            data.get("root_translation", [0, 0, 0]), "root_translation", MOST_SHIFT
        ),
        parts_found=None if what == "part" else check.parts_found(data.get("parts_found", "auto")),
    )
    if pose.num_frames > MOST_PICTURES:
        problem = f"{pose.seconds:g} seconds of {pose.fps} pictures are {pose.num_frames}"
        check.fail(problem, f"At most {MOST_PICTURES} are made: lower seconds or fps")
    if not pose.rotations and not any(pose.root_translation):
        check.fail("nothing moves", "Give at least one rotation, or a root_translation")
    return pose


def write_pose_file(path: str | Path, pose: PoseFile) -> None:
    """Writes a pose file that `read_pose_file` reads back as the same value: a line for each rotation."""
    import yaml

    content: dict[str, Any] = {} if pose.root is None else {"root": pose.root}
    if pose.parts_found is not None:
        content["parts_found"] = pose.parts_found
    for key in ("frame", "sequence", "axes", "seconds", "fps"):
        content[key] = getattr(pose, key)
    content["root_translation"] = list(pose.root_translation)
    content["rotations"] = [{pose.what: r.node, "axis_angle": list(r.axis_angle)} for r in pose.rotations]
    Path(path).write_text(yaml.safe_dump(content, sort_keys=False, default_flow_style=None), encoding="utf-8")


@dataclass(frozen=True)
class _Checker:
    """Turns untyped YAML values into typed ones, or into a UserError that names the file and the key."""

    path: Path
    num_parts: int

    def fail(self, problem: str, remedy: str) -> NoReturn:
        raise UserError(self.path, problem, remedy)

    def mapping(self, value: Any, where: str, keys: tuple[str, ...]) -> dict[str, Any]:
        if not isinstance(value, dict):
            self.fail(f"{where} must hold 'key: value' pairs", f"Known keys: {', '.join(keys)}")
        for key in value:
            if key not in keys:
                self.fail(f"unknown key '{key}' in {where}", f"Known keys: {', '.join(keys)}")
        return value

    def rotations(self, entries: Any, of_bodies: bool) -> tuple[Node, tuple[JointRotation, ...]]:
        """What turns, and the turns. `of_bodies`: the file says how many bodies there are."""
        if not isinstance(entries, list):
            self.fail("rotations must be a list", f"Write one '- {EXAMPLE}' per line")
        what: Node = (
            "body" if of_bodies or any(isinstance(e, dict) and "body" in e for e in entries) else "part"
        )
        found = []
        for number, raw in enumerate(entries, start=1):
            where = f"rotation {number}"
            entry = self.mapping(raw, where, ("body", "part", "axis_angle"))
            if what == "body" and "part" in entry:
                self.fail(
                    f"{where} names a part where bodies are posed", "Name bodies or parts in a file, not both"
                )
            for key in (what, "axis_angle"):
                if key not in entry:
                    self.fail(f"{where} has no '{key}'", f"Write it as {EXAMPLE}")
            node = self.node(entry[what], f"{where}: {what}", what)
            turn = self.vector(entry["axis_angle"], f"{where}: axis_angle", MOST_DEGREES)
            found.append(JointRotation(node, turn))
        return what, tuple(found)

    def parts_found(self, value: Any) -> PartsFound:
        if value == "auto":
            return "auto"
        return self.integer(value, "parts_found", 1, self.num_parts)

    def node(self, value: Any, where: str, what: Node) -> int:
        """The number of a part, or of a body that may not be there."""
        known = "--list-joints shows which body has which number"
        if what == "part":
            known = (
                f"Parts are numbered 0 to {self.num_parts - 1}; --list-joints --parts-found all shows them"
            )
        if isinstance(value, bool) or not isinstance(value, int):
            self.fail(f"{where} must be a {what}'s number, not {value!r:.80}", known)
        if value < 0 or (what == "part" and value >= self.num_parts):
            self.fail(f"{where} {value!r:.80} is not there", known)
        return value

    def integer(self, value: Any, where: str, low: int, high: int | None) -> int:
        span = f"from {low} up" if high is None else f"from {low} to {high}"
        inside = isinstance(value, int) and not isinstance(value, bool)
        if not inside or value < low or (high is not None and value > high):
            self.fail(f"{where} is {value!r:.80}", f"Give a whole number {span}")
        return value

    def number(self, value: Any, where: str, low: float, high: float) -> float:
        if not _is_finite(value) or not low <= value <= high:
            self.fail(f"{where} is {value!r:.80}", f"Give a number from {low} to {high}")
        return float(value)

    def vector(self, value: Any, where: str, most: float) -> tuple[float, float, float]:
        if not isinstance(value, list) or len(value) != 3 or not all(map(_is_finite, value)):
            self.fail(f"{where} is {value!r:.80}", "Give three finite numbers, such as [0, 0, 45]")
        if max(map(abs, value)) > most:
            self.fail(f"{where} is {value!r:.80}", f"Give numbers from {-most:g} to {most:g}")
        return float(value[0]), float(value[1]), float(value[2])

    def choice(self, data: dict[str, Any], key: str, choices: tuple[str, ...]) -> str:
        value = data.get(key, choices[0])
        if value not in choices:
            self.fail(f"{key} is {value!r}", f"Choose {' or '.join(choices)}")
        return value


def _is_finite(value: Any) -> bool:
    """Also of whole numbers, which may have any number of digits."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= 1e300
