"""Templates of a robot and of a run: what the tool writes is read back, and lies where its source does."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from trained_run import TinyRun

from wim_fast.baselines.template import load_template

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import make_template

URDF = """<robot name="arm">
  <link name="base"><visual><geometry><box size="0.4 0.4 0.2"/></geometry></visual></link>
  <link name="upper"><visual><origin xyz="0 0 0.5"/><geometry><box size="0.1 0.1 1"/></geometry></visual></link>
  <link name="hand"><visual><geometry><sphere radius="0.1"/></geometry></visual></link>
  <link name="finger"><visual><geometry><box size="0.05 0.05 0.2"/></geometry></visual></link>
  <joint name="shoulder" type="revolute"><parent link="base"/><child link="upper"/>
    <origin xyz="0 0 0.1"/><axis xyz="0 1 0"/><limit lower="-1" upper="1" effort="1" velocity="1"/></joint>
  <joint name="wrist" type="continuous"><parent link="upper"/><child link="hand"/>
    <origin xyz="0 0 1"/><axis xyz="1 0 0"/></joint>
  <joint name="grip" type="prismatic"><parent link="hand"/><child link="finger"/>
    <origin xyz="0 0 0.1"/><axis xyz="0 0 1"/><limit lower="0" upper="0.1" effort="1" velocity="1"/></joint>
</robot>
"""


def test_of_a_urdf(tmp_path: Path) -> None:
    """Each link is rigid; what slides goes with its parent; faces are from outside."""
    for module in ("pybullet", "yourdfpy", "trimesh"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    (tmp_path / "arm.urdf").write_text(URDF)
    file = tmp_path / "arm.npz"
    make_template.main(["--robot", str(tmp_path / "arm.urdf"), "--output", str(file), "--faces", "400"])
    body = load_template(file)
    np.testing.assert_allclose(body.joints, [[0, 0, 0], [0, 0, 0.1], [0, 0, 1.1]], atol=1e-9)
    assert body.parents.tolist() == [-1, 0, 1]
    assert set(np.unique(body.weights)) == {0.0, 1.0}
    heights = [body.vertices[body.weights[:, joint] == 1, 2] for joint in range(3)]
    extents = [(found.min(), found.max()) for found in heights]
    np.testing.assert_allclose(extents, [(-0.1, 0.1), (0.1, 1.1), (1.0, 1.3)], atol=0.02)
    a, b, c = (body.vertices[body.faces[:, k]] for k in range(3))
    volume = np.einsum("fi,fi->", a, np.cross(b, c)) / 6
    assert volume == pytest.approx(0.4 * 0.4 * 0.2 + 0.01 + 4 / 3 * np.pi * 1e-3 + 0.0005, rel=0.05)


def test_of_a_run(tiny_run: TinyRun, tmp_path: Path) -> None:
    pytest.importorskip("fast_simplification")
    file = tmp_path / "run.npz"
    make_template.main(["--run", str(tiny_run.path), "--output", str(file), "--faces", "600"])
    body = load_template(file)
    assert len(body.joints) == 3
    assert len(body.faces) <= 600
    assert 0.3 < np.ptp(body.vertices, axis=0).max() < 2.0


def test_what_cannot_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="there is no such run"):
        make_template.main(["--run", str(tmp_path / "none"), "--output", str(tmp_path / "t.npz")])
    with pytest.raises(SystemExit):
        make_template.main(["--dog", "--output", str(tmp_path / "t.ply")])
    assert "name an .npz file" in capsys.readouterr().err
