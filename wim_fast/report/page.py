"""The page, put together: what came out, protocols, curves, each run, settings. It has no scripts and loads nothing."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from wim_fast import __version__
from wim_fast.report.curves import LARGE, SMALL, Curve, chart, legend
from wim_fast.report.markup import Markup, element, joined
from wim_fast.report.media import Media
from wim_fast.report.run_content import RunContent
from wim_fast.report.run_tables import OURS, machine_lines, method, metrics_of, overview, settings_tables
from wim_fast.report.studies import Study
from wim_fast.report.table import Table
from wim_fast.runs.evaluation_table import joint_notes, turn_notes, turntable_note
from wim_fast.training.machine import commit

PAGE = Path(__file__).parent / "page"
EARLIER_PREVIEWS = 4  # of each run, evenly from its first one
SECONDS = 180  # a training of less is drawn over seconds, not minutes


@dataclass(frozen=True)
class Section:
    """A part of the page, and what the list of contents calls it."""

    key: str
    title: str
    content: Markup


def page(title: str, runs: Sequence[RunContent], studies: Sequence[Study], media: Media) -> str:
    """The whole page. `media` embeds the pictures, and knows afterwards what was left out."""
    sections = list(all_sections(runs, studies, media))
    contents = element("ul", *(element("li", element("a", s.title, href=f"#{s.key}")) for s in sections))
    body = joined(
        *(element("section", element("h2", s.title), s.content, id=s.key) for s in sections),
    )
    notes = element("footer", *paragraphs([made_by(), *media.summary()]))
    parts = {
        "title": html.escape(title),
        "css": (PAGE / "report.css").read_text(encoding="utf-8"),
        "facts": html.escape(facts(runs, studies)),
        "contents": contents if len(sections) > 1 else "",
        "body": body,
        "footer": notes,
    }
    template = (PAGE / "report.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)


def all_sections(runs: Sequence[RunContent], studies: Sequence[Study], media: Media) -> Iterator[Section]:
    """In the order of the page."""
    if runs:
        yield Section("runs", "Results", overview(runs).html())
    for k, study in enumerate(studies):
        yield Section(f"study-{k}", study.title, study_content(study, media))
    if curves := all_curves(runs):
        yield Section("curves", "Training", curves)
    for k, run in enumerate(runs):
        yield Section(f"run-{k}", run.name, run_content(run, media))
    if runs and (tables := settings_tables(runs)):
        yield Section("settings", "Settings", joined(*(table.html() for table in tables)))


def tables(runs: Sequence[RunContent], studies: Sequence[Study]) -> list[Table]:
    """What the page has in tables, for Markdown."""
    found = [overview(runs)] if runs else []
    found += [study.table for study in studies]
    found += [table for run in runs if (table := metrics_of(run)).rows]
    return [*found, *(settings_tables(runs) if runs else [])]


def facts(runs: Sequence[RunContent], studies: Sequence[Study]) -> str:
    """What the page is of, on a line."""
    scenes = sorted({run.scene for run in runs})
    told = [f"{len(runs)} run{'s' * (len(runs) > 1)} of {', '.join(scenes)}"] if runs else []
    return " · ".join([*told, *(study.title for study in studies)])


def made_by() -> str:
    found = commit()
    version = f"wim-fast {__version__}" + (f", commit {found}" if found else "")
    return f"Made by wim-fast report on {date.today().isoformat()} ({version})."


def paragraphs(lines: Sequence[str]) -> list[Markup]:
    return [element("p", line) for line in lines]


def study_content(study: Study, media: Media) -> Markup:
    """Its table, notes and pictures."""
    shown = "Film, model and parts, a row for each variant"
    pictures = [media.picture(file, f"{study.title}: {shown.lower()}", shown) for file in study.pictures]
    notes = element("div", *paragraphs(study.notes), class_="notes")
    return joined(study.table.html(), notes, element("div", *pictures, class_="pictures"))


def all_curves(runs: Sequence[RunContent]) -> Markup:
    """PSNR and losses of all runs over each other; nothing if no run has logged any."""
    if not any(len(run.course) for run in runs):
        return Markup()
    unit, scale = time_unit(runs)
    axes = (("steps", None), (unit, scale))
    names = dict.fromkeys(name for run in runs for name in run.course.losses if name != "total")
    large = [chart("PSNR of the pixels trained on, dB", curves(runs, "psnr", of), x) for x, of in axes]
    large += [
        chart("Sum of the losses", curves(runs, "total", of), x, LARGE, logarithmic=True) for x, of in axes
    ]
    over_steps, over_time = (
        [chart(n.replace("_", " "), curves(runs, n, of), x, SMALL, logarithmic=True) for n in names]
        for x, of in axes
    )
    return joined(
        legend([run.name for run in runs]) if len(runs) > 1 else Markup(),
        element("div", *large, class_="charts"),
        folded("Each loss over steps", element("div", *over_steps, class_="charts small"), True),
        folded(f"Each loss over {unit}", element("div", *over_time, class_="charts small")),
        element("p", "Losses are weighted as they are added up, and drawn by powers of ten.", class_="notes"),
    )


def time_unit(runs: Sequence[RunContent]) -> tuple[str, float]:
    """What time is drawn in, and how many seconds that is."""
    longest = max(float(run.course.seconds[-1]) for run in runs if len(run.course))
    return ("seconds", 1.0) if longest < SECONDS else ("minutes", 60.0)


def curves(runs: Sequence[RunContent], name: str, seconds: float | None) -> list[Curve]:
    """PSNR (`psnr`) or a loss of each run that has it, over steps or over units of so many seconds."""
    found = []
    for number, run in enumerate(runs):
        course = run.course
        y = course.psnr if name == "psnr" else course.losses.get(name)
        if y is not None:
            x = course.steps if seconds is None else course.seconds / seconds
            found.append(Curve(run.name, number, x, y))
    return found


def folded(title: str, content: Markup, is_open: bool = False) -> Markup:
    return element("details", element("summary", title), content, open="" if is_open else None)


def run_content(run: RunContent, media: Media) -> Markup:
    """What was measured of a run, how it looks, and where it was trained."""
    table, told = metrics_of(run), []
    if run.measured:
        if run.measured.joint_error:
            told += joint_notes(run.measured.joint_error)
        if run.measured.unconfirmed:
            told.append(turntable_note(run.measured.unconfirmed))
        told += turn_notes(run.measured.abrupt_turns)
        told += [run.measured.driving] if run.measured.driving else []
    videos = [media.video(file, *video_texts(run, file)) for file in run.videos]
    return joined(
        element("p", run_facts(run), class_="facts"),
        *([table.html()] if table.rows else []),
        element("div", *paragraphs(told), class_="notes"),
        element("div", *paragraphs(run.problems), class_="problems") if run.problems else Markup(),
        element("div", *pictures(run, media), class_="pictures"),
        element("div", *videos, class_="videos"),
        earlier_previews(run, media),
        element("div", *paragraphs(machine_lines(run)), class_="notes"),
    )


def run_facts(run: RunContent) -> str:
    """What was trained, on a line."""
    scene, schedule = run.config.scene, run.config.schedule
    told = [
        f"Scene {run.scene}",
        f"{run.config.model.num_parts} parts" if method(run) == OURS else method(run),
    ]
    if scene.train_cameras is not None:
        told.append(f"trained on {len(scene.train_cameras)} cameras")
    if scene.test_cameras:
        told.append(f"{len(scene.test_cameras)} held back")
    if run.steps:
        told.append(f"{run.steps} steps" + (f" in {run.minutes:.1f} minutes" if run.minutes else ""))
    return ", ".join([*told, f"seed {schedule.seed}."])


def pictures(run: RunContent, media: Media) -> Iterator[Markup]:
    """How it came out: the last preview, and film beside rendering."""
    for file in run.previews[-1:]:
        alt = f"{run.name}: a frame as it was filmed, as rendered, its parts in colours and its joints"
        yield media.picture(file, alt, f"Filmed, rendered, parts and joints, step {step_of(file)}")
    for file in run.comparisons:
        alt = f"{run.name}: frames as they were filmed above frames as they were rendered"
        yield media.picture(file, alt, "Filmed above rendered, by groups of views")


def earlier_previews(run: RunContent, media: Media) -> Markup:
    """How it came about; nothing without earlier previews."""
    earlier = run.previews[:-1]
    shown = earlier[:: max(1, -(-len(earlier) // EARLIER_PREVIEWS))]
    if not shown:
        return Markup()
    figures = [
        media.picture(file, f"{run.name} at step {step_of(file)} of its training", f"Step {step_of(file)}")
        for file in shown
    ]
    return folded("While it was trained", element("div", *figures, class_="pictures"))


def step_of(preview: Path) -> str:
    return preview.stem.rpartition("_")[2].lstrip("0") or "0"


def video_texts(run: RunContent, file: Path) -> tuple[str, str]:
    """What a video is called: for those who do not see it, and below it."""
    where = dict.fromkeys(file.relative_to(run.folder.path).with_suffix("").parts)  # each name once
    return f"Video of {run.name}: {file.stem}", " / ".join(where).replace("_", " ")
