"""A scene's folder that appears whole or not at all, goes on where it was interrupted, and fits onto the disk."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from wim_fast.errors import UserError
from wim_fast.files import write_atomic
from wim_fast.recordings.write import IMPORT_REPORT

WORK = "work"  # folder in an unfinished scene for what is only needed until it is complete
_MADE_OF = "made_of.txt"
_SURE = 12  # images after which their size is known well enough


@contextmanager
def staged(
    output: Path, overwrite: bool, made_of: str, say: Callable[[str], None] = lambda text: None
) -> Iterator[Path]:
    """The folder `output`.unfinished to write to, which takes the name `output` at the end.

    What an interruption or a full disk leaves of it is there again for the next import that is made of the same; a
    UserError removes it. In it is a folder `WORK`, which `output` does not have.

    Args:
        overwrite: whether `output` may be replaced.
        made_of: changes with everything that the files depend on.
        say: told what becomes of an unfinished folder.
    """
    check_output(output, overwrite)
    unfinished = output.with_name(f"{output.name}.unfinished")
    try:
        _begin(unfinished, made_of, say)
        yield unfinished
        if output.exists():
            shutil.rmtree(output)
        unfinished.rename(output)
        shutil.rmtree(output / WORK)
    except KeyboardInterrupt:
        say(f"{unfinished} stays: the same command goes on from there")
        raise
    except UserError:
        if _made_of(unfinished) is not None:
            shutil.rmtree(unfinished, ignore_errors=True)
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = "make room and give the same command, which goes on from here; or choose another --output"
        raise UserError(error.filename or output, f"cannot be written ({reason})", remedy) from None


def _begin(unfinished: Path, made_of: str, say: Callable[[str], None]) -> None:
    """An empty folder, or one that holds the whole files of an import that was made of the same."""
    known = _made_of(unfinished)
    if unfinished.exists() and known is None:
        raise UserError(unfinished, "is in the way", "move it, or choose another --output")
    if known == made_of:
        say(f"going on with {unfinished}")
        for file in unfinished.rglob(".*.tmp"):  # of a process that was killed
            file.unlink()
        return
    if known is not None:
        say(f"{unfinished} is of other files or settings: beginning anew")
        shutil.rmtree(unfinished)
    (unfinished / WORK).mkdir(parents=True)
    write_atomic(unfinished / WORK / _MADE_OF, made_of.encode())


def _made_of(unfinished: Path) -> str | None:
    """What an unfinished folder is made of; None if there is none."""
    try:
        return (unfinished / WORK / _MADE_OF).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None


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
