"""The metrics of views as a table for the terminal, and what is said beside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from wim_fast.evaluation.abrupt_turns import AbruptTurns
from wim_fast.evaluation.confirmation import Unconfirmed
from wim_fast.evaluation.joints import JointError
from wim_fast.evaluation.protocols import NOVEL_VIEWS

LABELS: dict[str, tuple[str, str]] = {
    "psnr": ("PSNR, whole image", "{:.2f} dB"),
    "psnr_box": ("PSNR, box of the mask", "{:.2f} dB"),
    "ssim": ("SSIM, whole image", "{:.4f}"),
    "ssim_box": ("SSIM, box of the mask", "{:.4f}"),
    "lpips": ("LPIPS", "{:.4f}"),
    "iou": ("mask IoU", "{:.4f}"),
}
"""{metric of a view: (what it is called, how it is printed)}."""

LISTED = 8  # parts or frames, in a note


def as_text(table: Table) -> str:
    """A table as plain text."""
    return "".join(segment.text for segment in Console(width=100).render(table)).rstrip("\n")


def metrics_table(groups: Mapping[str, Mapping[str, float]], title: str = "") -> Table:
    """Groups of views side by side: a column for each summary, a row for each metric that any of them has."""
    table = Table(title=title or None, title_justify="left")
    table.add_column("")
    for name in groups:
        table.add_column(name, justify="right")
    for key, (label, form) in LABELS.items():
        if any(key in summary for summary in groups.values()):
            cells = (form.format(s[key]) if key in s else "-" for s in groups.values())
            table.add_row(label, *cells)
    table.add_row("images", *(str(int(summary["images"])) for summary in groups.values()))
    return table


def evaluation_notes(
    groups: Collection[str],
    shares: Unconfirmed | None,
    turns: AbruptTurns | None,
    error: JointError | None,
    driving: Mapping[str, Any] | None,
    lpips: str,
    cameras_corrected: bool,
    method: str,
) -> list[str]:
    """What an evaluation of these groups says beside its table; see `evaluate.Evaluation` for the rest."""
    notes = [f"Method: {method}."]
    if cameras_corrected:
        notes.append(
            "Training views: with the cameras as training found them (cameras.json); others: as given."
        )
    if NOVEL_VIEWS not in groups:
        notes.append("No novel views: all cameras looked at were trained on.")
    if lpips != "measured":
        notes.append(f"LPIPS is not measured: {lpips}.")
    if shares is not None:
        notes.append(turntable_note(shares))
    notes += turn_notes(turns)
    notes += joint_notes(error)
    if driving:
        notes.append(driving_note(driving["driven_by"], driving["held_out_error"]))
    return notes


def driving_note(driven_by: str, held_out_error: float) -> str:
    """What moves the model in novel poses, and how well."""
    return (
        f"Novel poses are driven by the true {driven_by}, which place part points "
        f"within {held_out_error:.2%} of the extent on held-out training frames."
    )


def turntable_note(shares: Unconfirmed) -> str:
    """What of a turntable the training cameras do not confirm, and why."""
    return (
        f"Turntable: {shares.unseen:.1%} is where no training camera sees the object (streaks, patches: should be none), "
        f"{shares.hidden:.1%} on sides that none of them sees (guessed)."
    )


def turn_notes(turns: AbruptTurns | None) -> list[str]:
    """That parts may be the wrong way round in some frames; nothing if none turns abruptly."""
    if turns is None or not turns.parts:
        return []
    turn, they = ("turn", "they") if len(turns.parts) > 1 else ("turns", "it")
    parts, frames = listed("part", turns.parts), listed("frame", turns.frames)
    return [
        f"Abrupt turns: {parts} {turn} much faster than anything else about {frames}; before or after {they} may be learned "
        "the wrong way round. Look at these frames; another --seed may do better."
    ]


def listed(what: str, numbers: Sequence[int]) -> str:
    """`part 1`, `parts 1, 2 and 3`; of many only the first ones."""
    *shown, last = map(str, numbers)
    if len(shown) >= LISTED:
        shown, last = shown[:LISTED], f"{len(numbers) - LISTED} more"
    return f"{what}s {', '.join(shown)} and {last}" if shown else f"{what} {last}"


def joint_notes(error: JointError | None) -> list[str]:
    """The joint error, and what it would be otherwise."""
    if error is None:
        return ["Joint error is not measured: the recording has no true joints."]
    return [
        f"Joint error {error.error:.2%} of the object's extent "
        f"({error.num_fit_frames} frames fit, {error.num_test_frames} test).",
        f"For scale: {error.error_least_norm:.2%} by least squares without a ridge, as the paper measures, "
        f"{error.error_mean_pose:.2%} if every joint stayed at its mean.",
    ]
