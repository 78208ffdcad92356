"""What is trained on and what is held out: the views that a run reads of its recording."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wim_fast import config as config_module
from wim_fast.config import Config, SceneConfig
from wim_fast.errors import SceneWarning, UserError
from wim_fast.recordings.masks import OBJECT
from wim_fast.recordings.read import read_recording
from wim_fast.recordings.recording import Recording
from wim_fast.recordings.selection import camera_positions, evenly, parse_frames
from wim_fast.scene.load import check_trainable, find_scene, load_scene, scene_names
from wim_fast.scene.scene import Scene
from wim_fast.sections import FILES_OF_METHODS, OURS
from wim_fast.training.checkpoint import TrainedOn
from wim_fast.training.initialization import enough_parts
from wim_fast.training.trainer import pixel_size

PIXELS_PER_PART = 4  # of an image, at the least
VIEW_FRAMES = 10  # of the frames trained on, for previews and the table at the end


@dataclass(frozen=True)
class Split:
    """The views of a recording that a run is trained on, and some to look at and to test with."""

    config: Config  # with cameras, scale and number of parts resolved
    scene: Scene  # trained on
    views: Scene  # trained and test cameras, a few of the frames trained on
    view_positions: list[int]  # where these are among the frames trained on
    test_cameras: tuple[int, ...]  # ids

    @property
    def trained_on(self) -> TrainedOn:
        """What a checkpoint says of it."""
        return TrainedOn(self.scene.frame_ids, self.scene.cameras.ids, self.scene.coordinate_scale)

    @property
    def preview_rows(self) -> dict[str, int]:
        """A training view and a novel view: {caption: position of the camera in `views`}."""
        rows = {f"training view, camera {self.scene.cameras.ids[0]}": 0}
        if self.test_cameras:
            rows[f"novel view, camera {self.test_cameras[0]}"] = self.scene.num_cameras
        return rows


def read_views(
    settings: SceneConfig,
    cameras: Sequence[int] | None = None,
    frames: str | slice | Sequence[int] | None = None,
    size: int | None = None,
    recording: Recording | None = None,
) -> Scene:
    """Views of the recording that the settings name, in their world units.

    Args:
        cameras: ids; None: all there are.
        frames: a range or positions over all frames of the recording; None: those trained on.
        size: longer side of the images in pixels; None: as trained.
        recording: what was read of it already.
    """
    return load_scene(
        recording or settings.scene,
        cameras=cameras,
        frames=settings.frames if frames is None else frames,
        size=settings.size if size is None else size,
        coordinate_scale=settings.coordinate_scale,
        allow_missing=settings.allow_missing,
    )


def read_split(config: Config) -> Split:
    """Read what is trained on, and some of what is not."""
    wanted = config.scene
    recording = read_recording(find_scene(wanted.scene))
    test = wanted.test_cameras or ()
    camera_positions(recording.path, recording.camera_ids, test or recording.camera_ids)
    train = wanted.train_cameras or tuple(i for i in recording.camera_ids if i not in test)
    if not train:
        raise UserError(recording.path, "all cameras are test cameras", "leave some of them to train on")
    scene = read_views(wanted, train, recording=recording)
    check_trainable(scene)
    if config.baseline.method == OURS:
        if config.model.parts is None:
            enough = min(enough_parts(scene), most_parts(scene))
            config = config_module.replace(config, parts=max(enough, config.model.top_parts))
        check_parts(scene, config.model.num_parts)

    count = len(recording.frame_ids)
    frames = range(count)[parse_frames(wanted.frames, count) if wanted.frames else slice(None)]
    positions = evenly(range(len(frames)), VIEW_FRAMES)
    some = [frames[p] for p in positions]
    scaled = dataclasses.replace(wanted, coordinate_scale=scene.coordinate_scale)
    test = test or tuple(i for i in recording.camera_ids if i not in train)
    try:
        views = read_views(scaled, train + test, some, recording=recording)
    except UserError as error:
        if wanted.test_cameras:
            raise
        warnings.warn(f"the other cameras are not used for testing: {error}", SceneWarning, stacklevel=2)
        views, test = read_views(scaled, train, some, recording=recording), ()
    config = config_module.replace(
        config,
        scene=lasting_name(wanted.scene),
        **lasting_paths(dataclasses.asdict(config.baseline)),
        train_cameras=train,
        test_cameras=test or None,
        coordinate_scale=scene.coordinate_scale,
        **config.for_masks(tells_outlines(recording, config))._asdict(),
        hash_finest_cell=config.model.hash_finest_cell
        or min(pixel_size(scene), config.model.hash_coarsest_cell),
    )
    return Split(config, scene, views, positions, test)


def tells_outlines(recording: Recording, config: Config) -> bool:
    """Whether masks tell outlines to a fraction of a pixel: exact ones that are not doubted."""
    return recording.origin.exact_masks and config.loss.doubt == 0


def largest_image(scene: Scene) -> int:
    """Pixels of the object in the image where it covers most."""
    return int(scene.footage.counts[..., OBJECT].max())


def most_parts(scene: Scene) -> int:
    """That pictures could tell apart."""
    return largest_image(scene) // PIXELS_PER_PART


def check_parts(scene: Scene, parts: int) -> None:
    """UserError for more parts than the pictures could ever tell apart."""
    most = most_parts(scene)
    if parts > most:
        problem = f"the object covers at most {largest_image(scene)} pixels, too few for {parts} parts"
        remedy = f"ask for at most {most} --parts" if most else "give larger pictures of the object"
        raise UserError(scene.path, problem, remedy)


def lasting_paths(settings: Mapping[str, Any]) -> dict[str, str]:
    """The files that settings name, so that they are found from another working directory too.

    What is no file stays as it is: the name of something that ships with wim-fast.
    """
    named = {name: settings.get(name) for names in FILES_OF_METHODS.values() for name in names}
    return {name: str(Path(file).resolve()) for name, file in named.items() if file and Path(file).is_file()}


def lasting_name(scene: str) -> str:
    """A scene's name that still holds in another working directory."""
    return scene if scene in scene_names() else str(Path(scene).resolve())
