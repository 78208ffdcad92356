"""Long recordings are decoded once: their tiles stay on disk, and are mapped into memory from then on.

An entry is a folder with `rgba.tiles` and `mask.tiles` (raw bytes), `scene.npz` (everything else) and `manifest.json`
(what it was made of, size and checksum of each file). It is checked whenever it is used; a damaged or outdated one is made
anew. Entries lie in `$WIM_FAST_CACHE`, or else in wim-fast's folder of the user's caches; deleting them is safe.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from wim_fast.errors import UserError
from wim_fast.files import cache_folder
from wim_fast.recordings.cameras import Cameras
from wim_fast.recordings.recording import GroundTruth
from wim_fast.scene.footage import TILE, Footage, FootageBuilder, Shape, map_tiles
from wim_fast.scene.scene import Scene

VERSION = 3
LEAST_BYTES = 1 << 30  # of colours and masks, from which on a recording is kept
PIXEL_BYTES = 5
CHUNK = 1 << 24  # bytes read at a time
STALE = 3600  # seconds after which an entry that nobody writes to any more is not being made
_FILES = ("rgba.tiles", "mask.tiles", "scene.npz")


def read_through(
    path: Path,
    sources: Sequence[Path],
    request: str,
    read: Callable[..., Scene],
    *,
    least_bytes: int = LEAST_BYTES,
) -> Scene:
    """A scene in file units: mapped from its entry if there is one, else read, and kept if it is large.

    Args:
        path: the scene.
        sources: files and folders that it is made of; when one of them changes, it is read anew.
        request: what was asked of the reader, in words. Each request has its own entry.
        read: the reader; called with `new_footage`, which makes the builder of its `Footage`.
        least_bytes: of pixels, for a recording to be kept.

    Raises UserError if the folder of the caches cannot be written or its disk is full.
    """
    key = hashlib.sha256(f"{path.resolve()} {request}".encode()).hexdigest()[:16]
    entry = cache_folder() / f"{path.resolve().name}-{key}"
    if entry.is_dir():
        made_of = fingerprint(sources)
        with suppress(OSError, ValueError, KeyError, TypeError):
            return _open(entry, path, made_of)
        shutil.rmtree(entry, ignore_errors=True)
    unfinished: list[Path] = []
    with _progress() as show:

        def new_footage(shape: Shape) -> FootageBuilder:
            if PIXEL_BYTES * int(np.prod(shape)) < least_bytes:
                return FootageBuilder(shape)
            unfinished.append(_begin(entry))
            _write_manifest(unfinished[-1], fingerprint(sources))
            return FootageBuilder(shape, unfinished[-1], show)

        try:
            scene = read(new_footage=new_footage)
            if not unfinished:
                return scene
            _finish(scene, unfinished[-1])
            with suppress(OSError):  # another process was faster
                unfinished[-1].rename(entry)
            return scene
        except OSError as error:
            if error.errno != errno.ENOSPC or not unfinished:
                raise
            remedy = "make room, or set WIM_FAST_CACHE to a folder on a disk with more of it"
            raise UserError(entry.parent, "the disk is full", remedy) from None
        finally:
            for folder in unfinished:
                shutil.rmtree(folder, ignore_errors=True)


def fingerprint(sources: Sequence[Path]) -> str:
    """Changes with the names, sizes and times of change of all files in these folders."""
    digest = hashlib.sha256()

    def add(file: Path | os.DirEntry[str]) -> None:
        about = file.stat()
        digest.update(f"{os.fspath(file)}\0{about.st_size}\0{about.st_mtime_ns}\n".encode())

    def walk(folder: Path | str) -> None:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                walk(entry.path)
            elif Path(entry.path).is_file():  # an entry would raise for a link to itself
                add(entry)

    for source in sources:
        if source.is_dir():
            walk(source)
        elif source.is_file():
            add(source)
    return digest.hexdigest()


def _begin(entry: Path) -> Path:
    """An empty folder beside the entry to be; what is left of attempts that died is removed."""
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        for old in entry.parent.glob(f".{entry.name}-*"):
            if time.time() - max((f.stat().st_mtime for f in old.iterdir()), default=0.0) > STALE:
                shutil.rmtree(old, ignore_errors=True)
        return Path(tempfile.mkdtemp(prefix=f".{entry.name}-", dir=entry.parent))
    except OSError as error:
        remedy = "long recordings are kept there once decoded; set WIM_FAST_CACHE to another folder"
        raise UserError(entry.parent, f"cannot be written to ({error.strerror})", remedy) from None


def _finish(scene: Scene, folder: Path) -> None:
    """Everything but the tiles, which are there."""
    truth = scene.ground_truth or GroundTruth(None, None)
    known = {key: getattr(truth, key) for key in ("joints", "points") if getattr(truth, key) is not None}
    cameras, footage = scene.cameras, scene.footage
    if cameras.up is not None:
        known["up"] = np.array(cameras.up)
    np.savez(
        folder / "scene.npz",
        camera_ids=cameras.ids,
        intrinsics=cameras.intrinsics,
        T_camera_world=cameras.T_camera_world,
        size=footage.size,
        frame_ids=scene.frame_ids,
        index=footage.index,
        counts=footage.counts,
        **known,
    )
    manifest = json.loads((folder / "manifest.json").read_text())
    _write_manifest(folder, manifest["made_of"], {name: _checksum(folder / name) for name in _FILES})


def _write_manifest(folder: Path, made_of: str, files: dict[str, list[int]] | None = None) -> None:
    manifest = {"version": VERSION, "made_of": made_of, "files": files}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _open(entry: Path, path: Path, made_of: str) -> Scene:
    """The scene of an entry; ValueError, KeyError or OSError if it is damaged or outdated."""
    manifest = json.loads((entry / "manifest.json").read_text(encoding="utf-8"))
    if manifest["version"] != VERSION or manifest["made_of"] != made_of:
        raise ValueError("outdated")
    for name in _FILES:  # reading them all also brings them into the system's memory
        if _checksum(entry / name) != manifest["files"][name]:
            raise ValueError("damaged")
    with np.load(entry / "scene.npz", allow_pickle=False) as data:
        arrays = {key: data[key] for key in data}
    rgba = map_tiles(entry / "rgba.tiles", (TILE, TILE, 4))
    mask = map_tiles(entry / "mask.tiles", (TILE, TILE))
    height, width = (int(n) for n in arrays["size"])
    footage = Footage((height, width), arrays["index"], rgba, mask, arrays["counts"])
    ids, frames = (tuple(arrays[key].tolist()) for key in ("camera_ids", "frame_ids"))
    up = tuple(arrays["up"].tolist()) if "up" in arrays else None
    rig = Cameras(ids, arrays["intrinsics"], arrays["T_camera_world"], width, height, up)
    truth = GroundTruth(arrays.get("joints"), arrays.get("points"))
    known = truth.joints is not None or truth.points is not None
    return Scene(path.resolve().name, path, rig, frames, footage, 1.0, truth if known else None)


def _checksum(file: Path) -> list[int]:
    """Its size and CRC-32."""
    crc = size = 0
    with file.open("rb", buffering=0) as stream:
        while chunk := stream.read(CHUNK):
            crc, size = zlib.crc32(chunk, crc), size + len(chunk)
    return [size, crc]


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar in the terminal, from the first image on."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("decoding, once, to keep it", total=None)

    def show(done: int, total: int) -> None:
        if not bar.live.is_started:
            bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield show
    finally:
        if bar.live.is_started:
            bar.stop()
