"""What `fuzz.py` damages, and how: each kind of damage is a function that makes a case of it."""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wim_fast.config import SETTINGS
from wim_fast.files import resource_folder
from wim_fast.recordings.calibration.raw_json import read_raw_camera

CAMERAS, FRAMES = 3, 2
TINY = [
    "--parts=3", "--images-per-step=2", "--rays-per-image=24", "--hash-log2-entries=8", "--pose-width=16",
    "--decoder-width=16", "--size=24", "--threads=1", "--log-every=1",
]  # fmt: skip
POSE = """root: 0
frame: 0
sequence: together
axes: world
seconds: 0.1
fps: 20
root_translation: [0, 0, 0]
rotations:
  - {part: 1, axis_angle: [0, 0, 45]}
"""
NUMBERS = (1e300, -1e300, 1e30, -1.0, 1e-300, 10**400, float("nan"), float("inf"))
TEXTS = (
    "1e300",
    "-1e300",
    "nan",
    "inf",
    "1e400",
    "2020-13-45",
    "9" * 400,
    "true",
    "[[[[",
    "{",
    "\0",
    "0x",
    "",
)


@dataclass(frozen=True)
class Case:
    """A command on damaged input. `must_be_refused`: the input cannot be used for anything."""

    damage: str
    command: list[str]
    must_be_refused: bool = False


