"""The page of `wim-fast view-occupancy`, driven by its handles, by clients and by a browser."""

from __future__ import annotations

import dataclasses
import importlib.util
import time
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh
from chromium import chromium, executable
from page_client import draws, page_client
from PIL import Image
from ports import free_port
from trained_run import SIZE, TRAINED_FRAMES, TinyRun

from wim_fast.cli import main
from wim_fast.drawing.annotate import part_palette
from wim_fast.posing.pose_file import read_pose_file
from wim_fast.recordings.cameras import image_corners
from wim_fast.runs.repose import pose_file_motion
from wim_fast.runs.run import load_run
from wim_fast.viewer.figures import MISSED_FLOOR
from wim_fast.viewer.inspect import inspection
from wim_fast.viewer.inspect.grid import open_sides
from wim_fast.viewer.inspect.inspection import Inspection, Selection
from wim_fast.viewer.inspect.posing import Turns
from wim_fast.viewer.inspect.rays import interval_ends
from wim_fast.viewer.inspect.snapshot import Film, Snapshot

if importlib.util.find_spec("viser") is not None:
    from wim_fast.viewer.page.grid import curve_data

needs_viser = pytest.mark.skipif(importlib.util.find_spec("viser") is None, reason="viser is not installed")


@pytest.fixture(scope="module")
def page(tiny_run: TinyRun) -> Iterator:
    if importlib.util.find_spec("viser") is None:
        pytest.skip("viser is not installed")
    from wim_fast.viewer.serve import open_page

    run = load_run(tiny_run.path, "numba")
    page = open_page(Snapshot.of_run(run), Film(run), "127.0.0.1", free_port(), "tiny")
    page.update()
    yield page
    page.close()


@pytest.fixture
def running(page):
    """The page, drawn by its own thread from now on."""
    if page._thread is None:
        page.start()
    return page


def cells(page) -> np.ndarray:
    """Centres of the cells' sides drawn (N, 3), world."""
    node = page.server.scene.get_handle_by_name("/cells")
    return np.asarray(node.batched_positions) * node.scale + node.position


def beside_sides(page) -> Iterator[np.ndarray]:
    """Points (N, 3) a third of a cell before and behind each side drawn, across it as it is turned."""
    node = page.server.scene.get_handle_by_name("/cells")
    w, x, y, z = np.asarray(node.batched_wxyzs).T
    normal = np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], axis=1)
    for way in (-1 / 3, 1 / 3):
        yield (np.asarray(node.batched_positions) + way * normal) * node.scale + node.position


def place(page) -> np.ndarray:
    """Centres of the ellipsoids drawn (P, 3), world."""
    return np.array(page.server.scene.get_handle_by_name("/ellipsoids").batched_positions)


