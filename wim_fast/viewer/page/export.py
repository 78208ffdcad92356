"""The panel of exports: the run written for other programs."""

from __future__ import annotations

from dataclasses import dataclass

import viser

from wim_fast.errors import UserError
from wim_fast.viewer.download import formats_of, written
from wim_fast.viewer.page.drawable import Drawable
from wim_fast.viewer.page.panel import Host


@dataclass(frozen=True)
class Wish:
    """A click on the button; each is another."""

    number: int
    format: str
    overwrite: bool
    client: viser.ClientHandle | None


class ExportPanel:
    """Chooses a format; writes it on the page's own thread, where all that computes does."""

    def __init__(self, page: Host) -> None:
        self.page = page
        self.wish: Wish | None = None
        gui = page.server.gui
        gui.add_markdown("The mesh with its skeleton and the film's motion, for other programs.")
        self.format = gui.add_dropdown(
            "format", formats_of(page.inspection.asset), hint="As of wim-fast export --format."
        )
        self.overwrite = gui.add_checkbox("overwrite", False, hint="Also where there is such a file already.")
        self.button = gui.add_button(
            "export", hint="Writes into the folder export of the run, and offers the file to you."
        )
        self.said = gui.add_markdown("")
        self.button.on_click(lambda event: self.ask(event.client))

    def ask(self, client: viser.ClientHandle | None = None) -> None:
        """Have what is chosen written."""
        number = self.wish.number + 1 if self.wish else 0
        self.wish = Wish(number, self.format.value, self.overwrite.value, client)
        self.said.content = "Writing; making the mesh takes half a minute the first time."
        self.page.touch()

    def drawables(self) -> list[Drawable]:
        return [Drawable("export", lambda: self.wish and self.wish.number, self.write)]

    def write(self) -> None:
        """What was asked for; the page says where it is, or why not."""
        if self.wish is None:
            return
        try:
            file = written(self.page.inspection.asset, self.wish.format, self.wish.overwrite)
        except UserError as error:
            self.said.content = f"**Not written:** {error}"
            return
        self.said.content = f"{file.said[0].upper()}{file.said[1:]}."
        if self.wish.client is not None:
            self.wish.client.send_file_download(file.name, file.content)
