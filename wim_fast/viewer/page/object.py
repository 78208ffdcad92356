"""The panel of the object: ellipsoids, joints, surface and cameras in the view."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import trimesh

from wim_fast.compositing import over_uint8
from wim_fast.drawing.annotate import part_palette
from wim_fast.posing.rigid import quaternion
from wim_fast.recordings.cameras import frustum_lines, image_corners
from wim_fast.viewer import colors
from wim_fast.viewer.inspect.shape import Mesh, ellipsoids, icosphere, skeleton
from wim_fast.viewer.page.drawable import Drawable
from wim_fast.viewer.page.panel import Host

if TYPE_CHECKING:
    import viser


SPHERE = icosphere(2)


# what a click on a camera's picture does: its index among the cameras, corners (4, 3), the click's ray: origin and direction
ClickedImage = Callable[[int, np.ndarray, np.ndarray, np.ndarray], None]


class ObjectPanel:
    """Choices about geometry; draws it."""

    def __init__(self, page: Host, clicked_image: ClickedImage) -> None:
        self.page, self._clicked_image = page, clicked_image
        gui = page.server.gui
        gui.add_markdown("What the model is made of, in this frame's pose.")
        self.ellipsoids = gui.add_checkbox(
            "ellipsoids", True, hint="The parts' ellipsoids, each in its part's colour."
        )
        self.opacity = gui.add_slider(
            "ellipsoid opacity", 0.1, 1.0, 0.05, 1.0, hint="Below 1 one sees into them; hide the cells then."
        )
        self.candidates = gui.add_checkbox(
            "joint candidates",
            False,
            hint="Six points of every part, at 3/4 of its semi-axes, where a joint may be.",
        )
        self.tree = gui.add_checkbox(
            "joints and tree", True, hint="Chosen joints (white) and the lines from part centres to them."
        )
        self.labels = gui.add_checkbox("part numbers", False, hint="The number of each part at its centre.")
        self.mesh = gui.add_checkbox(
            "mesh",
            False,
            hint="What wim-fast export writes, posed by its skin weights: at once, without the field. Making it takes half"
            " a minute.",
        )
        self.surface = gui.add_checkbox(
            "surface",
            False,
            hint="Where the field's sdf is 0, by marching cubes through the centres of cells.",
        )
        self.surface_color = gui.add_dropdown(
            "surface colour", ("as learned", "by part"), hint="Colours of mesh and surface."
        )
        self.surface_cells = gui.add_slider(
            "surface cells a side", 32, 128, 16, 64, hint="Resolution of the surface; higher takes longer."
        )
        self.cameras = gui.add_dropdown(
            "cameras",
            ("trained on", "all", "none"),
            hint="Frusta with the frame's images; orange cameras were not trained on. Click an image to shoot a ray.",
        )
        self.depth = gui.add_slider(
            "image distance, world units",
            0.1,
            1.5,
            0.05,
            0.2,
            hint="How far from a camera its image is held.",
        )
        page.listen(
            self.ellipsoids, self.opacity, self.candidates, self.tree, self.labels, self.mesh,
            self.surface, self.surface_color, self.surface_cells, self.cameras, self.depth,
        )  # fmt: skip

    def drawables(self) -> list[Drawable]:
        page = self.page

        def mesh() -> tuple:
            return (page.selection.pose_key, self.surface_color.value) if self.mesh.value else ()

        return [
            Drawable("mesh", mesh, self.draw_mesh),
            Drawable(
                "ellipsoids",
                lambda: (page.selection.pose_key, self.ellipsoids.value, self.opacity.value),
                self.draw_ellipsoids,
            ),
            Drawable(
                "joints",
                lambda: (page.selection.pose_key, self.candidates.value, self.tree.value, self.labels.value),
                self.draw_joints,
            ),
            Drawable(
                "cameras",
                lambda: (self.cameras.value, self.depth.value, int(page.frame.value)),
                self.draw_cameras,
            ),
        ]

    def slow_drawables(self) -> list[Drawable]:
        def key() -> tuple:
            if not self.surface.value:
                return ()
            return self.page.selection.pose_key, self.surface_color.value, self.surface_cells.value

        return [Drawable("surface", key, self.draw_surface)]

    def shown_cameras(self) -> list[int]:
        """Positions."""
        film = self.page.film
        return {"trained on": film.trained, "all": list(range(len(film.cameras))), "none": []}[
            self.cameras.value
        ]

    def draw_ellipsoids(self) -> None:
        scene = self.page.server.scene
        if not self.ellipsoids.value:
            scene.remove_by_name("/ellipsoids")
            return
        placed = ellipsoids(self.page.inspection.posed(self.page.selection))
        scene.add_batched_meshes_simple(
            "/ellipsoids",
            *SPHERE,
            batched_wxyzs=placed.wxyz,
            batched_positions=placed.position,
            batched_scales=placed.semi_axes,
            batched_colors=part_palette(len(placed.position)),
            opacity=None if self.opacity.value >= 1 else self.opacity.value,
            lod="off",
            cast_shadow=False,
            receive_shadow=False,
        )

    def draw_joints(self) -> None:
        scene, pose = self.page.server.scene, self.page.inspection.pose(self.page.selection)
        bones, palette = skeleton(self.page.snapshot, pose), part_palette(self.page.snapshot.num_parts)
        for name in ("/candidates", "/tree"):
            scene.remove_by_name(name)
        for part in range(len(palette)):
            scene.remove_by_name(f"/labels/{part}")
        if self.candidates.value:
            points = bones.candidates.reshape(-1, 3)
            scene.add_point_cloud(
                "/candidates", points, np.repeat(palette, 6, axis=0), point_size=0.008, point_shape="diamond",
                point_shading="flat",
            )  # fmt: skip
        if self.tree.value and len(bones.joints):
            color = np.repeat(bones.bone_colors[:, None], 2, axis=1)
            scene.add_line_segments("/tree", bones.bones, color, thickness=0.005)
            scene.add_line_segments("/tree/chosen", bones.chosen, (250, 250, 250), thickness=0.003)
            scene.add_point_cloud(
                "/tree/joints", bones.joints, (250, 250, 250), point_size=0.014, point_shape="circle"
            )
            scene.add_point_cloud(
                "/tree/centers", pose.translation[0], palette, point_size=0.014, point_shape="circle"
            )
        if self.labels.value:
            for part, center in enumerate(pose.translation[0]):
                scene.add_label(f"/labels/{part}", str(part), position=center, anchor="center-center")

    def draw_mesh(self) -> None:
        self._draw_solid(
            "/mesh", self.page.inspection.posed_mesh(self.page.selection) if self.mesh.value else None
        )

    def draw_surface(self) -> None:
        selection, cells = self.page.selection, int(self.surface_cells.value)
        self._draw_solid(
            "/surface", self.page.inspection.mesh(selection, cells) if self.surface.value else None
        )

    def _draw_solid(self, name: str, mesh: Mesh | None) -> None:
        """Triangles with colours at their corners; gone if there are none."""
        scene = self.page.server.scene
        if mesh is None or not len(mesh.faces):
            scene.remove_by_name(name)
            return
        by_part = self.surface_color.value == "by part"
        color = colors.part_colors(mesh.part, self.page.snapshot.num_parts) if by_part else mesh.rgb
        solid = trimesh.Trimesh(mesh.vertices, mesh.faces, vertex_colors=color, process=False)
        scene.add_mesh_trimesh(name, solid, cast_shadow=False, receive_shadow=False)

    def draw_cameras(self) -> None:
        page, scene = self.page, self.page.server.scene
        scene.remove_by_name("/cameras")
        shown, cameras, depth = self.shown_cameras(), page.film.cameras, float(self.depth.value)
        if not shown:
            return
        images = page.film.images(int(page.frame.value))
        trained = set(page.film.trained)
        for index in shown:
            color = (60, 60, 60) if index in trained else (240, 140, 0)
            name = f"/cameras/{cameras.ids[index]}"
            scene.add_line_segments(name, frustum_lines(cameras, index, depth), color, thickness=0.004)
            corners = image_corners(cameras, index, depth)
            handle = scene.add_image(
                f"{name}/image",
                over_uint8(images[index], page.film.background),
                float(np.linalg.norm(corners[1] - corners[0])),
                float(np.linalg.norm(corners[3] - corners[0])),
                wxyz=quaternion(cameras.T_camera_world[index, :3, :3].T),
                position=corners.mean(0),
                cast_shadow=False,
                receive_shadow=False,
            )
            handle.on_click(self._clicked(index, corners))
            scene.add_label(
                f"{name}/label", f"camera {cameras.ids[index]}", position=corners[0], font_screen_scale=0.7
            )

    def _clicked(self, index: int, corners: np.ndarray) -> Callable[[Any], None]:
        def shoot(event: viser.SceneNodePointerEvent) -> None:
            self._clicked_image(index, corners, np.array(event.ray_origin), np.array(event.ray_direction))

        return shoot