@dataclass(frozen=True)
class Material:
    """What is whole: a scene in the raw layout, a run of it, a folder with transforms.json, and a pose file."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Material:
        material = cls(folder)
        dog = resource_folder("assets") / "dog"
        material.scene.mkdir()
        frames = []
        for v in range(CAMERAS):
            shutil.copy(dog / f"cam_{v:03d}.json", material.scene)
            pictures = material.recording / f"cam{v}"
            pictures.mkdir(parents=True)
            for t in range(FRAMES):
                file = dog / f"frame_{t:05d}_cam_{v:03d}.png"
                shutil.copy(file, material.scene)
                shutil.copy(file, pictures / f"{t:04d}.png")
            frames.append(_transforms_frame(dog / f"cam_{v:03d}.json", v))
        (material.recording / "transforms.json").write_text(json.dumps({"frames": frames}))
        material.pose.write_text(POSE)
        return material

    @property
    def scene(self) -> Path:
        return self.folder / "scene"

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def recording(self) -> Path:
        return self.folder / "recording"

    @property
    def pose(self) -> Path:
        return self.folder / "pose.yaml"

    def commands_that_make_it(self) -> list[tuple[str, list[str]]]:
        """The run, and one command of each kind, to see that what is whole is accepted."""
        train = ["train", "--scene", str(self.scene), "--output", str(self.run), "--iterations", "12", *TINY]
        return [
            ("the run", [*train, "--checkpoint-minutes", "1e-5"]),
            ("a picture", ["render", str(self.run), "--frames", "0:1", "--size", "16"]),
            ("a pose", _posed(self.run, self.pose, self.folder / "posed")),
            ("a measurement", ["evaluate", str(self.run), "--frames", "0:1"]),
            ("a training on a folder", _trained(self.recording, self.folder / "other")),
            ("an import", ["import", str(self.recording), "--output", str(self.folder / "imported")]),
        ]


def _transforms_frame(camera_file: Path, v: int) -> dict[str, Any]:
    """A camera of the raw layout as one of transforms.json."""
    camera = read_raw_camera(camera_file)
    pose = np.linalg.inv(camera.T_camera_world) * [1, -1, -1, 1]
    (fx, _, cx), (_, fy, cy), _ = camera.intrinsics(camera_file, (128, 128)).tolist()
    lens = {"fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy, "w": 128, "h": 128}
    return {"file_path": f"cam{v}", "transform_matrix": pose.tolist(), **lens}


def _trained(scene: Path, output: Path) -> list[str]:
    return ["train", "--scene", str(scene), "--output", str(output), "--iterations", "2", *TINY]


def _posed(run: Path, pose: Path, output: Path) -> list[str]:
    return ["render-novel-pose", str(run), "--pose", str(pose), "--output", str(output), "--size", "16"]


def scene_file(rng: random.Random, material: Material, folder: Path) -> Case:
    """A picture or camera of the raw layout."""
    scene = _copy(material.scene, folder / "scene")
    file = rng.choice(sorted(scene.glob("*.png" if rng.random() < 0.6 else "*.json")))
    what, hopeless = damage_file(rng, file)
    return Case(f"{file.name}: {what}", _trained(scene, folder / "run"), hopeless)


def camera_numbers(rng: random.Random, material: Material, folder: Path) -> Case:
    """A number of a camera file or of transforms.json that is none, or none that can be meant."""
    whole = rng.choice((material.scene, material.recording))
    scene = _copy(whole, folder / "scene")
    file = rng.choice(sorted(scene.glob("*.json")))
    content = json.loads(file.read_text())
    what, value = swap_number(rng, content)
    file.write_text(json.dumps(content))
    return Case(f"{file.name}: {what} became {str(value)[:30]}", _trained(scene, folder / "run"), True)


def recording_file(rng: random.Random, material: Material, folder: Path) -> Case:
    """Anything in a folder of pictures with transforms.json."""
    recording = _copy(material.recording, folder / "recording")
    file = rng.choice([recording / "transforms.json", *sorted(recording.rglob("*.png"))])
    what, hopeless = damage_file(rng, file)
    command = rng.choice(
        (_trained(recording, folder / "run"), ["import", str(recording), "--output", str(folder / "scene")])
    )
    return Case(f"{file.name}: {what}", command, hopeless)


def checkpoint(rng: random.Random, material: Material, folder: Path) -> Case:
    """The newest checkpoint of a run, opened by a command that draws from it."""
    run = _copy(material.run, folder / "run")
    file = sorted(run.glob("checkpoints/*.pt"))[-1]
    what, hopeless = damage_file(rng, file, binary=True)
    return Case(f"checkpoint: {what}", ["render", str(run), "--frames", "0:1", "--size", "16"], hopeless)


def run_file(rng: random.Random, material: Material, folder: Path) -> Case:
    """Settings, log or checkpoint of a run that is to go on, or to be measured."""
    run = _copy(material.run, folder / "run")
    files = [run / "config.yaml", run / "metrics.jsonl", *sorted(run.glob("checkpoints/*.pt"))]
    file = rng.choice(files)
    what, hopeless = damage_file(rng, file, binary=file.suffix == ".pt")
    goes_on = ["train", "--resume", "--output", str(run)]
    command = rng.choice((goes_on, ["evaluate", str(run), "--frames", "0:1"]))
    needed = file.name == "config.yaml" or (file == files[-1] and command != goes_on)
    return Case(f"{file.name}: {what}", command, hopeless and needed)


def pose_file(rng: random.Random, material: Material, folder: Path) -> Case:
    """A pose file."""
    file = folder / "pose.yaml"
    lines = POSE.splitlines()
    if rng.random() < 0.4:
        shutil.copy(material.pose, file)
        what, hopeless = damage_file(rng, file)
    else:
        place = rng.randrange(len(lines))
        key = lines[place].split(":")[0]
        text = rng.choice((*TEXTS, "1e300", "[1e300, 0, 0]", "3600", "24", "[0, 0]", "{part: 1}"))
        lines[place] = f"{key}: {text}"
        if rng.random() < 0.2:
            lines.append(lines[rng.randrange(7)])
        file.write_text("\n".join(lines) + "\n")
        what, hopeless = f"{key} became {text[:30]}", text in TEXTS[:7] and key != "  - {part"
    return Case(f"pose file: {what}", _posed(material.run, file, folder / "posed"), hopeless)


def flags(rng: random.Random, material: Material, folder: Path) -> Case:
    """A setting of a training with an absurd value."""
    setting = rng.choice([s for s in SETTINGS.values() if s.kind in (int, float) and s.name != "size"])
    absurd = ("1e300", "-1e300", "nan", "inf", "9" * 400, "1e38", "x", "")
    value = rng.choice(absurd)
    command = [*_trained(material.scene, folder / "run"), f"{setting.flag}={value}"]
    return Case(f"{setting.flag}={value[:30]}", command, True)


def extreme_flags(rng: random.Random, material: Material, folder: Path) -> Case:
    """Several settings at the ends of what is allowed; the largest pictures would only take long."""
    allowed = [
        s
        for s in SETTINGS.values()
        if s.kind in (int, float) and not s.is_tuple and s.section != "schedule" and s.name != "size"
    ]
    command = _trained(material.scene, folder / "run")
    for setting in rng.sample(allowed, 3):
        ends = [end for end in (setting.minimum, setting.maximum) if end is not None]
        value = rng.choice(ends or [1.0])
        command.append(f"{setting.flag}={setting.kind(value)}")
    return Case(" ".join(command[-3:]), command)


def damage_file(rng: random.Random, file: Path, binary: bool = False) -> tuple[str, bool]:
    """Damages a file in some way; returns which, and whether nothing can be made of it."""
    kinds: list[Callable[[random.Random, Path], bool]] = [
        _flip_one,
        _flip_many,
        _cut,
        _empty,
        _device,
        _pipe,
        _loop,
        _folder,
    ]
    if not binary:
        kinds += [_nested, _binary]
    if file.suffix == ".png":
        kinds += [_huge_picture]
    kind = rng.choice(kinds)
    hopeless = kind(rng, file)
    return kind.__name__.strip("_").replace("_", " "), hopeless


def _flip_one(rng: random.Random, file: Path) -> bool:
    content = bytearray(file.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    file.write_bytes(content)
    return False


def _flip_many(rng: random.Random, file: Path) -> bool:
    content = bytearray(file.read_bytes())
    for _ in range(1000):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    file.write_bytes(content)
    return file.suffix == ".pt"


def _cut(rng: random.Random, file: Path) -> bool:
    content = file.read_bytes()
    file.write_bytes(content[: rng.randrange(1, max(2, len(content) * 9 // 10))])
    return file.suffix in (".pt", ".json", ".png")


def _empty(rng: random.Random, file: Path) -> bool:
    file.write_bytes(b"")
    return file.suffix != ".jsonl"


def _device(rng: random.Random, file: Path) -> bool:
    file.unlink()
    file.symlink_to("/dev/zero")
    return True


def _pipe(rng: random.Random, file: Path) -> bool:
    file.unlink()
    os.mkfifo(file)
    return True


def _loop(rng: random.Random, file: Path) -> bool:
    file.unlink()
    file.symlink_to(file.name)
    return True


def _folder(rng: random.Random, file: Path) -> bool:
    file.unlink()
    file.mkdir()
    return True


def _nested(rng: random.Random, file: Path) -> bool:
    file.write_text("[" * 100_000)
    return file.suffix != ".jsonl"


def _binary(rng: random.Random, file: Path) -> bool:
    file.write_bytes(rng.randbytes(4000))
    return file.suffix != ".jsonl"


def _huge_picture(rng: random.Random, file: Path) -> bool:
    """12000 x 12000 pixels of RGBA in a small file."""
    side = 12_000
    row = zlib.compressobj(1)
    pixels = b"".join(row.compress(b"\0" * (1 + 4 * side)) for _ in range(side)) + row.flush()

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return True


def swap_number(rng: random.Random, content: Any) -> tuple[str, Any]:
    """Puts something else in the place of a number of some JSON; returns where, and what."""
    places: list[tuple[Any, Any, str]] = []

    def look(part: Any, name: str) -> None:
        pairs = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
        for key, value in pairs:
            if isinstance(value, (int, float)):
                places.append((part, key, f"{name}.{key}"))
            look(value, f"{name}.{key}")

    look(content, "")
    where, key, name = rng.choice([p for p in places if not p[2].endswith((".width", ".height", ".w", ".h"))])
    where[key] = rng.choice((*(n for n in NUMBERS if n != -1.0 and n != 1e-300), True, "1", [], {}))
    return name, where[key]


def _copy(whole: Path, copy: Path) -> Path:
    return Path(shutil.copytree(whole, copy))


KINDS: dict[str, Callable[[random.Random, Material, Path], Case]] = {
    kind.__name__.replace("_", " "): kind
    for kind in (
        scene_file, camera_numbers, recording_file, checkpoint, run_file, pose_file, flags, extreme_flags,
    )
}  # fmt: skip
