"""Files: those that ship with wim-fast, and those that it writes, which are there whole or not at all."""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from wim_fast.errors import UserError

_PACKAGE = Path(__file__).resolve().parent


def resource_folder(kind: str) -> Path:
    """The folder `assets` or `configs`: inside the package in an installed wheel, beside it in a checkout."""
    packaged = _PACKAGE / "_data" / kind
    return packaged if packaged.is_dir() else _PACKAGE.parent / kind


def read_bytes(path: Path, most: int) -> bytes:
    """The content of a regular file of `most` bytes at most.

    Nothing else is opened: a pipe would be waited for, and a device may have no end. UserError for such a thing, and for
    a file that is larger; OSError if it cannot be read.
    """
    check_regular(path)
    with open(
        path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))
    ) as file:
        size = os.fstat(file.fileno()).st_size
        if size <= most:
            return file.read(size)
    raise UserError(path, f"is larger than {amount(most)}", "check that it is the file that was meant")


def check_regular(path: Path) -> None:
    """UserError if there is something else than a regular file, or a link to one; OSError if there is nothing."""
    check_no_loop(path)
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a pipe", stat.S_ISSOCK: "a socket"}
        kind = next((name for test, name in kinds.items() if test(mode)), "a device")
        raise UserError(path, f"is {kind}, not a file", "put a file there")


def check_no_loop(path: Path) -> None:
    """UserError for a link that leads to itself. What is not there at all passes."""
    try:
        path.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            remedy = "let it lead to what was meant"
            raise UserError(path, "is a link that leads to itself", remedy) from None


def check_named_once(paths: Sequence[Path], what: str) -> None:
    """UserError for the first path that leads where one before it does. `what`: they are, in the singular."""
    resolved = [path.resolve() for path in paths]
    for number, path in enumerate(paths):
        if resolved[number] in resolved[:number]:
            raise UserError(path, "is named twice", f"name each {what} once")


def amount(size: float) -> str:
    """So many bytes, for a person."""
    unit, one = next(((u, n) for u, n in (("GiB", 2**30), ("MiB", 2**20)) if size >= n), ("KiB", 2**10))
    return f"{size / one:,.0f} {unit}" if size >= 100 * one else f"{size / one:.3g} {unit}"


def cache_folder() -> Path:
    """What is kept from one run to another, and can be made anew."""
    if folder := os.environ.get("WIM_FAST_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wim-fast"


@functools.cache
def sources_digest(folder: Path) -> str:
    """Of all Python files in and under `folder`."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its name once it is complete, and is gone after an error.

    It is on the disk then, also after a power cut. Raises OSError if it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield unfinished
        _flush(unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    _flush(path.parent)


def write_atomic(path: Path, content: bytes | memoryview) -> Path:
    """`content` as a file, see `atomic_file`. Raises OSError."""
    with atomic_file(path) as unfinished:
        unfinished.write_bytes(content)
    return path


def _flush(path: Path) -> None:
    """Onto the disk: the content of a file, or, where the system can, the names in a folder."""
    if path.is_dir() and not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def output_folder(path: Path) -> Iterator[Path]:
    """A folder to write to. What the disk refuses becomes a UserError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        yield path
    except OSError as error:
        where = error.filename or path
        reason = error.strerror or str(error)
        raise UserError(
            where, f"cannot be written ({reason})", "make room, or choose another --output"
        ) from None


def check_free(path: Path, force: bool) -> None:
    """UserError if a file, or a folder that is not empty, is in the way and is not to be overwritten."""
    if path.is_dir() and not path.suffix and not any(path.iterdir()):
        return
    if path.exists() and not force:
        raise UserError(path, "is there already", "choose another --output, or overwrite it with --force")
