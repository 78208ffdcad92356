"""A run written for other programs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from wim_fast.errors import UserError
from wim_fast.export.asset import DENSITY, FPS, Asset, Settings, Usual
from wim_fast.export.compare import Loss, measure_loss
from wim_fast.export.formats import FORMATS
from wim_fast.files import check_free, output_folder, write_atomic
from wim_fast.posing.skeleton import PartsFound
from wim_fast.runs.render import Progress
from wim_fast.runs.trained_model import TrainedModel


@dataclass(frozen=True)
class Exported:
    """What was written, and of what.

    Attributes:
        files: the named one first; of a sequence one for each frame.
        loss: the mesh beside the field, if it was asked for; also in a JSON file.
    """

    files: list[Path]
    asset: Asset
    loss: Loss | None = None


def export_run(
    run: TrainedModel,
    format: str,
    output: str | Path | None = None,
    *,
    frame: int | None = None,
    faces: int | None = None,
    texture: int | None = None,
    baked_light: bool = False,
    parts_found: PartsFound | Usual = "usual",
    fps: float = FPS,
    sequence: bool = False,
    density: float = DENSITY,
    collision: str = "hull",
    compare: bool = False,
    force: bool = False,
    on_progress: Progress | None = None,
) -> Exported:
    """Writes a run for other programs. What goes beside the file bears its name.

    Args:
        format: a key of `FORMATS`.
        output: the file; None: RUN/export/<name of the run>. The format's suffix is added where there is none.
        frame, texture, baked_light, parts_found, fps, sequence, density, collision: see `asset.Settings`.
        faces: of the mesh, at most; None: 50 000, with a texture 20 000.
        compare: also measure what posing the mesh loses against rendering the field.
        force: overwrite what is there.

    Raises:
        UserError: for a format that is not there or lacks its package, for what it cannot hold, for files that
            exist, and for a run without a surface.
    """
    settings = Settings(frame, faces, texture, baked_light, parts_found, fps, sequence, density, collision)
    asset = Asset(run, settings)
    files = write_asset(asset, format, output, force=force)
    if not compare:
        return Exported(files, asset)
    loss = measure_loss(asset, on_progress)
    written = files[0].parent if sequence else files[0].with_suffix("")
    report = written.with_name(f"{written.name}_compare.json")
    with output_folder(report.parent):
        write_atomic(report, (json.dumps(loss.to_dict(), indent=1) + "\n").encode())
    return Exported([*files, report], asset, loss)


def write_asset(
    asset: Asset, format: str, output: str | Path | None = None, *, force: bool = False
) -> list[Path]:
    """The files of one format, the named one first; what the asset has made for another is not made again.

    Arguments and errors as of `export_run`.
    """
    if format not in FORMATS:
        raise UserError(f"format {format}", "is not known", f"choose from {', '.join(FORMATS)}")
    chosen, settings = FORMATS[format], asset.settings
    for name, wanted in (("sequence", settings.sequence), ("texture", settings.texture is not None)):
        if wanted and not getattr(chosen, name):
            able = ", ".join(key for key, other in FORMATS.items() if getattr(other, name))
            raise UserError(f"{name}", f"{format} has none", f"leave it out, or choose {able}")
    file = Path(output) if output else default_file(asset, format)
    file = file if file.suffix else file.with_name(file.name + chosen.suffix)
    check_free(file.with_suffix("") if settings.sequence else file, force)
    with output_folder(file.parent):
        return chosen.write(asset, file)


def default_file(asset: Asset, format: str) -> Path:
    """Where a format is written if nobody says: RUN/export/<name of the run>, and its suffix."""
    return asset.run.path / "export" / (asset.name + FORMATS[format].suffix)
