"""The page of a run in training, in a process of its own: training cannot be disturbed by who looks at it.

Every few seconds training copies the model to a file. The other process, which has the lowest priority and one thread,
shows the newest copy while a browser is there. Nothing is shared but that file, so a run is the same with and without it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from wim_fast.viewer.server import HOST, address_lines

if TYPE_CHECKING:
    from wim_fast.training.checkpoint import TrainedOn
    from wim_fast.training.learner import Learner

SECONDS = 3.0  # between copies
SHARE = 0.02  # of the time that copying may take, at most
POLL_SECONDS = 0.5


class LiveView:
    """What training does for its viewer: `observe` after every step costs nothing but now and then a copy."""

    def __init__(self, run: Path, seen: TrainedOn, port: int, say: Callable[[str], None]) -> None:
        self.run, self.seen, self.port, self.say = run, seen, port, say
        self.folder = Path(tempfile.mkdtemp(prefix="wim-fast-view-"))
        self.file = self.folder / "model.pt"
        self.is_open = False
        self.process: subprocess.Popen[bytes] | None = None
        self.next_copy = 0.0
        self.has_ended = False

    def observe(self, trainer: Learner) -> None:
        """Copy the model if it is time to."""
        start = time.monotonic()
        if start < self.next_copy or self.has_ended:
            return
        self._copy(trainer)
        if self.process is None:
            self._open()
        elif not self.is_open and opened(self.file).exists():
            self.is_open = True
            for line in address_lines(HOST, self.port):
                self.say(line)
        elif self.process.poll() is not None:
            self.has_ended = True
            self.say(f"the live view has ended (code {self.process.returncode}); training goes on")
        self.next_copy = time.monotonic() + max(SECONDS, (time.monotonic() - start) / SHARE)

    def close(self) -> None:
        if self.process is not None:
            assert self.process.stdin is not None
            self.process.stdin.close()  # it ends by itself
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _copy(self, trainer: Learner) -> None:
        learned = trainer.learned()
        facts = {name: learned[name] for name in ("model", "inv_s")}
        facts |= {"step": trainer.step, "iterations": trainer.iterations, **asdict(self.seen)}
        unfinished = self.file.with_suffix(".tmp")
        try:
            torch.save(facts, unfinished)
            os.replace(unfinished, self.file)
        except (OSError, RuntimeError) as error:  # a full disk: torch reports it in words of its own
            self.has_ended = True
            self.say(f"the live view shows nothing new from here on ({error}); training goes on")

    def _open(self) -> None:
        """Start the other process; it is no part of the terminal's group, so that Ctrl-C is training's alone."""
        command = [
            sys.executable,
            "-m",
            "wim_fast.viewer.live",
            str(self.run),
            str(self.file),
            str(self.port),
        ]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
        environment = {**os.environ, **threads, "CUDA_VISIBLE_DEVICES": ""}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment, start_new_session=True
        )


def opened(file: Path) -> Path:
    """A file beside the copy that is there once the page listens."""
    return file.with_suffix(".open")


# In the other process


def show(run_path: Path, file: Path, port: int) -> None:
    """Serve the newest copy until stdin ends, which it does when training does."""
    from wim_fast.viewer.inspect.snapshot import Film, Snapshot
    from wim_fast.viewer.serve import open_page

    if hasattr(os, "nice"):
        os.nice(19)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    run = read_copy(run_path, file)
    page = open_page(Snapshot.of_run(run), Film(run), HOST, port, f"{run_path}, in training")
    opened(file).touch()
    page.start()
    shown = file.stat().st_mtime_ns
    while True:
        time.sleep(POLL_SECONDS)
        newest = file.stat().st_mtime_ns
        if newest != shown and page.server.get_clients():
            shown = newest
            page.replace(read_copy(run_path, file))


def read_copy(run_path: Path, file: Path) -> Any:
    """A `Run` on the CPU, from what `LiveView` wrote."""
    from wim_fast.model.articulated_model import ArticulatedModel
    from wim_fast.ops.backend import select_backend
    from wim_fast.runs.run import Run
    from wim_fast.training.run_folder import RunFolder

    content = torch.load(file, map_location="cpu", weights_only=True)
    config = RunFolder(run_path).read_config()
    model = ArticulatedModel(config.model, len(content["frame_ids"]))
    model.load_state_dict(content.pop("model"))
    model.requires_grad_(False).eval()
    return Run(path=run_path, config=config, model=model, backend=select_backend("numba"), **content)


def _end_with_stdin() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    show(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
