"""`wim-fast view`: the exported model posed in a browser, and files of it to take away."""

from __future__ import annotations

import importlib.util
import io
import json
import socket
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.parse import unquote

import numpy as np
import pytest
import trimesh
from chromium import chromium, executable

from wim_fast import load_run
from wim_fast.cli import main
from wim_fast.export.asset import Asset, Settings
from wim_fast.viewer.model_server import ModelServer

needs_browser = pytest.mark.skipif(
    executable() is None or importlib.util.find_spec("websockets") is None,
    reason="Chromium, or the package websockets to drive it, is not installed",
)


@contextmanager
def served(path, **settings) -> Iterator[tuple[ModelServer, str]]:
    """The page of a run, and its address."""
    server = ModelServer("127.0.0.1", 0, Asset(load_run(path), Settings(faces=400, **settings)))
    server.start()
    try:
        yield server, f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.close()


def post(address: str, content: bytes, kind: str = "application/json"):
    request = urllib.request.Request(f"{address}export", content, {"Content-Type": kind}, method="POST")
    return urllib.request.urlopen(request, timeout=60)


def ask(address: str, wish: dict, kind: str = "application/json"):
    return post(address, json.dumps(wish).encode(), kind)


def test_it_writes_what_it_is_asked_for(tiny_run, capsys) -> None:
    folder = tiny_run.path / "export"
    with served(tiny_run.path, texture=64) as (_, address):
        with urllib.request.urlopen(address) as answer:
            facts = answer.read().split(b'type="application/json">')[1].split(b"</script>")[0]
        assert json.loads(facts)["formats"] == ["glb", "html", "obj"]  # that hold a texture
        with ask(address, {"format": "obj", "overwrite": True}) as answer:
            assert answer.headers["X-Name"] == "run_obj.zip"
            assert unquote(answer.headers["X-Said"]) == f"wrote {folder / 'run.obj'} and 2 more"
            names = zipfile.ZipFile(io.BytesIO(answer.read())).namelist()
        assert sorted(names) == ["run.mtl", "run.obj", "run.png"]
        with pytest.raises(HTTPError) as refused:
            ask(address, {"format": "obj", "overwrite": False})
        assert "run.obj: is there already. Tick overwrite" in unquote(refused.value.headers["X-Said"])
        with pytest.raises(HTTPError) as refused:  # as a page of another server could send it
            ask(address, {"format": "obj", "overwrite": True}, "text/plain")
        assert refused.value.code == 400
        for no_wish in (
            b"{",
            b"[1]",
            b'{"format": "nothing", "overwrite": true}',
            b'{"format": "obj"}',
            b"[" * 900,
        ):
            with pytest.raises(HTTPError) as refused:
                post(address, no_wish)
            assert refused.value.code == 400
    assert capsys.readouterr().err == ""


@needs_browser
def test_in_a_browser_a_slider_poses_and_names_a_part(tiny_run, tmp_path) -> None:
    file = tiny_run.path / "export" / "run.ply"
    file.unlink(missing_ok=True)
    with served(tiny_run.path) as (server, address), chromium(address, tmp_path / "profile", 640, 480) as tab:
        tab.wait_for("window.page !== undefined")
        tab.evaluate("page.play(false)")
        before = np.array(tab.evaluate("page.vertices()"))
        part = next(iter(server.asset.rig.tips))
        tab.evaluate(f"page.sliders[{part}].slider.value = 30")
        tab.evaluate(f"page.sliders[{part}].slider.dispatchEvent(new Event('input'))")
        assert np.abs(np.array(tab.evaluate("page.vertices()")) - before).max() > 0.01
        assert tab.evaluate("document.getElementById('name').innerText") == server.asset.rig.names[part]
        assert tab.evaluate("page.coat.visible && page.coat.geometry.index.count > 0")
        tab.wait_for("document.getElementById('name').hidden && !page.coat.visible")
        tab.evaluate("document.getElementById('format').value = 'ply'")
        tab.click_text("Export")
        tab.wait_for("document.getElementById('said').innerText.startsWith('wrote')")
        assert len(trimesh.load(file).faces) == len(server.asset.surface.faces)
        tab.click_text("Export")
        tab.wait_for("document.getElementById('said').innerText.includes('is there already')")


def test_a_port_in_use(tiny_run, capsys) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert main(["view", str(tiny_run.path), "--port", str(other.getsockname()[1])]) == 2
    assert "is in use" in capsys.readouterr().err
