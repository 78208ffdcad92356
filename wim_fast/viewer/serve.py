"""The page of a finished run, until it is interrupted."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import time
from typing import TYPE_CHECKING

from wim_fast.errors import UserError
from wim_fast.runs.run import load_run
from wim_fast.viewer.inspect.subject import Film, Subject
from wim_fast.viewer.server import address_lines, check_viewer

if TYPE_CHECKING:
    from wim_fast.viewer.page.page import Page


def serve_run(args: argparse.Namespace) -> None:
    """Serves RUN until Ctrl-C. UserError if it is no run, viser is missing, or the port is taken."""
    for flag in ("frame", "camera", "pixel", "size"):
        if getattr(args, flag) is not None:
            raise UserError(f"--{flag}", "goes with --export", "leave it out; the page has a control for it")
    check_viewer(args.host, args.port)
    run = load_run(args.run, args.backend)
    page = open_page(Subject.of_run(run), Film(run), args.host, args.port, str(run.path))
    page.start()
    for line in address_lines(args.host, args.port):
        print(line, flush=True)
    print("stop with Ctrl-C", flush=True)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        print("closed", flush=True)
    finally:
        page.close()


def open_page(subject: Subject, film: Film, host: str, port: int, title: str) -> Page:
    """A `page.Page` that is being served, and is drawn once it runs. The port must be free."""
    import viser

    from wim_fast.viewer.page import page

    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # browsers that leave mid-way are no news
    with contextlib.redirect_stdout(
        io.StringIO()
    ):  # its banner names an address that need not be the person's
        server = viser.ViserServer(host=host, port=port, label="wim-fast", verbose=False)
    return page.Page(server, subject, film, title)
