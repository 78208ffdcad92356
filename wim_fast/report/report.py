"""Runs, protocols and ablations as one page to send, and their tables as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wim_fast.errors import UserError
from wim_fast.files import check_free, check_named_once, output_folder, write_atomic
from wim_fast.report.media import Media
from wim_fast.report.page import page, tables
from wim_fast.report.run_content import RunContent, read_run
from wim_fast.report.studies import ABLATION_FILE, PROTOCOL_FILE, Study, read_ablation, read_protocol

RUN_FILE = "config.yaml"
READERS = {PROTOCOL_FILE: read_protocol, ABLATION_FILE: read_ablation}
"""{the file that says what a folder is: how it is read}; a run has `RUN_FILE`."""


@dataclass(frozen=True)
class Report:
    """What was written: the page, its tables as Markdown, and what a reader of the page is told to be missing."""

    page: Path
    tables: Path
    notes: list[str]


def write_report(
    paths: Sequence[str | Path],
    output: str | Path | None = None,
    *,
    title: str | None = None,
    force: bool = False,
) -> Report:
    """Writes report.html, which needs nothing else, and report.md.

    Args:
        paths: folders that `wim-fast train`, `protocol` or `ablate` made.
        output: a folder; None: runs/report.
        title: of the page; None: named after the scenes.
        force: overwrite what is there.

    UserError for a folder that is none of these, or is named twice, and for files that exist.
    """
    runs, studies = read_all(paths)
    with output_folder(Path(output) if output else Path("runs") / "report") as folder:
        files = folder / "report.html", folder / "report.md"
        for file in files:
            check_free(file, force)
        media = Media()
        title = title or default_title(runs, studies)
        write_atomic(files[0], page(title, runs, studies, media).encode())
        write_atomic(files[1], "\n".join(table.markdown() for table in tables(runs, studies)).encode())
    notes = [f"{run.name}: {problem}" for run in runs for problem in run.problems]
    return Report(*files, [*notes, *media.notes])


def read_all(paths: Sequence[str | Path]) -> tuple[list[RunContent], list[Study]]:
    """What the folders hold, each by the file that says what it is."""
    if not paths:
        raise UserError("wim-fast report", "no folder was named", "give folders that `wim-fast train` made")
    folders = [Path(path) for path in paths]
    check_named_once(folders, "folder")
    kinds = {folder: kind_of(folder) for folder in folders}
    runs = [folder for folder, kind in kinds.items() if kind == RUN_FILE]
    contents = [read_run(run, name) for run, name in zip(runs, names_of(runs), strict=True)]
    return contents, [READERS[kind](folder) for folder, kind in kinds.items() if kind in READERS]


def kind_of(folder: Path) -> str:
    """The file that says what a folder is; UserError without one."""
    if not folder.is_dir():
        raise UserError(folder, "there is no such folder", "give folders that `wim-fast train` made")
    for name in (RUN_FILE, *READERS):
        if (folder / name).is_file():
            return name
    problem = f"holds none of {', '.join((RUN_FILE, *READERS))}"
    raise UserError(
        folder, problem, "give folders that `wim-fast train`, `wim-fast protocol` or `wim-fast ablate` made"
    )


def names_of(folders: Sequence[Path]) -> list[str]:
    """The folders' names, each with as many folders above it as tell it from the others."""

    def ending(folder: Path, count: int) -> str:
        return "/".join(folder.parts[-count:])

    resolved = [folder.resolve() for folder in folders]
    names = []
    for folder in resolved:
        counts = range(1, len(folder.parts) + 1)
        alike = (sum(ending(folder, k) == ending(other, k) for other in resolved) for k in counts)
        names.append(next(ending(folder, k) for k, number in zip(counts, alike, strict=True) if number == 1))
    return names


def default_title(runs: Sequence[RunContent], studies: Sequence[Study]) -> str:
    """After the scenes, else after what was measured."""
    scenes = sorted({run.scene for run in runs})
    return ", ".join(scenes or [study.title for study in studies])
