"""What lies in the folder of a recording: a video or pictures of each camera, and which frame is which."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wim_fast.errors import UserError
from wim_fast.files import check_no_loop
from wim_fast.recordings.image_files import PICTURES, numbered_files
from wim_fast.recordings.pictures import Pictures
from wim_fast.recordings.video import VIDEOS

OTHER_VIDEOS = (".wmv", ".mpg", ".mpeg", ".mts", ".ts", ".flv", ".3gp")
MASK_FOLDERS = ("masks", "mask", "mask_cihp", "mask-schp", "mask-schp-parsing")
EMPTY_FOLDER = "empty"  # pictures of the set without the object
NOT_CAMERAS = (*MASK_FOLDERS, EMPTY_FOLDER, "sparse", "colmap", "smpl", "smplx", "depth", "depths")
MAX_ID = 9999
_LABELLED = re.compile(r"(?:cam(?:era)?|view|c|v)[_-]?(\d+)(?!.*(?:cam|view)[a-z]*[_-]?\d)", re.IGNORECASE)


@dataclass(frozen=True)
class SourceCamera:
    """A camera of a recording, by the name of its folder, its video, or what its files' names have in common."""

    name: str
    id: int
    pictures: Pictures
    flat: bool = False  # the files of all cameras lie in one folder

    @property
    def flat_files(self) -> list[Path]:
        return list(self.pictures.files.values()) if self.flat else []


def holds_film(folder: Path) -> bool:
    """Whether `find_sources` finds something to read there, or to complain about."""
    endings = (*PICTURES, *VIDEOS, *OTHER_VIDEOS)
    for place in _places(folder):
        entries = sorted(place.iterdir()) if place.is_dir() else []
        if any(p.suffix.lower() in endings and p.is_file() for p in entries):
            return True
        if any(numbered_files(p, PICTURES) for p in _camera_folders(entries)):
            return True
    return False


def find_sources(folder: Path, endings: tuple[str, ...] = PICTURES) -> list[SourceCamera]:
    """The cameras of a folder in the order of their ids; UserError if there are none.

    One video for each camera, or one folder of pictures, or one folder for all whose files' names hold camera and
    frame. They may lie in `images` or `videos`. The frame is the last number in a file's name; the camera's id the
    number that tells the names apart, else its place in their order.
    """
    check_no_loop(folder)
    if not folder.is_dir():
        remedy = "give the folder that holds the videos, or the folders of pictures"
        raise UserError(folder, "is not a folder" if folder.exists() else "does not exist", remedy)
    try:
        found: dict[str, Mapping[int, Path] | Path] = {}
        flat = False
        for place in _places(folder):
            if place.is_dir() and not found:
                found, flat = _cameras_in(place, endings)
    except OSError as error:
        raise UserError(
            error.filename or folder, f"cannot be read ({error.strerror})", "check the folder"
        ) from None
    if not found:
        others = [p.name for p in folder.iterdir() if p.suffix.lower() in OTHER_VIDEOS]
        if others:
            remedy = "write it again: ffmpeg -i IN -c:v libx264 -crf 12 OUT.mp4"
            raise UserError(folder / others[0], "this kind of video cannot be read", remedy)
        remedy = "put a video (.mp4, .mov, .mkv, .webm, .avi) or a folder of pictures (.png, .jpg) for each camera there"
        raise UserError(folder, "there are no videos or pictures", remedy)
    names = sorted(found, key=natural)
    numbers = telling_numbers(names)
    ids = numbers if numbers is not None else list(range(len(names)))
    cameras = [SourceCamera(n, i, Pictures(found[n]), flat) for n, i in zip(names, ids, strict=True)]
    return sorted(cameras, key=lambda camera: camera.id)


def _places(folder: Path) -> tuple[Path, ...]:
    """Where the pictures may lie."""
    return folder, folder / "images", folder / "videos"


def _camera_folders(entries: Sequence[Path]) -> list[Path]:
    """Those folders that may be of a camera."""
    others = (*NOT_CAMERAS, "images", "videos")
    return [p for p in entries if p.is_dir() and p.name not in others and not p.name.startswith(".")]


def _cameras_in(folder: Path, endings: tuple[str, ...]) -> tuple[dict[str, Mapping[int, Path] | Path], bool]:
    entries = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    videos = [p for p in entries if p.suffix.lower() in VIDEOS and p.is_file()]
    if videos:
        return {p.stem: p for p in videos}, False
    pictures = [p for p in entries if p.suffix.lower() in endings and p.is_file()]
    if pictures:
        return _flat(folder, pictures), True
    listed = {p.name: numbered_files(p, endings) for p in _camera_folders(entries)}
    return {name: files for name, files in listed.items() if files}, False


def _flat(folder: Path, files: Sequence[Path]) -> dict[str, Mapping[int, Path] | Path]:
    """Pictures of all cameras in one folder, by what their names say."""
    numbers = [re.findall(r"\d+", file.stem) for file in files]
    skeletons = {re.sub(r"\d+", "#", file.stem) for file in files}
    found: dict[str, dict[int, Path]] = {}
    for file, (camera, frame) in zip(
        files, _camera_and_frame(folder, files, numbers, skeletons), strict=True
    ):
        if frame in found.setdefault(camera, {}):
            problem = f"{found[camera][frame].name} and {file.name} are both frame {frame} of camera {camera}"
            raise UserError(folder, problem, "make a folder for each camera")
        found[camera][frame] = file
    return dict(found)


def _camera_and_frame(
    folder: Path, files: Sequence[Path], numbers: Sequence[list[str]], skeletons: set[str]
) -> list[tuple[str, int]]:
    wrong = UserError(
        folder,
        f"{files[0].name}: which camera and frame it is of is not clear",
        "name pictures like cam0_0001.png, or make a folder for each camera",
    )
    if len(skeletons) == 1:
        varying = [k for k in range(len(numbers[0])) if len({n[k] for n in numbers}) > 1]
        if len(varying) == 2:
            camera = _camera_position(files[0].stem, varying, numbers)
            frame = next(k for k in varying if k != camera)
            return [(n[camera], int(n[frame])) for n in numbers]
        if len(varying) != 1 or len(numbers[0]) > 1:
            raise wrong
    if not all(numbers):
        raise wrong
    # letters tell the cameras apart: left_0001.png, right_0001.png
    prefixes = [re.sub(r"[\W_]*\d+\D*$", "", file.stem) for file in files]
    if len(set(prefixes)) < 2:
        raise wrong
    return [(prefix, int(n[-1])) for prefix, n in zip(prefixes, numbers, strict=True)]


def _camera_position(stem: str, varying: list[int], numbers: Sequence[list[str]]) -> int:
    """Which of the two numbers in the names is the camera's: the labelled one, else the one with fewer values."""
    labelled = _LABELLED.search(stem)
    if labelled:
        position = len(re.findall(r"\d+", stem[: labelled.start(1)]))
        if position in varying:
            return position
    return min(varying, key=lambda k: len({n[k] for n in numbers}))


def telling_numbers(names: Sequence[str]) -> list[int] | None:
    """For each name the number in it that no other name has at its place; None if there is none for all."""
    numbers = [[int(n) for n in re.findall(r"\d+", name)] for name in names]
    for k in range(min((len(n) for n in numbers), default=0)):
        column = [n[k] for n in numbers]
        if len(set(column)) == len(column) and max(column) <= MAX_ID:
            return column
    return None


def natural(name: str) -> list[tuple[int, int, str]]:
    """Order in which cam2 comes before cam10."""
    parts = re.split(r"(\d+)", name.lower())
    return [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in parts]
