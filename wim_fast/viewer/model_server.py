"""The page of `wim-fast view`: that of `wim-fast export --format html`, from a server that also writes other formats.

The browser poses and draws; the server is asked for the page once, and then for files only.
"""

from __future__ import annotations

import json
import re
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

from wim_fast.errors import UserError
from wim_fast.export.asset import Asset
from wim_fast.export.formats import FORMATS
from wim_fast.export.html import html_page
from wim_fast.viewer.download import formats_of, written


class ModelServer(ThreadingHTTPServer):
    """Serves one page. The port must be free."""

    daemon_threads = True

    def __init__(self, host: str, port: int, asset: Asset) -> None:
        self.asset, self.page = asset, html_page(asset, formats_of(asset))
        self.writing = threading.Lock()  # kernels run for one caller at a time
        super().__init__((host, port), _Answer)

    def start(self) -> threading.Thread:
        """Serve, in a thread of its own."""
        thread = threading.Thread(target=self.serve_forever, name="page", daemon=True)
        thread.start()
        return thread

    def close(self) -> None:
        """Stop what `start` has started."""
        self.shutdown()
        self.server_close()


class _Answer(BaseHTTPRequestHandler):
    server: ModelServer

    def do_GET(self) -> None:
        if self.path != "/":
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self._send(HTTPStatus.OK, self.server.page, {"Content-Type": "text/html; charset=utf-8"})

    def do_POST(self) -> None:
        """`export` with {"format": ..., "overwrite": ...}: the file; else a status that says why not.

        As JSON only: pages of other servers cannot send that without being allowed to (CORS).
        """
        wish = self._wish()
        if self.path != "/export" or wish is None:
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        try:
            with self.server.writing:
                file = written(self.server.asset, *wish)
        except UserError as error:
            self._send(HTTPStatus.CONFLICT, b"", {"X-Said": quote(str(error))})
            return
        self._send(HTTPStatus.OK, file.content, {"X-Said": quote(file.said), "X-Name": quote(file.name)})

    def _wish(self) -> tuple[str, bool] | None:
        """Format, and whether to overwrite; None for what is no such wish."""
        length = self.headers.get("Content-Length", "")
        if self.headers.get_content_type() != "application/json" or not re.fullmatch(r"[0-9]{1,3}", length):
            return None
        try:
            match json.loads(self.rfile.read(int(length))):
                case {"format": str(format), "overwrite": bool(overwrite)} if format in FORMATS:
                    return format, overwrite
        except (ValueError, RecursionError):
            pass
        return None

    def _send(self, status: HTTPStatus, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Who looks is no news."""
