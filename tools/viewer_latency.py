"""How long the page of `wim-fast view-occupancy` lets one wait.

    python tools/viewer_latency.py RUN [--frames 5 20 35] [--pictures DIR]

Moves the frame slider and a pose slider, and says when the numbers, the ellipsoids, the cells and the surface were
there: first as the server sends them, with the processor time that it took, then in headless Chromium, once it has
drawn the next picture. Then plays, at 48 and at 96 cells a side, and says how many frames a second are sent and shown,
and how much memory the server takes. `--pictures` keeps screenshots of every tab at three widths. Chromium draws WebGL
by the processor here, which a person's browser need not.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from chromium import Tab, chromium
from page_client import Message, PageClient, draws, page_client
from ports import free_port

WIDTHS = (1360, 1000, 700)
WINDOW = 800, 768  # pixels; the picture has about half of it
TABS = ("Grid", "Object", "Ray", "Image", "Pose", "Export", "Help")
PATIENCE = 60.0  # seconds for anything at all
QUIET = 4.0  # seconds without news, after which nothing more is awaited
PLAYED = 12.0  # seconds
ANGLE = "degrees about its axis"  # the slider of the pose panel

Answers = dict[
    str, list[tuple[float, float]]
]  # thing -> seconds, and the server's processor seconds, of its changes
THINGS: dict[str, Callable[[Message], bool]] = {
    "ellipsoids": draws("/ellipsoids", "batched_positions"),
    "numbers": lambda message: "samples per ray" in str(message.get("updates")),
    "cells": draws("/cells", "batched_positions"),
    "surface": draws("/surface"),
}
PLAYED_THINGS = {**THINGS, "images": draws("/cameras/0/image")}

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


def until_quiet(seen: Callable[[], Answers]) -> Answers:
    """What is seen when nothing has been added for a while."""
    end = time.monotonic() + PATIENCE
    newest, since = 0, time.monotonic()
    while time.monotonic() < end and (not newest or time.monotonic() - since < QUIET):
        count = sum(map(len, seen().values()))
        if count != newest:
            newest, since = count, time.monotonic()
        time.sleep(0.2)
    return seen()


def in_browser(tab: Tab, act: Callable[[], None]) -> Answers:
    """When each thing had changed on the page, after `act`."""
    tab.evaluate(WATCH)
    act()
    found = until_quiet(lambda: tab.evaluate("watch.seen"))
    return {name: [(ms / 1000, math.nan) for ms in times] for name, times in found.items()}


def by_server(client: PageClient, server: Server, act: Callable[[], None]) -> Answers:
    """When the server had sent each thing, after `act`."""
    seen: Answers = {}
    start, used = time.monotonic(), server.processor()

    def hear(message: Message) -> None:
        for name, is_it in THINGS.items():
            if is_it(message):
                seen.setdefault(name, []).append((time.monotonic() - start, server.processor() - used))

    client.listeners = [hear]
    act()
    until_quiet(lambda: dict(seen))
    client.listeners = []
    return seen


def table(title: str, rows: Sequence[Answers], target: bool = True) -> None:
    """Medians over the rows: when each thing was there first and last, and the server's processor time till then."""
    print(
        f"\n{title}\n  {'':12}{'first, s':>10}{'last, s':>10}{'processor, first':>18}{'last':>8}", flush=True
    )
    for name in THINGS:
        there = [row[name] for row in rows if name in row]
        if there:
            first, last = (np.median([answers[k] for answers in there], axis=0) for k in (0, -1))
            used = f"{first[1]:18.2f}{last[1]:8.2f}" if np.isfinite(first[1]) else ""
            print(f"  {name:12}{first[0]:10.2f}{last[0]:10.2f}{used}", flush=True)


@dataclass(frozen=True)
class Server:
    """`wim-fast view-occupancy` in a process of its own."""

    process: subprocess.Popen[str]
    port: int

    def processor(self) -> float:
        """Seconds of processor that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> str:
        """Now, and the most so far."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        now, most = (
            int(line.split()[1]) / 1000
            for name in ("VmRSS", "VmHWM")
            for line in lines
            if line.startswith(name)
        )
        return f"{now:.0f} MB now, {most:.0f} MB at most"


def play_for_client(client: PageClient, server: Server, cells: int) -> None:
    """Play for a while, without a browser: the first round computes, the later ones may remember."""
    client.set("cells a side", cells)
    time.sleep(3)
    client.set("play", True)
    for part in ("first", "second", "third"):
        counts: Counter[str] = Counter()
        client.listeners = [
            lambda m, n=counts: n.update(name for name, is_it in PLAYED_THINGS.items() if is_it(m))
        ]
        used = server.processor()
        time.sleep(PLAYED)
        share = (server.processor() - used) / PLAYED
        rates = ", ".join(f"{name} {counts[name] / PLAYED:.1f}" for name in PLAYED_THINGS if counts[name])
        print(
            f"  {part} {PLAYED:.0f} s: {rates} a second; {share:.0%} of a core; {server.memory()}", flush=True
        )
    client.listeners = []
    client.set("play", False)
    time.sleep(3)


