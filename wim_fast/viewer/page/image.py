"""The panel of pictures: rendered beside filmed, or from where one looks."""

from __future__ import annotations

import numpy as np
import viser
from scipy.spatial.transform import Rotation

from wim_fast.drawing.images import enlarge_to
from wim_fast.viewer.inspect.images import compare, free_camera, render
from wim_fast.viewer.page.drawable import Drawable, Pace
from wim_fast.viewer.page.panel import Host

VIEWPOINT = "where I look"
PICTURE_SIZE = (
    640  # pixels, longer side of each picture of a comparison: it fills the panel, and more when it is opened
)
Viewpoint = tuple[tuple[float, ...], tuple[float, ...], float, float]  # position, wxyz, fov, aspect


class ImagePanel:
    """Chooses a camera; shows what it filmed, what the model renders, and the difference."""

    def __init__(self, page: Host) -> None:
        self.page = page
        self.viewpoint: Viewpoint | None = None  # of the browser that moved last
        gui, cameras = page.server.gui, page.film.cameras
        gui.add_markdown(
            "What the model renders in this frame and pose, beside what was filmed of the frame. Point at a picture to"
            " enlarge it."
        )
        self.show = gui.add_checkbox("render", True, hint="Render a picture whenever something changes.")
        names = [
            f"camera {i}{'' if k in page.film.trained else ', not trained on'}"
            for k, i in enumerate(cameras.ids)
        ]
        self.camera = gui.add_dropdown(
            "from", [*names, VIEWPOINT], hint="A camera of the recording, or where you look in the view."
        )
        self.size = gui.add_slider(
            "picture size, pixels", 96, 512, 32, 192, hint="Height of the picture from where you look."
        )
        self.text = gui.add_markdown("")
        self.rendered, self.filmed, self.difference = (
            gui.add_image(np.zeros((8, 8, 3), np.uint8), label=label, visible=False)
            for label in ("rendered", "filmed", "difference: black where they agree")
        )
        page.listen(self.show, self.camera, self.size)

        @page.server.on_client_connect
        def follow(client: viser.ClientHandle) -> None:
            client.camera.on_update(lambda _: self._moved(client.camera))

    def drawables(self) -> list[Drawable]:
        def key() -> tuple:
            if not self.show.value:
                return ()
            where = (self.viewpoint, self.size.value) if self.camera.value == VIEWPOINT else self.camera.value
            return self.page.selection.pose_key, where

        return [Drawable("image", key, self.draw, Pace.AFTER)]

    def draw(self) -> None:
        if not self.show.value:
            self._put([], "")
        elif self.camera.value != VIEWPOINT:
            self._put(*self._comparison())
        elif self.viewpoint is not None:
            self._put(*self._from_where_one_looks(self.viewpoint))

    def _comparison(self) -> tuple[list[np.ndarray], str]:
        """Rendered, filmed and difference, and what there is to say."""
        page = self.page
        index = [str(name) for name in self.camera.options].index(self.camera.value)
        posed = page.inspection.posed(page.selection)
        result = compare(page.snapshot, posed, page.film, page.selection.frame, index)
        text = f"PSNR **{result.psnr:.1f} dB** over the whole image"
        if not page.selection.turns.is_learned:
            text += "; the pose was changed by hand, the film was not"
        return [enlarge_to(image, PICTURE_SIZE) for image in result[:3]], text

    def _from_where_one_looks(self, viewpoint: Viewpoint) -> tuple[list[np.ndarray], str]:
        page, (position, wxyz, fov, aspect) = self.page, viewpoint
        height = int(self.size.value)
        width = max(8, min(round(height * aspect), 4 * height))
        rotation = Rotation.from_quat(np.roll(wxyz, -1)).as_matrix()
        camera = free_camera(np.array(position), rotation, fov, width, height)
        posed = page.inspection.posed(page.selection)
        picture = render(page.snapshot, posed, camera, 0, page.film.background)
        return [picture], f"rendered from where you look, {width} x {height} pixels"

    def _put(self, pictures: list[np.ndarray], text: str) -> None:
        """As many pictures as there are, and the text above."""
        with self.page.server.atomic():
            self.text.content = text
            for k, handle in enumerate((self.rendered, self.filmed, self.difference)):
                handle.visible = k < len(pictures)
                if handle.visible:
                    handle.image = pictures[k]

    def _moved(self, camera: viser.CameraHandle) -> None:
        def rounded(values: np.ndarray) -> tuple[float, ...]:
            return tuple(np.round(values, 4).tolist())

        self.viewpoint = (
            rounded(camera.position),
            rounded(camera.wxyz),
            round(camera.fov, 4),
            round(camera.aspect, 3),
        )
        if self.camera.value == VIEWPOINT:
            self.page.touch()
