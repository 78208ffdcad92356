"""glTF files: posed by a reader that shares no code with the writer, and accepted by Khronos' validator."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from gltf_reader import Glb

from wim_fast.export.asset import Asset, Settings
from wim_fast.export.gltf import linear, quaternions, write_glb
from wim_fast.posing.repose import rotation_matrix

VALIDATE = """
const validator = require(require.resolve("gltf-validator", {paths: [process.argv[1]]}));
const bytes = new Uint8Array(require("fs").readFileSync(process.argv[2]));
validator.validateBytes(bytes).then((report) => console.log(JSON.stringify(report.issues)));
"""


@pytest.fixture(scope="module")
def file(asset, tmp_path_factory) -> Path:
    return write_glb(asset, tmp_path_factory.mktemp("glb") / "run.glb")[0]


def test_each_frame_is_posed_as_our_own_skinning_poses_it(asset, file) -> None:
    glb, run = Glb(file), asset.run
    assert np.allclose(glb.posed(None), asset.upright_surface.vertices, atol=1e-6)
    for frame in range(len(run.motion)):
        ours = asset.upright.points(asset.posed_vertices(run.motion.at([frame])))
        assert np.abs(glb.posed(frame) - ours).max() < 1e-5
    times = glb.read(glb.json["animations"][0]["samplers"][0]["input"])
    assert np.allclose(times, np.arange(len(run.motion)) / 30)


def test_up_is_y_and_units_are_the_recordings(asset, file) -> None:
    x, y, z = asset.surface.vertices.T * asset.run.coordinate_scale
    assert np.allclose(Glb(file).attribute("POSITION"), np.stack([x, z, -y], axis=1), atol=1e-6)


def test_bones_say_what_they_are_and_ends_have_leaves(asset, file) -> None:
    glb, tree = Glb(file).json, asset.rig.tree
    names = [node["name"] for node in glb["nodes"]]
    assert names[tree.root] == f"part_{tree.root}_root"
    assert all(names[part] == f"part_{part}_on_{tree.parent[part]}" for part in tree.order[1:])
    leaves = [name for name in names if name.endswith("_tip")]
    assert len(leaves) == len(set(range(3)) - set(tree.parent.tolist()))
    assert all(node["children"] for node in glb["nodes"][: asset.rig.bones])
    assert glb["skins"][0]["skeleton"] == tree.root


def test_merged_bones_carry_the_whole_mesh(asset, tmp_path) -> None:
    merged = Asset(asset.run, Settings(faces=400, parts_found=2))
    glb = Glb(write_glb(merged, tmp_path / "merged.glb")[0])
    assert sum(node["name"].startswith("body_") for node in glb.json["nodes"]) == 2 + len(merged.rig.tips)
    assert np.allclose(glb.posed(None), merged.upright_surface.vertices, atol=1e-6)
    assert np.allclose(glb.attribute("WEIGHTS_0").sum(axis=1), 1, atol=1e-6)


def test_colours_are_linear_and_light_is_baked_only_if_asked_for(asset, file, tmp_path) -> None:
    glb = Glb(file)
    colors = glb.attribute("COLOR_0")[:, :3] / 65535
    assert np.allclose(colors, linear(asset.surface.colors), atol=1e-4)
    assert "extensionsUsed" not in glb.json
    baked = Glb(write_glb(Asset(asset.run, Settings(faces=400, baked_light=True)), tmp_path / "lit.glb")[0])
    assert baked.json["materials"][0]["extensions"] == {"KHR_materials_unlit": {}}
    assert linear(np.array([0.0, 0.5, 1.0])) == pytest.approx([0, 0.21404, 1], abs=1e-5)


def test_a_texture_has_the_fields_colours(asset, tmp_path) -> None:
    textured = Asset(asset.run, Settings(faces=400, texture=64))
    glb = Glb(write_glb(textured, tmp_path / "textured.glb")[0])
    uv, atlas = glb.attribute("TEXCOORD_0"), textured.atlas
    assert "COLOR_0" not in glb.primitive["attributes"]
    column, row = np.clip(64 * uv, 0, 63).astype(int).T
    there = atlas.image[row, column] / 255
    assert np.abs(there - textured.surface.colors[atlas.vertex]).mean() < 0.05


def test_quaternions_do_not_jump() -> None:
    turns = rotation_matrix(np.stack([np.zeros(40), np.zeros(40), np.linspace(0, 720, 40)], axis=1))
    found = quaternions(turns)
    assert (np.einsum("ti,ti->t", found[1:], found[:-1]) > 0.9).all()


def test_khronos_finds_no_fault(asset, file, tmp_path) -> None:
    """With `npm install -g gltf-validator`."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    modules = subprocess.run(["npm", "root", "-g"], capture_output=True, text=True, check=True).stdout.strip()
    if not Path(modules, "gltf-validator").is_dir():
        pytest.skip("gltf-validator is not installed (npm install -g gltf-validator)")
    textured = Asset(asset.run, Settings(faces=400, texture=64, baked_light=True))
    for path in (file, write_glb(textured, tmp_path / "textured.glb")[0]):
        command = ["node", "-e", VALIDATE, modules, str(path)]
        issues = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        assert issues["numErrors"] == issues["numWarnings"] == 0, issues["messages"]
