"""What the page says in words."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from wim_fast.ops.backend import Backend
from wim_fast.viewer.inspect.frame import FrameNumbers
from wim_fast.viewer.inspect.inspection import Selection
from wim_fast.viewer.inspect.snapshot import Snapshot

Row = tuple[str, str, str]  # name, text, style

HELP = """
**Grid.** The occupancy grid that the tcnn backend marches through in this frame, how its cells change with resolution, margin
and threshold, and what skipping the others loses. The numba and Triton backends have no grid: they cull rays analytically.

**Object.** The ellipsoids, their joint candidates, the tree that was chosen, the mesh, the surface of the field, and the
cameras. In a new frame or pose the surface is first carried there by the parts, then found anew.

**Ray.** One ray, how the march skips what is empty along it, and its samples: click on a camera's picture in the view, or
choose camera and pixel.

**Image.** What the model renders beside what was filmed, or from where you look.

**Pose.** Click on an ellipsoid, or choose a part: turn it about its joint, move the root, and save the pose for
`wim-fast render-novel-pose`.

**Export.** Write the run for other programs, as `wim-fast export` does.

**Missed mass** is the share of the opacity of a dense render, which skips nothing, that lies in cells that are not occupied.
0 % is safe: no picture changes. Above about 0.1 % pictures and gradients suffer. While s is still low, the tail of Φ beyond
the band that training samples counts too, whatever the grid.

**Occupancy** of a cell is the most that 1 - Φ can be in it, Φ = sigmoid(s · sdf): 0 where nothing is, 1 inside.

Lengths are in world units, in which the object is about 1.2 long; s is the sharpness of the surface.

Numbers come from a few rays first, then from all.

Mouse: left turns, right moves, the wheel zooms. All browsers that show this page share it: what is chosen in one is shown
in all; only from where one looks is one's own.
"""

CLOSED = "**This page is closed.** Start `wim-fast` again, then load the page again."

# the scroll bar lies over the panel: number boxes keep off it; pictures fill the panel
STYLE = """<style>
.mantine-ScrollArea-content { padding-right: 10px; }
.mantine-ScrollArea-content img { width: 100%; image-rendering: pixelated; }
</style>"""


def heading(title: str, snapshot: Snapshot) -> str:
    """What is looked at."""
    sharpness = f"s = {snapshot.inv_s:.0f} per world unit"
    return f"**{escape(title)}**, {snapshot.how_far}, {sharpness}, backend {snapshot.backend.name}"


def numbers_table(
    numbers: FrameNumbers, rays: int, selection: Selection, frame_ids: Sequence[int], backend: Backend
) -> str:
    """HTML: all numbers of a frame; of the steps those that the backend takes come first. `rays`: there are in all."""
    more = "" if numbers.rays == rays else f" so far; there are {rays}"
    warn = "color:#c00" if numbers.missed_mass > 1e-3 else "color:#080"
    taken = f"{numbers.samples_per_ray:.1f} taken, {numbers.samples_per_hit:.1f} where there are any"
    in_grid = f"{numbers.grid_steps_per_ray:.1f} in tcnn's grid"
    in_intervals = f"{numbers.interval_steps_per_ray:.1f} in inflated ellipsoids"
    steps = in_grid if backend.culling == "grid" else f"{in_intervals}; {in_grid}"
    share, cells = percent(numbers.occupied_share), f"{numbers.resolution}³ cells ({numbers.occupied_cells})"
    return _table(
        shown_row(selection, frame_ids),
        ("missed mass", f"{percent(numbers.missed_mass)} of the opacity is outside the grid", warn),
        ("occupied", f"{share} of {cells}", ""),
        ("samples per ray", taken, ""),
        ("steps per ray", steps, ""),
        (
            "no samples",
            f"{percent(numbers.rays_without_samples)} of {numbers.rays} rays{more}",
            "",
        ),
    )


def playing_table(selection: Selection, frame_ids: Sequence[int]) -> str:
    """HTML: of a frame that has not been measured yet; as high as `numbers_table`."""
    later = ("", "the numbers are measured when playing stops", "opacity:.6")
    return _table(shown_row(selection, frame_ids), later, *[("", "&nbsp;", "")] * 4)


def shown_row(selection: Selection, frame_ids: Sequence[int]) -> Row:
    posed = "" if selection.turns.is_learned else ", posed by hand"
    return "shown", f"frame {selection.frame} (number {frame_ids[selection.frame]} of the film){posed}", ""


def _table(*rows: Row) -> str:
    cells = "".join(
        f'<tr><td style="padding-right:.6em;white-space:nowrap;opacity:.7">{name}</td>'
        f'<td style="{style}">{text}</td></tr>'
        for name, text, style in rows
    )
    return f'<table style="font-size:.8em;line-height:1.35;margin:0 .6em .8em">{cells}</table>'


def percent(share: float) -> str:
    """Two digits that count; 0 below a millionth."""
    if share < 1e-6:
        return "0 %"
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.1f} %"
