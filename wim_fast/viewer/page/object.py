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
from wim_fast.viewer.page.drawable import Drawable, Pace, show
from wim_fast.viewer.page.panel import Host

if TYPE_CHECKING:
    import viser


SPHERE = icosphere(2)
WHITE = np.array([250, 250, 250], np.uint8)
FADED = 0.65  # share of white in the parts that are not chosen

# what a click on a camera's picture does: its index among the cameras, corners (4, 3), the click's ray: origin and direction
ClickedImage = Callable[[int, np.ndarray, np.ndarray, np.ndarray], None]
ClickedPart = Callable[[int], None]


class ObjectPanel:
    """Choices about geometry; draws it."""

    def __init__(self, page: Host, clicked_image: ClickedImage, clicked_part: ClickedPart) -> None:
        self.page, self._clicked_image, self._clicked_part = page, clicked_image, clicked_part
        self._images: dict[int, viser.ImageHandle] = {}  # of the cameras in the view
        self._frusta: tuple[list[int], float] = [], 0.0  # those cameras, and how far their images are held
        gui = page.server.gui
        gui.add_markdown("What the model is made of, in this frame's pose.")
        self.ellipsoids = gui.add_checkbox(
            "ellipsoids", True, hint="Each in its part's colour. Click on one to turn it: see Pose."
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
            "joints and tree",
            False,
            hint="Chosen joints (white) and the lines from part centres to them; hide the ellipsoids, or lower their"
            " opacity.",
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
            hint="Where the field's sdf is 0, by marching cubes through the centres of cells. In a new pose it is carried"
            " there by the parts at once, then found anew.",
        )
        self.surface_color = gui.add_dropdown(
            "surface colour", ("as learned", "by part"), hint="Colours of mesh and surface."
        )
        self.surface_cells = gui.add_slider(
            "surface cells a side", 32, 160, 16, 128, hint="Resolution of the surface; higher takes longer."
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

        def ellipsoid() -> tuple:
            look = self.ellipsoids.value, self.opacity.value, page.chosen_part
            return page.selection.pose_key, *look

        def joints() -> tuple:
            return page.selection.pose_key, self.candidates.value, self.tree.value, self.labels.value

        return [
            Drawable("ellipsoids", ellipsoid, self.draw_ellipsoids),
            Drawable("joints", joints, self.draw_joints),
            Drawable("mesh", mesh, self.draw_mesh),
            Drawable("carried surface", self._surface_key, self.draw_carried_surface),
        ]

    def later_drawables(self) -> list[Drawable]:
        """After the numbers, which take less time."""
        page = self.page

        def cameras() -> tuple:
            return self.cameras.value, self.depth.value, int(page.frame.value)

        return [Drawable("cameras", cameras, self.draw_cameras, Pace.IN_TURN)]

    def slow_drawables(self) -> list[Drawable]:
        return [Drawable("surface", self._surface_key, self.draw_surface, Pace.AFTER)]

    def _surface_key(self) -> tuple:
        if not self.surface.value:
            return ()
        return self.page.selection.pose_key, self.surface_color.value, self.surface_cells.value

    def shown_cameras(self) -> list[int]:
        """Positions."""
        film = self.page.film
        return {"trained on": film.trained, "all": list(range(len(film.cameras))), "none": []}[
            self.cameras.value
        ]

    def draw_ellipsoids(self) -> None:
        page = self.page
        if not self.ellipsoids.value:
            page.server.scene.remove_by_name("/ellipsoids")
            return
        placed = ellipsoids(page.inspection.posed(page.selection))
        is_new = page.server.scene.get_handle_by_name("/ellipsoids") is None
        node = show(
            page.server,
            "/ellipsoids",
            lambda name, **rest: page.server.scene.add_batched_meshes_simple(name, *SPHERE, **rest),
            batched_wxyzs=placed.wxyz,
            batched_positions=placed.position,
            batched_scales=placed.semi_axes,
            batched_colors=highlighted(part_palette(len(placed.position)), page.chosen_part),
            opacity=None if self.opacity.value >= 1 else self.opacity.value,
            lod="off",
            cast_shadow=False,
            receive_shadow=False,
        )
        if is_new:
            node.on_click(self._clicked_ellipsoid)

    def _clicked_ellipsoid(self, event: viser.SceneNodePointerEvent) -> None:
        if event.instance_index is not None:
            self._clicked_part(event.instance_index)

    def draw_joints(self) -> None:
        scene, pose = self.page.server.scene, self.page.inspection.pose(self.page.selection)
        bones, palette = skeleton(self.page.snapshot, pose), part_palette(self.page.snapshot.num_parts)
        if self.candidates.value:
            points, color = bones.candidates.reshape(-1, 3), np.repeat(palette, 6, axis=0)
            self._dots("/candidates", points, color, 0.008, "diamond")
        else:
            scene.remove_by_name("/candidates")
        if self.tree.value and len(bones.joints):
            self._lines("/tree", bones.bones, np.repeat(bones.bone_colors[:, None], 2, axis=1), 0.005)
            self._lines("/tree/chosen", bones.chosen, WHITE, 0.003)
            self._dots("/tree/joints", bones.joints, WHITE, 0.014, "circle")
            self._dots("/tree/centers", pose.translation[0], palette, 0.014, "circle")
        else:
            scene.remove_by_name("/tree")
        for part, center in enumerate(pose.translation[0]):
            name = f"/labels/{part}"
            if self.labels.value:
                rest = {"text": str(part), "position": center, "anchor": "center-center"}
                show(self.page.server, name, scene.add_label, **rest)
            else:
                scene.remove_by_name(name)

    def _lines(self, name: str, points: np.ndarray, color: np.ndarray, thickness: float) -> None:
        server = self.page.server
        show(server, name, server.scene.add_line_segments, points=points, colors=color, thickness=thickness)

    def _dots(self, name: str, points: np.ndarray, color: np.ndarray, size: float, shape: str) -> None:
        server = self.page.server
        look = {"point_size": size, "point_shape": shape, "point_shading": "flat"}
        show(server, name, server.scene.add_point_cloud, points=points, colors=color, **look)

    def draw_mesh(self) -> None:
        self._draw_solid(
            "/mesh", self.page.inspection.posed_mesh(self.page.selection) if self.mesh.value else None
        )

    def draw_carried_surface(self) -> None:
        """At once: that of another pose, carried into this one by the parts. Where there is none, the next one waits."""
        if not self.surface.value:
            self._draw_solid("/surface", None)
            return
        selection, cells = self.page.selection, int(self.surface_cells.value)
        mesh = self.page.inspection.carried_surface(selection, cells)
        if mesh is not None:
            self._draw_solid("/surface", mesh)

    def draw_surface(self) -> None:
        """Exactly."""
        if self.surface.value:
            cells = int(self.surface_cells.value)
            self._draw_solid("/surface", self.page.inspection.surface(self.page.selection, cells))

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
        """The images of the frame, in frusta that stay."""
        page, depth = self.page, float(self.depth.value)
        shown = self.shown_cameras()
        images = page.film.images(int(page.frame.value)) if shown else np.zeros((0, 1, 1, 4), np.uint8)
        with page.server.atomic():
            if (shown, depth) != self._frusta:
                page.server.scene.remove_by_name("/cameras")
                self._images = {index: self._add_camera(index, depth) for index in shown}
                self._frusta = shown, depth
            for index, handle in self._images.items():
                handle.image = over_uint8(images[index], page.film.background)

    def _add_camera(self, index: int, depth: float) -> viser.ImageHandle:
        """Its frustum, number and an image to click on."""
        scene, cameras = self.page.server.scene, self.page.film.cameras
        color = (60, 60, 60) if index in self.page.film.trained else (240, 140, 0)
        name, corners = f"/cameras/{cameras.ids[index]}", image_corners(cameras, index, depth)
        scene.add_line_segments(name, frustum_lines(cameras, index, depth), color, thickness=0.004)
        scene.add_label(
            f"{name}/label", f"camera {cameras.ids[index]}", position=corners[0], font_screen_scale=0.7
        )
        handle = scene.add_image(
            f"{name}/image",
            np.zeros((1, 1, 3), np.uint8),
            float(np.linalg.norm(corners[1] - corners[0])),
            float(np.linalg.norm(corners[3] - corners[0])),
            wxyz=quaternion(cameras.T_camera_world[index, :3, :3].T),
            position=corners.mean(0),
            cast_shadow=False,
            receive_shadow=False,
        )
        handle.on_click(self._clicked(index, corners))
        return handle

    def _clicked(self, index: int, corners: np.ndarray) -> Callable[[Any], None]:
        def shoot(event: viser.SceneNodePointerEvent) -> None:
            self._clicked_image(index, corners, np.array(event.ray_origin), np.array(event.ray_direction))

        return shoot


def highlighted(palette: np.ndarray, part: int | None) -> np.ndarray:
    """Colours (P, 3) uint8 in which a part stands out: the others are paler."""
    if part is None:
        return palette
    pale = np.round(palette + FADED * (255.0 - palette)).astype(np.uint8)
    pale[part] = palette[part]
    return pale
