"""Where the page is served: the address, who may look, and what can go wrong before anyone does."""

from __future__ import annotations

import errno
import importlib.util
import socket

from wim_fast.errors import UserError

HOST, PORT = "127.0.0.1", 8080
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def check_viewer(host: str, port: int) -> None:
    """UserError unless viser is installed and the address is free."""
    if importlib.util.find_spec("viser") is None:
        raise UserError("viewer", "viser is not installed", 'in the checkout: pip install -e ".[viewer]"')
    check_address(host, port)


def check_address(host: str, port: int) -> None:
    """UserError unless the address is free."""
    if not 1 <= port <= 65535:
        raise UserError(f"port {port}", "there is no such port", "give a number from 1 to 65535")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    except (OSError, UnicodeError):
        raise UserError(f"--host {host}", "there is no such host", "leave it out for 127.0.0.1") from None
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                remedy = f"close what uses it, or choose another: {port + 1 if port < 65535 else port - 1}"
                raise UserError(f"port {port}", "is in use", remedy) from None
            reason = error.strerror or str(error)
            raise UserError(f"{host}:{port}", f"cannot be opened ({reason})", "choose another") from None


def address_lines(host: str, port: int) -> list[str]:
    """What to tell the person who started it."""
    if host in LOOPBACK:
        return [
            f"open http://localhost:{port} in a browser",
            f"if this is a remote machine, first run there where the browser is:"
            f" ssh -N -L {port}:localhost:{port} {socket.gethostname()}",
        ]
    return [
        f"open http://{host if host != '0.0.0.0' else socket.gethostname()}:{port} in a browser",
        "anyone who can reach this machine can look, and write into the run's folder",
    ]
