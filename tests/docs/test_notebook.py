"""docs/from_film_to_pose.ipynb runs from top to bottom, and shows pictures."""

from __future__ import annotations

from pathlib import Path

import nbclient
import nbformat
import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "from_film_to_pose.ipynb"


SMALLER = {
    "iterations=1000": "iterations=20", "size=384": "size=96", "size=160": "size=48", "size=64, parts": "size=32, parts",
}  # fmt: skip


@pytest.mark.slow
def test_it_runs(tmp_path: Path) -> None:
    """As a reader would, but for the length of its training and the size of pictures."""
    text = NOTEBOOK.read_text()
    for written, smaller in SMALLER.items():
        assert written in text
        text = text.replace(written, smaller)
    notebook = nbformat.reads(text, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 5
    text = "".join(output.get("text", "") for output in outputs)
    assert "novel views" in text
    assert "PSNR" in text
    assert (tmp_path / "runs" / "dog_1" / "trajectory.npz").is_file()


def test_it_is_small() -> None:
    assert NOTEBOOK.stat().st_size < 200_000
