"""What both pages offer to take away: a run's model in a format that another program reads."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wim_fast.errors import UserError
from wim_fast.export.asset import Asset
from wim_fast.export.export import default_file, write_asset
from wim_fast.export.formats import FORMATS


@dataclass(frozen=True)
class Download:
    """A file for a browser to save.

    Attributes:
        name, content: of the file; where a format has several files, of a .zip of them.
        said: what was written where, for a person.
    """

    name: str
    content: bytes
    said: str


def formats_of(asset: Asset) -> list[str]:
    """Those that can hold the asset: with its texture, if it has one."""
    return [name for name, format in FORMATS.items() if asset.settings.texture is None or format.texture]


def written(asset: Asset, format: str, overwrite: bool) -> Download:
    """Writes RUN/export/NAME.* as `wim-fast export` does. UserError as of `export.write_asset`."""
    file = default_file(asset, format)
    if file.exists() and not overwrite:
        raise UserError(file, "is there already", "tick overwrite, or move it away")
    files = write_asset(asset, format, force=True)
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    said = f"wrote {files[0]}{more}"
    if len(files) == 1:
        return Download(file.name, file.read_bytes(), said)
    return Download(f"{file.stem}_{format}.zip", zipped(files, file.parent), said)


def zipped(files: Sequence[Path], folder: Path) -> bytes:
    """A .zip of files in and under a folder."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.relative_to(folder))
    return content.getvalue()
