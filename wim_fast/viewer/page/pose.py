"""The panel of poses: one part at a time is turned by a slider or a gizmo, the root is moved too; and the pose file."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import viser
from scipy.spatial.transform import Rotation

from wim_fast.model.motion import joints_of
from wim_fast.posing.pose_file import write_pose_file
from wim_fast.posing.rigid import quaternion
from wim_fast.viewer.inspect.posing import Articulation, Turns, Vector, free_turn, gizmo_rotation, pose_file
from wim_fast.viewer.page.drawable import Drawable, set_value, show
from wim_fast.viewer.page.panel import Host

NO_PART = "none"
LARGEST = 180  # degrees
FARTHEST = 2.0  # world units that the root can be moved along an axis
NOWHERE = (0.0, 0.0, 0.0)


class PosePanel:
    """Turns parts away from the frame's learned pose."""

    def __init__(self, page: Host) -> None:
        self.page = page
        self.angles: dict[int, float] = {}
        self.free: dict[int, Vector] = {}
        self._gizmo_part: int | None = None
        self._is_dragged = False
        gui, parts = page.server.gui, page.snapshot.num_parts
        gui.add_markdown(
            "Click on an ellipsoid, or choose a part here; then turn it. Everything shown follows; the film, of course,"
            " does not."
        )
        self.part = gui.add_dropdown(
            "part", [NO_PART, *(f"part {p}" for p in range(parts))], hint="It stands out, and gets a gizmo."
        )
        self.joint = gui.add_markdown("")
        self.angle = gui.add_slider(
            "degrees about its axis",
            -LARGEST,
            LARGEST,
            1,
            0,
            disabled=True,
            hint="The gizmo turns it freely.",
        )
        self.shift = gui.add_vector3(
            "root moved by",
            NOWHERE,
            min=(-FARTHEST,) * 3,
            max=(FARTHEST,) * 3,
            step=0.01,
            hint="And the whole object with it, world units. The root's gizmo has arrows for it.",
        )
        self.reset = gui.add_button("back to the learned pose", hint="Nothing turned, nothing moved.")
        self.name = gui.add_text("file name", "pose.yaml", hint="In the folder of the run.")
        self.save = gui.add_button(
            "save the pose",
            hint="Writes the file, for wim-fast render-novel-pose RUN --pose FILE, and offers it to you.",
        )
        self.saved = gui.add_markdown("")
        self.speed = gui.add_slider(
            "frames per second while playing", 1, 30, 1, 10, hint="At most; each frame has to be computed."
        )
        page.listen(self.speed, self.shift)
        self.part.on_update(lambda _: self._chose())
        self.angle.on_update(lambda _: self._turned_by_slider())
        self.reset.on_click(lambda _: self.back())
        self.save.on_click(self._save)

    @property
    def chosen(self) -> int | None:
        """The part that slider and gizmo turn."""
        return None if self.part.value == NO_PART else self.part.options.index(self.part.value) - 1

    @property
    def turns(self) -> Turns:
        x, y, z = self.shift.value
        return Turns(dict(self.angles), dict(self.free), (x, y, z))

    @property
    def frames_per_second(self) -> float:
        return float(self.speed.value)

    def choose(self, part: int) -> None:
        """As if it had been chosen from the list."""
        set_value(self.part, f"part {part}")
        self._chose()

    def turn(self, part: int, degrees: float) -> None:
        """As if a part had been chosen and the slider moved."""
        self.choose(part)
        set_value(self.angle, degrees)
        self._turned_by_slider()

    def back(self) -> None:
        """To the learned pose."""
        self.angles, self.free = {}, {}
        set_value(self.angle, 0)
        set_value(self.shift, NOWHERE)
        self.page.touch()

    def _chose(self) -> None:
        self.angle.disabled = self.chosen is None
        set_value(self.angle, self.angles.get(-1 if self.chosen is None else self.chosen, 0))
        self.page.touch()

    def _turned_by_slider(self) -> None:
        if self.chosen is not None:
            self.angles[self.chosen] = float(self.angle.value)
            self.page.touch()

    def drawables(self) -> list[Drawable]:
        page = self.page
        return [
            Drawable("joint", lambda: (int(page.frame.value), self.chosen), self.draw_joint),
            Drawable("chosen part", lambda: (page.selection.pose_key, self.chosen), self.draw_name),
            Drawable(
                "gizmo", lambda: (page.selection.pose_key, self.chosen, self._is_dragged), self.draw_gizmo
            ),
        ]

    def draw_joint(self) -> None:
        """What the slider turns, and how far it was seen to turn."""
        part, inspection = self.chosen, self.page.inspection
        about = "" if part is None else about_joint(inspection.articulation(int(self.page.frame.value)), part)
        self.joint.content = about

    def draw_name(self) -> None:
        """At the chosen part's centre."""
        server, part = self.page.server, self.chosen
        if part is None:
            server.scene.remove_by_name("/chosen")
            return
        place = self.page.inspection.pose(self.page.selection).translation[0, part]
        look: dict[str, Any] = {"anchor": "bottom-center", "position": place}
        show(server, "/chosen", server.scene.add_label, text=f"part {part}", **look)

    def draw_gizmo(self) -> None:
        """Rings at the joint to the parent, and arrows at the root. What a hand holds is left where the hand has it."""
        scene, page, part = self.page.server.scene, self.page, self.chosen
        if part is None:
            scene.remove_by_name("/gizmo")
            self._gizmo_part = None
            return
        if self._is_dragged and self._gizmo_part == part:
            return
        wxyz, position = self._gizmo_pose(part)
        if self._gizmo_part == part and (gizmo := scene.get_handle_by_name("/gizmo")) is not None:
            with page.server.atomic():
                gizmo.wxyz, gizmo.position = wxyz, position
            return
        self._gizmo_part, self._is_dragged = part, False
        is_root = page.inspection.articulation(page.selection.frame).tree.root == part
        gizmo = scene.add_transform_controls(
            "/gizmo",
            0.25,
            disable_axes=not is_root,
            disable_sliders=not is_root,
            depth_test=False,
            wxyz=wxyz,
            position=position,
        )
        gizmo.on_update(lambda event: self._dragged(part, event))

    def _gizmo_pose(self, part: int) -> tuple[np.ndarray, np.ndarray]:
        """Quaternion wxyz and world position of the gizmo at a part."""
        page, frame = self.page, self.page.selection.frame
        joints, pose = page.inspection.articulation(frame), page.inspection.pose(page.selection)
        edge = int(joints.tree.parent_edge[part])
        position = pose.translation[0, part] if edge < 0 else joints_of(page.snapshot.model, pose)[0, edge]
        return quaternion(gizmo_rotation(page.snapshot, frame, self.turns, joints, part)), position

    def _dragged(self, part: int, event: viser.TransformControlsEvent) -> None:
        self._is_dragged = event.phase != "end"
        self.turned(part, np.asarray(event.target.wxyz), np.asarray(event.target.position))

    def turned(self, part: int, wxyz: np.ndarray, position: np.ndarray) -> None:
        """The gizmo at a part has this orientation and, if it is the root's, this position."""
        frame, snapshot = self.page.selection.frame, self.page.snapshot
        joints = self.page.inspection.articulation(frame)
        gizmo = Rotation.from_quat(np.roll(wxyz, -1)).as_matrix()
        self.free[part] = free_turn(snapshot, frame, self.turns, joints, part, gizmo)
        if part == joints.tree.root:
            moved = np.clip(position - snapshot.motion.translation[frame, part], -FARTHEST, FARTHEST)
            set_value(self.shift, tuple(np.round(moved, 4).tolist()))
        self.page.touch()

    def write(self) -> str:
        """Write the pose file into the run's folder; returns what to tell (Markdown)."""
        turns, frame, run = self.turns, self.page.selection.frame, self.page.film.run
        if not re.fullmatch(r"[\w][\w. -]*\.ya?ml", self.name.value):
            return "**Not saved:** the file name must be plain and end in .yaml."
        if turns.is_learned:
            return "**Not saved:** nothing is turned; move a slider first."
        path, joints = run.path / self.name.value, self.page.inspection.articulation(frame)
        try:
            write_pose_file(path, pose_file(frame, turns, joints, run.coordinate_scale))
        except OSError as error:
            return f"**Not saved:** {path}: {error.strerror or error}."
        return f"Saved. Render it with\n\n`wim-fast render-novel-pose {run.path} --pose {path}`"

    def _save(self, event: viser.GuiEvent) -> None:
        self.saved.content = self.write()
        path = self.page.film.run.path / self.name.value
        if self.saved.content.startswith("Saved") and event.client is not None:
            event.client.send_file_download(path.name, path.read_bytes())


def about_joint(joints: Articulation, part: int) -> str:
    """What turns with a part, about what, and how far it was seen to (Markdown)."""
    if part not in joints.motions:
        return f"Part {part} is the root: it turns about its centre, and takes the whole object with it."
    motion, parent, edge = joints.motions[part], joints.tree.parent[part], joints.tree.parent_edge[part]
    x, y, z = motion.axis
    return (
        f"Part {part} hangs on part {parent} by joint {edge}. Axis ({x:.2f}, {y:.2f}, {z:.2f}) in the world; seen from"
        f" {motion.least:+.0f} to {motion.greatest:+.0f} degrees."
    )
