"""How long the page of `wim-fast view-occupancy` lets one wait, in headless Chromium.

    python tools/viewer_latency.py RUN [--frames 3 9 15] [--pictures DIR]

Moves the frame slider and a pose slider, and says when the numbers, the ellipsoids, the cells and the surface were
there: in the browser, once it has drawn the next picture. Then plays, at 48 and at 96 cells a side, and says how
many frames per second the browser shows and how much memory the server takes. `--pictures` keeps screenshots of
every tab at three widths. Chromium draws WebGL by the processor here, which a person's browser need not.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from chromium import Tab, chromium

WIDTHS = (1360, 1000, 700)
TABS = ("Grid", "Object", "Ray", "Image", "Pose", "Export", "Help")
PATIENCE = 60.0  # seconds for anything at all
QUIET = 4.0  # seconds without news, after which nothing more is awaited
PLAYED = 12.0  # seconds
ANGLE = "degrees about its axis"  # the slider of the pose panel

WATCH = """
(() => {
  const part = (node, key) => node?.message?.props?.[key];
  const now = () => {
    const nodes = window.__viserSceneTree.getState(), text = document.body.innerText;
    const number = (text.match(/frame (\\d+) \\(number/) || [])[1];
    return {
      numbers: text.includes('measured when') ? null : [number, text.match(/samples per ray.*/)?.[0]].join(),
      ellipsoids: part(nodes['/ellipsoids'], 'batched_positions'),
      cells: part(nodes['/cells'], 'batched_positions'),
      surface: part(nodes['/surface'], 'glb_data'),
      shown: number,
    };
  };
  window.watch = {start: performance.now(), last: now(), seen: {}, played: 0};
  const look = () => {
    const news = now();
    for (const name in news) if (news[name] && news[name] !== watch.last[name]) {
      if (name === 'shown') watch.played += 1;
      (watch.seen[name] ??= []).push(performance.now() - watch.start);
      watch.last[name] = news[name];
    }
    requestAnimationFrame(look);
  };
  if (!window.looking) { window.looking = true; requestAnimationFrame(look); }
})()
"""


def box(label: str) -> str:
    """JavaScript: the number box or checkbox that has this label."""
    return (
        f"[...document.querySelectorAll('label')].find(e => e.textContent === {json.dumps(label)})"
        ".closest('div.mantine-Flex-root, div').parentElement.querySelector('input:not([type=range]):not([type=hidden])')"
    )


def enter(tab: Tab, label: str, value: float) -> None:
    """Type a number into the box of a slider."""
    tab.evaluate(
        f"(() => {{const e = {box(label)};"
        f"Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(e, '{value}');"
        "e.dispatchEvent(new Event('input', {bubbles: true}))})()"
    )


def choose_part(tab: Tab, part: int) -> None:
    """From the list of the pose panel."""
    tab.evaluate(f"{box('part')}.click()")
    time.sleep(1)
    tab.click_text(f"part {part}")
    time.sleep(5)


def after(tab: Tab, act: Any) -> dict[str, list[float]]:
    """When each thing had changed, seconds after `act`: the first and the last time, until nothing changes any more."""
    tab.evaluate(WATCH)
    act()
    end = time.monotonic() + PATIENCE
    newest, since = "", time.monotonic()
    while time.monotonic() < end and (newest == "{}" or time.monotonic() - since < QUIET):
        seen = json.dumps(tab.evaluate("watch.seen"))
        if seen != newest:
            newest, since = seen, time.monotonic()
        time.sleep(0.2)
    return {name: [times[0] / 1000, times[-1] / 1000] for name, times in json.loads(newest).items()}


def table(title: str, rows: list[dict[str, list[float]]]) -> None:
    """Medians over the rows: first and last change."""
    print(title)
    for name in ("ellipsoids", "numbers", "cells", "surface"):
        there = [row[name] for row in rows if name in row]
        if there:
            first, last = (statistics.median(times) for times in zip(*there, strict=True))
            print(f"  {name:12} first {first:6.2f} s   last {last:6.2f} s")


def memory(process: subprocess.Popen[str]) -> str:
    """Of the server: now, and the most so far."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    facts = {
        line.split(":")[0]: int(line.split()[1]) / 1024
        for line in lines
        if line.startswith(("VmRSS", "VmHWM"))
    }
    return f"{facts['VmRSS']:.0f} MB now, {facts['VmHWM']:.0f} MB at most"


def play(tab: Tab, process: subprocess.Popen[str], cells: int) -> None:
    """Play for a while: the first round computes, the later ones may remember."""
    enter(tab, "cells a side", cells)
    time.sleep(3)
    tab.evaluate(f"{box('play')}.click()")
    for part in ("first", "second", "third"):
        tab.evaluate(WATCH)
        time.sleep(PLAYED)
        shown = tab.evaluate("watch.played") / PLAYED
        print(
            f"  {part} {PLAYED:.0f} s at {cells} cells a side: {shown:.1f} frames per second, {memory(process)}"
        )
    tab.evaluate(f"{box('play')}.click()")
    time.sleep(3)


@contextmanager
def served(run: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`wim-fast view-occupancy` in a process of its own, and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "wim_fast", "view-occupancy", run, "--port", str(port)]
    process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        next(line for line in process.stdout if "stop with" in line)
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def pictures(address: str, folder: Path, profile: Path) -> None:
    """Every tab at every width."""
    folder.mkdir(parents=True, exist_ok=True)
    for width in WIDTHS:
        with chromium(address, profile, width, 768) as tab:
            tab.wait_for("document.body.innerText.includes('missed mass')", PATIENCE)
            time.sleep(6)
            for name in TABS:
                tab.click_text(name)
                time.sleep(1.5)
                tab.screenshot(folder / f"{width}_{name.lower()}.png")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("--frames", type=int, nargs="+", default=[3, 9, 15])
    parser.add_argument("--part", type=int, default=3, help="that is turned (default: 3)")
    parser.add_argument("--pictures", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as profile, served(arguments.run) as (process, address):
        if arguments.pictures:
            pictures(address, arguments.pictures, Path(profile))
        with chromium(address, Path(profile), 1360, 768) as tab:
            tab.wait_for(
                "document.body.innerText.includes('missed mass') && window.__viserSceneTree", PATIENCE
            )
            time.sleep(10)
            table("frame slider", [after(tab, lambda f=f: enter(tab, "frame", f)) for f in arguments.frames])
            tab.click_text("Object")
            time.sleep(1)
            tab.evaluate(f"{box('surface')}.click()")
            time.sleep(10)
            table(
                "frame slider, with the surface",
                [after(tab, lambda f=f: enter(tab, "frame", f + 1)) for f in arguments.frames],
            )
            tab.evaluate(f"{box('surface')}.click()")
            tab.click_text("Pose")
            time.sleep(1)
            choose_part(tab, arguments.part)
            table("pose slider", [after(tab, lambda a=a: enter(tab, ANGLE, a)) for a in (10, 25, 40)])
            enter(tab, ANGLE, 0)
            tab.click_text("Grid")
            time.sleep(1)
            print("playing")
            for cells in (48, 96):
                play(tab, process, cells)


if __name__ == "__main__":
    main()
