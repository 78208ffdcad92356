"""The panel of poses: a slider for each joint, a gizmo for one of them, and the pose file."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import viser
from scipy.spatial.transform import Rotation

from wim_fast.model.motion import joints_of
from wim_fast.posing.pose_file import write_pose_file
from wim_fast.posing.rigid import quaternion
from wim_fast.viewer.inspect.posing import Turns, Vector, free_turn, gizmo_rotation, pose_file
from wim_fast.viewer.page.drawable import Drawable, set_value
from wim_fast.viewer.page.panel import Host

NO_PART = "none"
LARGEST = 180  # degrees


class PosePanel:
    """Turns parts away from the frame's learned pose."""

    def __init__(self, page: Host) -> None:
        self.page = page
        self.free: dict[int, Vector] = {}
        self.sliders: list[viser.GuiSliderHandle[float]] = []
        self._gizmo_part = -1
        self.turning = -1  # the part whose slider was used last
        gui, parts = page.server.gui, page.snapshot.num_parts
        gui.add_markdown(
            "Turn parts about their joints; everything shown follows. The film, of course, does not."
        )
        self.reset = gui.add_button("back to the learned pose", hint="All angles to 0.")
        self.name = gui.add_text("file name", "pose.yaml", hint="In the folder of the run.")
        self.save = gui.add_button(
            "save the pose",
            hint="Writes the file, for wim-fast render-novel-pose RUN --pose FILE, and offers it to you.",
        )
        self.saved = gui.add_markdown("")
        self.speed = gui.add_slider(
            "frames per second while playing", 1, 30, 1, 8, hint="At most; each frame has to be computed."
        )
        self.part = gui.add_dropdown(
            "gizmo at part",
            [NO_PART, *(str(p) for p in range(parts))],
            hint="Rings in the view that turn the part freely about its joint.",
        )
        with gui.add_folder("degrees about each joint's main axis"):
            for part in range(parts):
                self.sliders.append(gui.add_slider(f"part {part}", -LARGEST, LARGEST, 1, 0))
        page.listen(self.speed, self.part)
        for part, slider in enumerate(self.sliders):
            slider.on_update(self._turns(part))
        self.reset.on_click(lambda _: self.back())
        self.save.on_click(self._save)

    @property
    def turns(self) -> Turns:
        return Turns({p: float(s.value) for p, s in enumerate(self.sliders) if s.value}, dict(self.free))

    @property
    def frames_per_second(self) -> float:
        return float(self.speed.value)

    def back(self) -> None:
        """To the learned pose."""
        self.free = {}
        for slider in self.sliders:
            set_value(slider, 0)
        self.page.touch()

    def drawables(self) -> list[Drawable]:
        page = self.page
        return [
            Drawable("joint list", lambda: int(page.frame.value), self.draw_labels),
            Drawable("turned part", lambda: (page.selection.pose_key, self.turning), self.draw_turning),
            Drawable("gizmo", lambda: (page.selection.pose_key, self.part.value), self.draw_gizmo),
        ]

    def draw_labels(self) -> None:
        """What each slider turns, and how far it was seen to turn."""
        joints = self.page.inspection.articulation(int(self.page.frame.value))
        for part, slider in enumerate(self.sliders):
            if part in joints.motions:
                motion, parent = joints.motions[part], joints.tree.parent[part]
                x, y, z = motion.axis
                slider.label = f"part {part} on {parent}"
                slider.hint = (
                    f"Turns part {part} and all that hangs from it about joint {joints.tree.parent_edge[part]}, axis"
                    f" ({x:.2f}, {y:.2f}, {z:.2f}) in the world; seen from {motion.least:+.0f} to {motion.greatest:+.0f} degrees."
                )
            else:
                slider.label = f"part {part}, the root"
                slider.hint = "Turns the whole object about the root's centre, about the world's z."

    def draw_turning(self) -> None:
        """The name of the part whose slider was used last, at its centre, as long as that is not back at 0."""
        scene, part = self.page.server.scene, self.turning
        if part < 0 or not self.sliders[part].value:
            scene.remove_by_name("/turning")
            return
        place = self.page.inspection.pose(self.page.selection).translation[0, part]
        scene.add_label("/turning", self.sliders[part].label, position=place, anchor="center-center")

    def draw_gizmo(self) -> None:
        scene, page = self.page.server.scene, self.page
        if self.part.value == NO_PART:
            scene.remove_by_name("/gizmo")
            return
        part, frame = int(self.part.value), page.selection.frame
        joints, pose = page.inspection.articulation(frame), page.inspection.pose(page.selection)
        orientation = gizmo_rotation(page.snapshot, frame, self.turns, joints, part)
        edge = int(joints.tree.parent_edge[part])
        position = pose.translation[0, part] if edge < 0 else joints_of(page.snapshot.model, pose)[0, edge]
        wxyz = quaternion(orientation)
        gizmo = scene.get_handle_by_name("/gizmo")
        if isinstance(gizmo, viser.TransformControlsHandle) and self._gizmo_part == part:
            if abs(float(np.dot(gizmo.wxyz, wxyz))) < 1 - 1e-9:
                gizmo.wxyz = wxyz
            gizmo.position = position
            return
        self._gizmo_part = part
        gizmo = scene.add_transform_controls(
            "/gizmo",
            0.25,
            disable_axes=True,
            disable_sliders=True,
            depth_test=False,
            wxyz=wxyz,
            position=position,
        )
        gizmo.on_update(lambda event: self.turned(part, np.asarray(event.target.wxyz)))

    def _turns(self, part: int) -> Callable[[Any], None]:
        def used(_: Any) -> None:
            self.turning = part
            self.page.touch()

        return used

    def turned(self, part: int, wxyz: np.ndarray) -> None:
        """The gizmo at a part has this orientation."""
        frame = self.page.selection.frame
        joints = self.page.inspection.articulation(frame)
        gizmo = Rotation.from_quat(np.roll(wxyz, -1)).as_matrix()
        self.free[part] = free_turn(self.page.snapshot, frame, self.turns, joints, part, gizmo)
        self.page.touch()

    def write(self) -> str:
        """Write the pose file into the run's folder; returns what to tell (Markdown)."""
        turns, frame, run = self.turns, self.page.selection.frame, self.page.film.run
        if not re.fullmatch(r"[\w][\w. -]*\.ya?ml", self.name.value):
            return "**Not saved:** the file name must be plain and end in .yaml."
        if turns.is_learned:
            return "**Not saved:** nothing is turned; move a slider first."
        path = run.path / self.name.value
        try:
            write_pose_file(path, pose_file(frame, turns, self.page.inspection.articulation(frame)))
        except OSError as error:
            return f"**Not saved:** {path}: {error.strerror or error}."
        return f"Saved. Render it with\n\n`wim-fast render-novel-pose {run.path} --pose {path}`"

    def _save(self, event: viser.GuiEvent) -> None:
        self.saved.content = self.write()
        path = self.page.film.run.path / self.name.value
        if self.saved.content.startswith("Saved") and event.client is not None:
            event.client.send_file_download(path.name, path.read_bytes())
