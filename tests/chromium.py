"""Headless Chromium, driven through its DevTools protocol with the websockets that viser brings."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def executable() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Tab:
    """One page."""

    def __init__(self, connection: Any) -> None:
        self.connection, self.number = connection, 0
        self.patience = 60.0  # seconds for an answer

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self.number += 1
        self.connection.send(json.dumps({"id": self.number, "method": method, "params": params}))
        while True:
            answer = json.loads(self.connection.recv(timeout=self.patience))
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]

    def evaluate(self, expression: str) -> Any:
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while not self.evaluate(expression):
            assert time.monotonic() < end, expression
            time.sleep(0.1)

    def click(self, x: float, y: float) -> None:
        where = {"x": x, "y": y, "button": "left", "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, **where)

    def drag(self, start: Sequence[float], end: Sequence[float]) -> None:
        """With the left button, in steps, each of which the page has time to see."""
        (x, y), (dx, dy) = start, (end[0] - start[0], end[1] - start[1])
        left: dict[str, Any] = {"button": "left", "buttons": 1}
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        time.sleep(0.2)
        self.call("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, clickCount=1, **left)
        for share in (0.25, 0.5, 0.75, 1.0):
            time.sleep(0.1)
            where = {"x": x + share * dx, "y": y + share * dy}
            self.call("Input.dispatchMouseEvent", type="mouseMoved", **where, **left)
        where = {"x": end[0], "y": end[1]}
        self.call("Input.dispatchMouseEvent", type="mouseReleased", **where, button="left", clickCount=1)

    def click_text(self, text: str) -> None:
        """The innermost element that says exactly this."""
        find = f"[...document.querySelectorAll('*')].filter(e => e.textContent.trim() === {json.dumps(text)}).pop()"
        box = self.evaluate(
            f"(() => {{const r = {find}.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]}})()"
        )
        self.click(*box)

    def screenshot(self, path: Path) -> Path:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
        return path


@contextmanager
def chromium(url: str, profile: Path, width: int = 1366, height: int = 768) -> Iterator[Tab]:
    """A tab that shows `url`."""
    from websockets.sync.client import connect

    program = executable()
    assert program is not None
    flags = [
        "--headless=new", "--no-sandbox", "--remote-debugging-port=0", f"--user-data-dir={profile}", "--mute-audio",
        "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-dev-shm-usage", "--no-first-run",
        "--disable-extensions", f"--window-size={width},{height}",
    ]  # fmt: skip
    process = subprocess.Popen(
        [program, *flags, "about:blank"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stderr is not None
        port = next(m[1] for line in process.stderr if (m := re.search(r"ws://127.0.0.1:(\d+)/", line)))
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
            tabs = json.load(answer)
        address = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
        with connect(address, max_size=None) as connection:
            tab = Tab(connection)
            tab.call("Page.enable")
            tab.call(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=height,
                deviceScaleFactor=1,
                mobile=False,
            )
            tab.call("Page.navigate", url=url)
            yield tab
    finally:
        process.terminate()
        process.wait(20)
