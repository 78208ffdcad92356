"""The pages of a finished run, until they are interrupted."""

from __future__ import annotations

import contextlib
import io
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from wim_fast.export.asset import Asset, Settings
from wim_fast.runs.kernels import with_kernels
from wim_fast.runs.run import load_run
from wim_fast.viewer.inspect.snapshot import Film, Snapshot
from wim_fast.viewer.model_server import ModelServer
from wim_fast.viewer.server import HOST, PORT, address_lines, check_address, check_viewer

if TYPE_CHECKING:
    from wim_fast.viewer.page.page import Page


def serve_run(path: str | Path, backend: str = "auto", host: str = HOST, port: int = PORT) -> None:
    """Serve the page of a run until Ctrl-C. UserError if it is not a run, viser is missing, or the port is taken."""
    check_viewer(host, port)
    run = with_kernels(load_run(path, backend))
    _serve(open_page(Snapshot.of_run(run), Film(run), host, port, str(run.path)), host, port)


def serve_model(
    path: str | Path, settings: Settings, backend: str = "auto", host: str = HOST, port: int = PORT
) -> None:
    """Serve the exported model of a run until Ctrl-C. UserError as of `export_run`, or if the port is taken."""
    check_address(host, port)
    run = with_kernels(load_run(path, backend))
    print("making the mesh ...", flush=True)
    _serve(ModelServer(host, port, Asset(run, settings)), host, port)


def _serve(page: Page | ModelServer, host: str, port: int) -> None:
    """Start a page that listens, say where it is, wait for Ctrl-C, and close it."""
    try:
        page.start()
        for line in address_lines(host, port):
            print(line, flush=True)
        print("stop with Ctrl-C", flush=True)
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        print("closing ...", flush=True)
    finally:
        page.close()
    print("closed", flush=True)


def open_page(snapshot: Snapshot, film: Film, host: str, port: int, title: str) -> Page:
    """A `page.Page` that is being served, and is drawn once it runs. The port must be free."""
    import viser

    from wim_fast.viewer.page import page

    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # browsers that leave mid-way are no news
    with contextlib.redirect_stdout(
        io.StringIO()
    ):  # its banner names an address that need not be the person's
        server = viser.ViserServer(host=host, port=port, label="wim-fast", verbose=False)
    return page.Page(server, snapshot, film, title)
