"""Reader of a person's own folder: videos or pictures of each camera, a calibration of any known format, and masks.

What lies where is found by `sources`; cameras by `calibration`; masks are a folder laid out as the recording is, the
alpha of the pictures, or what differs from the background.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from wim_fast.errors import UserError
from wim_fast.recordings.background import Found
from wim_fast.recordings.calibration.match import match_cameras, uncalled
from wim_fast.recordings.calibration.read import read_calibration
from wim_fast.recordings.film import AlphaFilm, BackgroundFilm, Film, MaskedFilm
from wim_fast.recordings.image_files import PICTURES, numbered_files, read_rgba
from wim_fast.recordings.masks import compressed, soft
from wim_fast.recordings.pictures import Pictures
from wim_fast.recordings.recording import FilmedCamera, Origin, Recording
from wim_fast.recordings.selection import ids_left
from wim_fast.recordings.sources import (
    EMPTY_FOLDER,
    MASK_FOLDERS,
    SourceCamera,
    find_sources,
    holds_film,
    telling_numbers,
)
from wim_fast.recordings.video import VIDEOS


def is_folder(path: Path) -> bool:
    """Whether there are videos or pictures in it at all."""
    return holds_film(path)


def read_folder(
    path: Path,
    *,
    calibration: Path | None = None,
    format: str = "auto",
    masks: str | None = None,
    empty: Path | None = None,
    without: Sequence[int] = (),
) -> Recording:
    """A folder, in the units of its calibration, with the frames that all of its cameras have.

    Args:
        calibration: file or folder; None: in the folder itself, or in `cameras` in it.
        format: of the calibration, see `calibration.read.FORMATS`; auto: what is found.
        masks: `alpha`, `background` or a folder; None: a folder of masks in `path`, or alpha.
        empty: pictures of the set without the object, which background subtraction starts from; None: the folder
            `empty` in `path`, if `masks` is `background` and it is there.
        without: ids of cameras to leave out.

    Raises UserError for what cannot be used, and warns (SceneWarning) of frames that are left out.
    """
    sources = find_sources(path)
    left = ids_left(path, [source.id for source in sources], without)
    sources = [source for source in sources if source.id in left]
    views = read_calibration(calibration or path, format)
    calibrated = match_cameras(views, sources)
    beside = path / EMPTY_FOLDER if (path / EMPTY_FOLDER).is_dir() else None
    if masks == "background" and empty is None:
        empty = beside
    film_of, what = _masks(masks, path, sources, empty)
    if beside is not None and empty != beside:
        what += f" ({EMPTY_FOLDER}/ is not used: it is for --masks background)"
    films = {source.name: film_of(source) for source in sources}
    for source in sources:
        _check_frames(path, source.name, films[source.name])
    rendered = all(isinstance(film, AlphaFilm) for film in films.values())
    origin = Origin(views.format, views.path, what, uncalled(views, calibrated, sources), rendered)
    cameras = tuple(FilmedCamera(s.id, s.name, calibrated[s.name], films[s.name]) for s in sources)
    frames = tuple(sorted({frame for film in films.values() for frame in film.frames}))
    return Recording(path, cameras, frames, origin).in_step()


def _check_frames(path: Path, name: str, film: Film) -> None:
    """UserError for a camera none of whose pictures has a mask."""
    if film.frames or not isinstance(film, MaskedFilm):
        return
    pictures, masks = film.pictures.frames, film.masks.frames
    raise UserError(
        path,
        f"{name} has pictures {pictures[0]} to {pictures[-1]} and masks {masks[0]} to {masks[-1]},"
        " but no frame with both",
        "give pictures and masks the same numbers",
    )


FilmOf = Callable[[SourceCamera], Film]


def _masks(
    text: str | None, path: Path, sources: Sequence[SourceCamera], empty: Path | None
) -> tuple[FilmOf, str]:
    """The film of each source with masks as `text` says (see `read_folder`), and where they come from in words."""
    if text == "background" or (text is None and empty is not None):
        return _background(sources, empty)
    if empty is not None:
        raise UserError(empty, f"the empty set cannot be used with --masks {text}", "give --masks background")
    if text == "alpha":
        return _alpha()
    if text is not None:
        return _folder(Path(text), sources)
    beside = next((path / name for name in MASK_FOLDERS if (path / name).is_dir()), None)
    if beside is not None:
        return _folder(beside, sources)
    if _has_alpha(sources[0]):
        return _alpha()
    raise UserError(
        path,
        "there are no masks: no folder masks/, and the pictures have no alpha",
        "segment the pictures and give --masks FOLDER, or --masks background if the cameras stand still and the object"
        " moves a lot",
    )


def _has_alpha(source: SourceCamera) -> bool:
    files = source.pictures.files
    if not files:
        return False
    try:
        read_rgba(next(iter(files.values())))
    except UserError:
        return False
    return True


def _alpha() -> tuple[FilmOf, str]:
    return lambda source: AlphaFilm(source.pictures), "the alpha channel of the pictures"


def _folder(path: Path, sources: Sequence[SourceCamera]) -> tuple[FilmOf, str]:
    """Masks in a folder laid out as the recording is, files or videos: by their names, else by numbers."""
    found = find_sources(path)
    by_name = {mask.name.lower(): mask for mask in found}
    ours, theirs = (telling_numbers([s.name for s in of]) for of in (sources, found))
    by_number = {}
    if ours is not None and theirs is not None:
        numbered = dict(zip(theirs, found, strict=True))
        by_number = {s.name: numbered[n] for s, n in zip(sources, ours, strict=True) if n in numbered}

    def film(source: SourceCamera) -> Film:
        mask = by_name.get(source.name.lower()) or by_number.get(source.name)
        if mask is None:
            raise UserError(
                path,
                f"there are no masks for {source.name}, but for {', '.join(m.name for m in found)}",
                "name the folders (or videos) of masks as those of the pictures",
            )
        return MaskedFilm(source.pictures, mask.pictures, compressed if mask.pictures.video else soft)

    return film, f"masks in {path}"


def _background(sources: Sequence[SourceCamera], empty: Path | None) -> tuple[FilmOf, str]:
    if empty is None:
        return lambda source: BackgroundFilm(source.pictures), "background subtraction"
    sets = _empty_sets(empty, sources)
    what = f"background subtraction, against the empty set in {empty}"
    return lambda source: BackgroundFilm(source.pictures, sets[source.name], Found(empty=True)), what


def _empty_sets(folder: Path, sources: Sequence[SourceCamera]) -> dict[str, Pictures]:
    """Pictures of the empty set by camera: cam0.png, cam0.mp4, or a folder cam0 of them."""
    if not folder.is_dir():
        raise UserError(
            folder, "is not a folder", "put a picture of the empty set for each camera there, cam0.png"
        )
    found: dict[str, Pictures] = {}
    for entry in sorted(folder.iterdir()):
        if entry.is_dir():
            if files := numbered_files(entry, PICTURES):
                found[entry.name.lower()] = Pictures(files)
        elif entry.suffix.lower() in PICTURES:
            found[entry.stem.lower()] = Pictures({0: entry})
        elif entry.suffix.lower() in VIDEOS:
            found[entry.stem.lower()] = Pictures(entry)
    lost = [source.name for source in sources if source.name.lower() not in found]
    if lost:
        held = ", ".join(found) or "nothing"
        raise UserError(folder, f"there is no picture of {lost[0]}, but of {held}", f"add {lost[0]}.png")
    return {source.name: found[source.name.lower()] for source in sources}