def through_the_middle(page, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A click on the image of a camera as the page hears of it: corners (4, 3), the ray's origin and direction."""
    corners = image_corners(page.film.cameras, index, 0.2)
    eye = np.array([0.0, 0.0, 9.0])
    return corners, eye, corners.mean(0) - eye


def test_slider_changes_the_cells_drawn(page) -> None:
    before = cells(page)
    grid = page.inspection.grid(page.selection)
    assert len(before) == int(open_sides(grid).sum()) > 100
    inner, outer = (grid.contains(torch.tensor(point)) for point in beside_sides(page))
    assert inner.all()
    assert not outer.any()
    page.frame.value = TRAINED_FRAMES - 1
    page.update()
    after = cells(page)
    assert after.mean(0)[0] > before.mean(0)[0]  # the object moves along x
    page.grid.resolution.value = 16
    page.update()
    assert len(cells(page)) < len(after)
    assert f"{page.grid.settings.resolution}³" in page.numbers.content
    page.grid.as_in_training()
    page.frame.value = 0
    page.update()
    assert not page.problem.visible
    np.testing.assert_allclose(cells(page), before)


def test_playing_leaves_out_what_takes_long(page) -> None:
    kept = list(page.inspection._kept["dense"])
    page.play.value, page.frame.value = True, 4
    page.update()
    assert list(page.inspection._kept["dense"]) == kept
    assert "frame 4 (number 4" in page.numbers.content
    assert "missed mass" not in page.numbers.content
    page.play.value, page.frame.value = False, 0
    page.update()
    assert "missed mass" in page.numbers.content
    assert not page.problem.visible


def test_a_change_stops_what_is_slow_and_it_goes_on_from_there(page, monkeypatch) -> None:
    rendered, dense_render = [], inspection.dense_render

    def render(*arguments):
        rendered.append(len(page.numbers.content))
        if len(rendered) == 5:
            page.touch()
        return dense_render(*arguments)

    monkeypatch.setattr(inspection, "dense_render", render)
    page.frame.value = 7
    page.update()
    assert len(rendered) == inspection.BATCHES  # none twice
    assert "so far" not in page.numbers.content
    numbers = page.inspection.numbers(page.selection)
    page.frame.value = 0
    page.update()
    whole = Inspection(page.snapshot, page.film).numbers(Selection(7))
    assert whole == numbers
    assert not page.problem.visible


@needs_viser
def test_the_curve_marks_what_an_older_step_had() -> None:
    frames, fresh, stale = curve_data({0: 1e-9, 2: 0.5}, {1: 1e-3}, 4)
    assert frames.tolist() == [0, 1, 2, 3]
    assert fresh[0] == MISSED_FLOOR
    assert fresh[2] == 50
    assert stale[1] == pytest.approx(0.1)
    assert (np.array([fresh[1], fresh[3], stale[0], stale[2]]) < MISSED_FLOOR).all()  # below the plot


def test_threshold_shows_missed_mass(page) -> None:
    scene = page.server.scene
    page.grid.threshold.value = 0.99
    page.grid.axis.value, page.grid.color.value = "y", "occupancy"
    page.update()
    numbers = page.inspection.numbers(page.selection)
    assert numbers.missed_mass > 0.01
    assert len(scene.get_handle_by_name("/missed").points) > 0
    assert scene.get_handle_by_name("/slice") is not None
    while page.grid.measure_next_frame():
        pass
    curve = page.grid.curve.data[1]
    assert len(curve) == TRAINED_FRAMES
    assert curve.min() > 0  # the axis is logarithmic
    assert curve[0] == pytest.approx(100 * numbers.missed_mass, rel=1e-3)
    page.grid.as_in_training()
    page.grid.axis.value, page.grid.color.value = "none", "part"
    page.update()
    assert scene.get_handle_by_name("/slice") is None
    assert not page.problem.visible


def test_a_pixel_draws_its_ray(page) -> None:
    """By its numbers, by a click on the image in the view, and by a click into the view."""
    cameras, ray = page.film.cameras, page.ray
    assert page.server.scene.get_handle_by_name("/ray") is None  # before one is chosen
    ray.clicked_image(1, *through_the_middle(page, 1))
    page.update()
    line = np.asarray(page.server.scene.get_handle_by_name("/ray").points)[0]
    np.testing.assert_allclose(line[0], cameras.centers[1], atol=1e-5)
    assert "opacity" in ray.text.content
    assert len(page.server.scene.get_handle_by_name("/ray/samples").batched_positions) > 3
    assert len(ray.plot.data) == 4
    assert float(np.nanmax(ray.plot.data[2])) > 0.05

    corners = image_corners(cameras, 2, 0.2)
    target = corners[0] + 0.3 * (corners[1] - corners[0]) + 0.6 * (corners[3] - corners[0])
    eye = np.array([0.0, 0.0, 9.0])
    ray.clicked_image(2, corners, eye, target - eye)
    assert (ray.index, ray.x.value, ray.y.value) == (2, int(0.3 * SIZE), int(0.6 * SIZE))
    ray.clicked_view(eye, np.array([0.0, 0.0, -2.0]))
    page.update()
    np.testing.assert_allclose(page.server.scene.get_handle_by_name("/ray").points[0][0], eye)
    ray.x.value = 3  # a pixel again
    ray._chosen(None)
    page.update()
    assert ray.free is None
    assert not page.problem.visible


def test_a_ray_shows_how_the_backend_culls(page) -> None:
    """On numba its intervals in inflated ellipsoids; the cells of the grid, which only tcnn marches through, if asked for."""
    from wim_fast.viewer.page.ray import describe

    scene, ray = page.server.scene, page.ray
    assert (ray.intervals.value, ray.cells.value) == (True, False)
    ray.clicked_image(0, *through_the_middle(page, 0))
    page.update()
    probe = ray.probe()
    assert len(probe.parts_met) > 0
    drawn = np.asarray(scene.get_handle_by_name("/ray/intervals").points)
    np.testing.assert_allclose(
        (drawn - interval_ends(probe)) @ probe.direction, 0, atol=1e-5
    )  # beside the ray
    assert scene.get_handle_by_name("/ray/cells") is None
    assert f"meets {len(probe.parts_met)} inflated ellipsoids" in ray.text.content
    assert "in inflated ellipsoids" in page.numbers.content
    ray.intervals.value, ray.cells.value = False, True
    page.update()
    assert scene.get_handle_by_name("/ray/intervals") is None
    assert scene.get_handle_by_name("/ray/cells") is not None
    ray.intervals.value, ray.cells.value = True, False
    page.update()
    tcnn = page.snapshot.backend._replace(name="tcnn", culling="grid")
    assert "inflated ellipsoids" not in describe(probe, tcnn)
    assert not page.problem.visible


def test_everything_drawn_can_be_shown_and_hidden(page) -> None:
    shown = page.object
    switches = (
        shown.candidates, shown.labels, shown.mesh, shown.surface, page.grid.show, shown.ellipsoids, shown.tree,
    )  # fmt: skip
    names = "/candidates", "/labels/0", "/mesh", "/surface", "/cells", "/ellipsoids", "/tree"
    before = [switch.value for switch in switches]
    for state in (True, False):
        for switch in switches:
            switch.value = state
        shown.cameras.value = "all" if state else "none"
        page.update()
        there = [page.server.scene.get_handle_by_name(name) is not None for name in names]
        assert there == [state] * len(names)
        assert (page.server.scene.get_handle_by_name("/cameras/5/image") is not None) == state
    for switch, state in zip(switches, before, strict=True):
        switch.value = state
    shown.cameras.value = "trained on"
    page.image.camera.value = "where I look"
    page.image.viewpoint = (0.0, -3.0, 0.5), (0.7071, -0.7071, 0.0, 0.0), 0.8, 1.5
    page.update()
    assert page.image.rendered.image.shape == (192, 288, 3)
    assert not page.image.filmed.visible
    page.image.camera.value = "camera 0"
    page.update()
    assert "PSNR" in page.image.text.content
    for picture in (page.image.rendered, page.image.filmed, page.image.difference):
        assert picture.visible
        assert picture.image.shape[1] >= 384  # it fills the panel
    assert not page.problem.visible


def test_a_click_chooses_a_part_and_its_slider_turns_it(page) -> None:
    """It stands out, has its name beside it, and all that hangs from it goes along; the root takes all with it."""
    before, palette = place(page), part_palette(page.snapshot.num_parts)
    joints = page.inspection.articulation(0)
    part = next(p for p in joints.motions if not joints.tree.children(p))
    page.object._clicked_ellipsoid(SimpleNamespace(instance_index=part))
    page.update()
    scene = page.server.scene
    color = scene.get_handle_by_name("/ellipsoids").batched_colors.astype(int)
    assert (color[part] == palette[part]).all()
    paler = np.delete(color - palette, part, axis=0)
    assert paler.min() >= 0
    assert paler.max() > 50
    assert scene.get_handle_by_name("/chosen").text == f"part {part}"
    assert scene.get_handle_by_name("/gizmo") is not None
    assert f"hangs on part {joints.tree.parent[part]}" in page.pose.joint.content
    page.pose.turn(part, 70)
    page.update()
    moved = np.linalg.norm(place(page) - before, axis=1)
    assert moved[part] > 1e-3
    assert np.delete(moved, part).max() < 1e-5
    page.pose.choose(joints.tree.root)
    assert page.pose.angle.value == 0
    page.pose.shift.value = (0.1, 0.0, -0.2)
    page.update()
    np.testing.assert_allclose((place(page) - before)[joints.tree.root], [0.1, 0, -0.2], atol=1e-5)
    page.pose.choose(part)
    assert page.pose.angle.value == 70
    page.pose.back()
    page.pose.part.value = "none"
    page.update()
    assert scene.get_handle_by_name("/chosen") is None
    assert scene.get_handle_by_name("/gizmo") is None
    np.testing.assert_allclose(place(page), before)
    assert not page.problem.visible


def test_a_pose_by_hand_is_saved_and_rendered(page, tiny_run: TinyRun, tmp_path) -> None:
    """By slider and gizmo, and the root moved; the file says the same."""
    joints, before, pose = page.inspection.articulation(0), place(page), page.pose
    root, part = joints.tree.root, next(p for p in joints.motions if not joints.tree.children(p))
    assert "nothing is turned" in pose.write()
    pose.turn(part, 70)
    page.update()
    turned = place(page)
    pose.turned(part, np.array([0.9239, 0.0, 0.0, 0.3827]), turned[part])
    page.update()
    assert np.abs(place(page) - turned).max() > 1e-3
    pose.turned(root, np.array([1.0, 0, 0, 0]), before[root] + 0.25)
    page.update()
    np.testing.assert_allclose((place(page) - before)[root], 0.25, atol=1e-4)

    pose.name.value = "../pose.yaml"
    assert "Not saved" in pose.write()
    pose.name.value = "by_hand.yaml"
    assert "render-novel-pose" in pose.write()
    file, run = tiny_run.path / "by_hand.yaml", page.film.run
    motion = pose_file_motion(run, read_pose_file(file, len(run.semi_axes)))
    np.testing.assert_allclose(motion.translation[-1], place(page), atol=1e-3)
    assert not page.problem.visible
    pose.back()
    pose.part.value = "none"
    page.update()
    arguments = ["--pose", str(file), "--size", "24", "--fps", "1", "--output", str(tmp_path)]
    assert main(["render-novel-pose", str(tiny_run.path), *arguments]) == 0
    first, last = sorted(tmp_path.glob("*.png"))[:: len(list(tmp_path.glob("*.png"))) - 1]
    assert (np.asarray(Image.open(first)) != np.asarray(Image.open(last))).any()


def test_the_mesh_follows_the_pose_and_is_exported(page, tiny_run: TinyRun) -> None:
    selection = page.selection
    joints = page.inspection.articulation(0)
    part = next(p for p in joints.motions if not joints.tree.children(p))
    before, faces = page.inspection.posed_mesh(selection)[:2]
    turned = page.inspection.posed_mesh(dataclasses.replace(selection, turns=Turns({part: 70.0})))
    moved = np.linalg.norm(turned.vertices - before, axis=1)
    assert moved[turned.part == part].max() > 0.01
    assert np.median(moved[turned.part != part]) < 1e-3
    page.export.format.value, page.export.overwrite.value = "stl", True
    page.export.ask()
    page.update()
    file = tiny_run.path / "export" / "run.stl"
    assert str(file) in page.export.said.content
    assert len(trimesh.load(file).faces) == len(faces)
    page.export.overwrite.value = False
    page.export.ask()
    page.update()
    assert "is there already" in page.export.said.content
    assert not page.problem.visible


def test_what_cannot_be_drawn_says_so_and_the_others_go_on(page, monkeypatch, capsys) -> None:
    def fail() -> None:
        raise ValueError("no such thing")

    monkeypatch.setattr(page.drawables[2], "draw", fail)
    page.frame.value = 3
    page.update()
    assert "no such thing" in page.problem.content
    assert page.drawables[-1].drawn is not None
    assert "no such thing" in capsys.readouterr().err
    page.problem.visible = False
    page.frame.value = 0
    monkeypatch.undo()
    page.update()


RINGS = """(() => {
  const gizmo = window.__viserMutable?.nodeRefFromName['/gizmo'], rings = [];
  const box = document.querySelector('canvas').getBoundingClientRect();
  gizmo?.traverse(line => {
    const points = line.visible && line.isLine2 && line.geometry.attributes.instanceStart;
    if (!points || points.count < 8) return;
    const seen = k => {
      const p = gizmo.position.clone().fromBufferAttribute(points, k).applyMatrix4(line.matrixWorld);
      p.project(window.__viserMutable.camera);
      return [box.x + (p.x + 1) / 2 * box.width, box.y + (1 - p.y) / 2 * box.height];
    };
    rings.push([seen(Math.floor(points.count / 2)), seen(points.count - 1)]);
  });
  return rings;
})()"""  # on the screen: the middle and the end of each arc


def drag_the_gizmo(page, tab) -> None:
    """By one ring after another, until the part turns: one may be seen edge on. What could be in front is hidden."""
    page.object.ellipsoids.value, page.grid.show.value, page.object.cameras.value = False, False, "none"
    page.pose.choose(0)
    page.touch()
    tab.wait_for(f"{RINGS}.length === 3")
    for ring in range(3):
        tab.drag(*tab.evaluate(RINGS)[ring])
        end = time.monotonic() + 3
        while page.pose.turns.is_learned and time.monotonic() < end:
            time.sleep(0.05)
        if not page.pose.turns.is_learned:
            break
    assert not page.pose.turns.is_learned
    assert np.abs(page.pose.free[0]).max() > 5
    tab.wait_for("document.body.innerText.includes('posed by hand')")
    page.pose.back()
    page.pose.part.value = "none"
    page.object.ellipsoids.value, page.grid.show.value, page.object.cameras.value = True, True, "trained on"


def test_two_pages_share_one_server(running) -> None:
    """Both are drawn; what is moved in one shows in both; one that drags, or leaves, does not block the other."""
    page = running
    drawn = {name: draws(name) for name in ("/ellipsoids", "/cells")}
    port = page.server.get_port()
    with page_client(port) as one:
        with page_client(port) as other:
            for client in (one, other):
                for is_drawn in drawn.values():
                    client.wait_for(is_drawn)
            start = time.monotonic()
            for frame in (2, 3, 4, 6):
                one.set("frame", frame)
            other.set("degrees about its axis", 30)  # of no part: nothing turns
            other.set("cells a side", 16)
            for client in (one, other):
                for is_drawn in drawn.values():
                    client.wait_for(is_drawn, start)
                client.wait_for(lambda m: "16³" in str(m.get("updates")) and "frame 6 " in str(m), start)
        start = time.monotonic()
        one.set("frame", 1)
        one.wait_for(draws("/ellipsoids"), start)
    assert page._thread.is_alive()
    assert not page.problem.visible
    page.grid.as_in_training()
    page.frame.value, page.pose.angle.value = 0, 0


def test_nobody_looks_and_nothing_is_done(running, monkeypatch) -> None:
    """A change that nobody sees waits for the next page, and the thread does not spin."""
    end = time.monotonic() + 20
    while running.server.get_clients() and time.monotonic() < end:
        time.sleep(0.05)
    looks: list[None] = []
    monkeypatch.setattr(running.server, "get_clients", lambda: looks.append(None))
    running.touch()
    time.sleep(0.7)
    assert 1 <= len(looks) <= 3


def test_a_drag_of_the_gizmo_as_a_page_sends_it(running) -> None:
    """While it is held it stays where the hand has it; the part turns, in all pages."""
    gizmo = {"name": "/gizmo", "owner": ""}
    quarter = {"wxyz": (0.5**0.5, 0.0, 0.0, 0.5**0.5), "position": (0.0, 0.0, 0.0)}
    with page_client(running.server.get_port()) as client:
        client.wait_for(draws("/ellipsoids"))
        client.set("part", "part 0")
        client.wait_for(draws("/gizmo"))
        start = time.monotonic()
        client.send({"type": "TransformControlsDragStartMessage", **gizmo})
        client.send({"type": "TransformControlsUpdateMessage", **gizmo, **quarter})
        client.wait_for(draws("/ellipsoids", "batched_wxyzs"), start)
        assert np.linalg.norm(running.pose.free[0]) == pytest.approx(90, abs=0.1)
        assert running.pose._is_dragged
        client.send({"type": "TransformControlsDragEndMessage", **gizmo})
        end = time.monotonic() + 20
        while running.pose._is_dragged and time.monotonic() < end:
            time.sleep(0.02)
        assert not running.pose._is_dragged
    running.pose.back()
    running.pose.part.value = "none"


@pytest.mark.skipif(executable() is None, reason="there is no Chromium")
def test_in_a_browser(running, tmp_path) -> None:
    """It loads, says its numbers, takes a click and a drag, and nothing ends when the browser leaves mid-way."""
    page = running
    with chromium(f"http://127.0.0.1:{page.server.get_port()}", tmp_path / "profile", 640, 480) as tab:
        tab.wait_for("document.body.innerText.includes('missed mass')")
        tab.wait_for("document.querySelector('canvas') !== null")
        tab.click_text("Pose")
        tab.wait_for("document.body.innerText.includes('back to the learned pose')")
        page.frame.value = 5
        page.touch()
        tab.wait_for("document.body.innerText.includes('frame 5 (number 5')", 90)
        picture = np.asarray(Image.open(tab.screenshot(tmp_path / "page.png")).convert("RGB"))
        assert picture.std() > 10
        drag_the_gizmo(page, tab)
    end = time.monotonic() + 20
    while page.server.get_clients() and time.monotonic() < end:
        time.sleep(0.05)
    assert not page.server.get_clients()
    assert page._thread.is_alive()
    page.frame.value = 0