def play_in_browser(tab: Tab, server: Server) -> None:
    """The same as the browser shows it."""
    tab.evaluate(f"{box('play')}.click()")
    for part in ("first", "second"):
        tab.evaluate(WATCH)
        time.sleep(PLAYED)
        shown = tab.evaluate("watch.played") / PLAYED
        print(f"  {part} {PLAYED:.0f} s: {shown:.1f} frames a second; {server.memory()}", flush=True)
    tab.evaluate(f"{box('play')}.click()")
    time.sleep(3)


@contextmanager
def served(run: str) -> Iterator[Server]:
    """A server that is ready."""
    port = free_port()
    command = [sys.executable, "-m", "wim_fast", "view-occupancy", run, "--port", str(port)]
    process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        next(line for line in process.stdout if "stop with" in line)
        yield Server(process, port)
    finally:
        process.terminate()
        process.wait(60)


def pictures(address: str, folder: Path, profile: Path) -> None:
    """Every tab at every width."""
    folder.mkdir(parents=True, exist_ok=True)
    for width in WIDTHS:
        with chromium(address, profile, width, 768) as tab:
            tab.patience = 10 * PATIENCE  # the page answers between two pictures
            tab.wait_for("document.body.innerText.includes('missed mass')", PATIENCE)
            time.sleep(6)
            for name in TABS:
                tab.click_text(name)
                time.sleep(1.5)
                tab.screenshot(folder / f"{width}_{name.lower()}.png")


def ask_server(server: Server, frames: Sequence[int], part: int) -> None:
    """The server alone: what is between a message of the page and the answer."""
    with page_client(server.port) as client:
        client.wait_for(THINGS["numbers"])
        time.sleep(10)

        def moved(label: str, values: Sequence[int]) -> list[Answers]:
            return [by_server(client, server, lambda v=v: client.set(label, v)) for v in values]

        table("server: frame slider", moved("frame", frames))
        client.set("surface", True)
        client.wait_for(THINGS["surface"])
        table("server: frame slider, with the surface", moved("frame", [f + 1 for f in frames]))
        client.set("part", f"part {part}")
        time.sleep(3)
        table("server: pose slider, with the surface", moved(ANGLE, (10, 25, 40)))
        client.set(ANGLE, 0)
        for cells in (48, 96):
            print(f"\nserver: playing with {cells} cells a side, and the surface", flush=True)
            play_for_client(client, server, cells)
        client.set("surface", False)
        client.set("cells a side", 48)
        client.set("part", "none")


def ask_browser(server: Server, profile: Path, frames: Sequence[int], part: int) -> None:
    """The same in Chromium, once it has drawn it."""
    with chromium(f"http://127.0.0.1:{server.port}", profile, *WINDOW) as tab:
        tab.patience = 10 * PATIENCE  # the page answers between two pictures
        tab.wait_for("document.body.innerText.includes('missed mass') && window.__viserSceneTree", PATIENCE)
        time.sleep(10)

        def moved(label: str, values: Sequence[int]) -> list[Answers]:
            return [in_browser(tab, lambda v=v: enter(tab, label, v)) for v in values]

        table("browser: frame slider", moved("frame", [f + 2 for f in frames]))
        tab.click_text("Object")
        time.sleep(1)
        tab.evaluate(f"{box('surface')}.click()")
        time.sleep(10)
        table("browser: frame slider, with the surface", moved("frame", [f + 3 for f in frames]))
        tab.click_text("Pose")
        time.sleep(1)
        choose_part(tab, part)
        table("browser: pose slider, with the surface", moved(ANGLE, (10, 25, 40)))
        enter(tab, ANGLE, 0)
        print("\nbrowser: playing with 48 cells a side, and the surface", flush=True)
        play_in_browser(tab, server)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("--frames", type=int, nargs="+", default=[5, 20, 35])
    parser.add_argument("--part", type=int, default=3, help="that is turned (default: 3)")
    parser.add_argument("--pictures", type=Path)
    arguments = parser.parse_args()
    print(f"load of the machine: {' '.join(f'{x:.1f}' for x in os.getloadavg())}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as profile, served(arguments.run) as server:
        if arguments.pictures:
            pictures(f"http://127.0.0.1:{server.port}", arguments.pictures, Path(profile))
        ask_server(server, arguments.frames, arguments.part)
        ask_browser(server, Path(profile), arguments.frames, arguments.part)
    print(f"\nload of the machine: {' '.join(f'{x:.1f}' for x in os.getloadavg())}")


if __name__ == "__main__":
    main()
