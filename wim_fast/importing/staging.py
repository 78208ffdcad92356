"""A scene's folder that appears whole or not at all, and whether the disk has room for it."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wim_fast.errors import UserError
from wim_fast.recordings.write import IMPORT_REPORT

_SURE = 12  # images after which their size is known well enough


@contextmanager
def staged(output: Path, overwrite: bool) -> Iterator[Path]:
    """A folder to write to, which takes the name `output` at the end and is gone after an error."""
    check_output(output, overwrite)
    unfinished = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        try:
            unfinished.mkdir(parents=True)
            yield unfinished
            if output.exists():
                shutil.rmtree(output)
            unfinished.rename(output)
        except OSError as error:
            reason = error.strerror or str(error)
            where = error.filename or output
            raise UserError(
                where, f"cannot be written ({reason})", "make room, or choose another --output"
            ) from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def check_output(output: Path, overwrite: bool) -> None:
    """UserError for a folder that holds something, unless it is an imported scene and may be replaced."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not overwrite:
        raise UserError(output, "exists already", "choose another --output, or --overwrite an imported scene")
    if not (output / IMPORT_REPORT).is_file():
        raise UserError(output, f"is not an imported scene (no {IMPORT_REPORT})", "choose another --output")


class Room:
    """Says early when the images will not fit onto the disk."""

    def __init__(self, folder: Path, total: int) -> None:
        self.folder, self.total = folder, total
        self.count = self.bytes = 0
        self._lock = threading.Lock()

    def wrote(self, *files: Path) -> None:
        """The files of one more image."""
        size = sum(file.stat().st_size for file in files if file.exists())
        with self._lock:
            self.count += 1
            self.bytes += size
            if self.count != _SURE:
                return
            needed = self.bytes / self.count * (self.total - self.count)
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            problem = (
                f"the scene needs about {needed / 1e9:.1f} GB more, the disk has {free / 1e9:.1f} GB left"
            )
            raise UserError(
                self.folder.parent, problem, "make room, or choose a smaller --size or fewer --frames"
            )
