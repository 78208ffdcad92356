"""Every setting of a training run: its default, its meaning, its limits, its flag and its place in YAML.

A setting is one line in one of the section classes below. From that line come the flag `--its-name`, the key
`section: {its_name: ...}` of `configs/*.yaml` and of a run's `config.yaml`, and the checks of both.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from wim_fast import strict_yaml
from wim_fast.errors import UserError
from wim_fast.files import resource_folder
from wim_fast.ops.backend import BACKENDS
from wim_fast.settings import Setting, add_flags, as_text, check, declared_settings, field, unknown_key


@dataclass(frozen=True)
class SceneConfig:
    """What is read."""

    scene: str = field("dog", "folder of a recording, or the name of a scene that ships with wim-fast")
    train_cameras: tuple[int, ...] | None = field(
        None, "ids of the cameras to train on; none: all but the test cameras", minimum=0
    )
    test_cameras: tuple[int, ...] | None = field(None, "ids of the cameras held back for testing", minimum=0)
    frames: str | None = field(
        None, "frames to train on, as start:stop[:step] over the sorted frames; none: all"
    )
    size: int | None = field(None, "longer image side in pixels; none: as it was filmed", minimum=8)
    coordinate_scale: float | None = field(
        None, "file units per world unit; none: such that the object is 1.2 units long", above=0
    )
    background: float = field(1.0, "grey level behind the object: 1 white, -1 black", minimum=-1, maximum=1)
    allow_missing: bool = field(False, "go on when single images are missing, and ignore those")

    @property
    def background_grey(self) -> float:
        """The grey behind the object in [0, 1]."""
        return 0.5 + 0.5 * self.background


@dataclass(frozen=True)
class ModelConfig:
    """What is learned."""

    parts: int = field(20, "number of parts P", minimum=1, maximum=256)
    pose_frequencies: int = field(30, "cosines K of the pose trajectory: how fast parts can move", minimum=1)
    pose_width: int = field(128, "width of the pose network", minimum=1)
    pose_layers: int = field(4, "layers of the pose network", minimum=1)
    hash_coarsest_cell: float = field(
        0.1, "cell of the coarsest level of the hash grid, world units", above=0
    )
    hash_finest_cell: float | None = field(
        None, "cell of the finest level, world units; none: a pixel at the object", above=0
    )
    hash_log2_entries: int = field(
        16, "log2 of the entries per level of the hash grid", minimum=4, maximum=24
    )
    decoder_width: int = field(64, "width of the decoder", minimum=1)
    decoder_layers: int = field(1, "hidden layers of the decoder", minimum=1)
    top_parts: int = field(2, "parts per sample whose features are looked up", minimum=1)
    lighting: bool = field(True, "let the colour depend on the world normal by one light for the whole scene")
    residual_max: float = field(
        0.05, "largest learned correction d_max of the distance, world units", minimum=0
    )
    minimum_semi_axis: float = field(0.02, "smallest semi-axis of a part, world units", above=0)
    initial_union_sharpness: float = field(5.0, "sharpness b of the union of parts, at first", above=0)
    initial_weight_sharpness: float = field(30.0, "sharpness a of the part weights, at first", above=0)


@dataclass(frozen=True)
class LossConfig:
    """What is asked of it."""

    photo_weight: float = field(1.0, "weight of the colour loss", minimum=0)
    mask_weight: float = field(1.0, "weight of the mask loss", minimum=0)
    eikonal_weight: float = field(0.02, "weight of the eikonal loss", minimum=0)
    volume_weight: float = field(0.01, "weight of the loss that shrinks what no view needs", minimum=0)
    hull_weight: float = field(
        3.0, "weight of the loss that keeps the core of the visual hull filled", minimum=0
    )
    silhouette_weight: float = field(400.0, "weight of the ellipsoid silhouette loss", minimum=0)
    part_center_weight: float = field(1000.0, "weight of the part centre loss", minimum=0)
    guide_final_share: float = field(
        0.02, "share of the two weights above that is left once all frames are in", minimum=0, maximum=1
    )
    joint_weight_start: float = field(1.0, "weight of the joint loss at the first step", minimum=0)
    joint_weight_end: float = field(50.0, "weight of the joint loss from growth_start on", minimum=0)
    separation_weight: float = field(1.0, "weight of the separation loss", minimum=0)
    merge_weight: float = field(0.2, "weight of the merge loss after merge_start", minimum=0)
    random_background: bool = field(True, "composite on random grey levels, through the true alpha")


@dataclass(frozen=True)
class ScheduleConfig:
    """When. Shares are of all iterations."""

    iterations: int | None = field(None, "training steps N", minimum=1)
    minutes: float | None = field(10.0, "training time; the steps that fit are measured and fixed", above=0)
    initial_frames: int = field(10, "frames T_0 to begin with", minimum=1)
    growth_start: float = field(0.05, "share tau_0 at which frames begin to be added", minimum=0, maximum=1)
    growth_end: float = field(0.40, "share tau_1 at which all frames are in", minimum=0, maximum=1)
    merge_start: float = field(0.75, "share tau_2 at which the merge loss begins", minimum=0, maximum=1)
    newest_frames: int = field(6, "newest frames that are drawn more often while frames are added", minimum=1)
    newest_share: float = field(0.2, "share of the draws from the newest frames", minimum=0, maximum=1)
    seed: int = field(0, "seed of everything random", minimum=0, maximum=2**32 - 1)
    checkpoint_minutes: float = field(2.0, "minutes between checkpoints", above=0)
    preview_minutes: float = field(2.0, "minutes between preview pictures", above=0)
    log_every: int = field(20, "steps between log lines", minimum=1)


@dataclass(frozen=True)
class OptimizerConfig:
    """How fast it learns."""

    lr_pose: float = field(2e-3, "learning rate of the pose network", above=0)
    lr_grid: float = field(1e-2, "learning rate of the hash grid", above=0)
    lr_decoder: float = field(2e-3, "learning rate of the decoder", above=0)
    lr_semi_axes: float = field(
        1e-2, "learning rate of the logarithms of the semi-axes and of the sharpnesses", above=0
    )
    warmup_steps: int = field(100, "steps of linear warm-up", minimum=0)
    final_lr_share: float = field(0.05, "learning rates decay to this share", minimum=0, maximum=1)
    weight_decay: float = field(0.005, "decoupled weight decay", minimum=0)
    clip_norm: float = field(2.0, "largest gradient norm of pose and semi-axes", above=0)


@dataclass(frozen=True)
class RenderConfig:
    """How images are sampled."""

    images_per_step: int = field(8, "images per training step", minimum=1)
    rays_per_image: int = field(128, "rays per image and step", minimum=1)
    inv_s_pixels: float = field(
        3.0, "final sharpness s of the surface, in 1 / size of a pixel at the object", above=0
    )
    marched_per_ray: int = field(
        32, "samples per ray, on average, that a GPU has room for while marching", minimum=1
    )
    decoded_per_ray: int = field(
        10, "samples per ray, on average, that a GPU has room for with gradients", minimum=1
    )
    backend: str = field("auto", "which implementation of the kernels runs, and where", choices=BACKENDS)


@dataclass(frozen=True)
class Config:
    """A run's settings, by section. Field names are unique over all sections."""

    scene: SceneConfig = SceneConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    render: RenderConfig = RenderConfig()


def _check_together(config: Config, where: str) -> None:
    """What no field can check alone."""

    def require(holds: bool, problem: str, remedy: str) -> None:
        if not holds:
            raise UserError(where, problem, remedy)

    scene, model, schedule = config.scene, config.model, config.schedule
    for key in ("train_cameras", "test_cameras"):
        ids = getattr(scene, key)
        require(ids != (), f"scene.{key} is empty", "name at least one camera, or leave it out")
        once = len(set(ids or ())) == len(ids or ())
        require(once, f"scene.{key} names a camera twice", "name each camera once")
    both = sorted(set(scene.train_cameras or ()) & set(scene.test_cameras or ()))
    require(
        not both,
        f"cameras {as_text(both)} are in scene.train_cameras and in scene.test_cameras",
        "a camera can be in one of them only",
    )
    require(
        (schedule.iterations is None) != (schedule.minutes is None),
        "training needs a length, schedule.iterations or schedule.minutes",
        "give exactly one of the two",
    )
    require(
        schedule.growth_start <= schedule.growth_end,
        f"schedule.growth_start {schedule.growth_start:g} is after growth_end {schedule.growth_end:g}",
        "let frames start to grow before they end",
    )
    finest = model.hash_finest_cell
    require(
        finest is None or finest <= model.hash_coarsest_cell,
        f"model.hash_finest_cell {as_text(finest)} is larger than "
        f"model.hash_coarsest_cell {model.hash_coarsest_cell:g}",
        "exchange them",
    )
    require(
        model.top_parts <= model.parts,
        f"model.top_parts {model.top_parts} is more than the {model.parts} of model.parts",
        "lower top_parts or raise parts",
    )


SETTINGS: dict[str, Setting] = declared_settings(Config)
_SECTIONS: dict[str, type] = get_type_hints(Config)

# Setting one of these on a later layer (flags over file over defaults) unsets the others.
_EXCLUSIVE = ("iterations", "minutes")


def _read_settings(path: Path) -> dict[str, Any]:
    """The settings in a file, as {name: value}, every one checked by itself."""
    tree = strict_yaml.read(path)
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise UserError(path, "holds no sections", f"write settings under {', '.join(_SECTIONS)}")
    values: dict[str, Any] = {}
    for section, entries in tree.items():
        if section not in _SECTIONS:
            if section in SETTINGS:
                right = SETTINGS[section].section
                raise UserError(path, f"{section} is in no section", f"move it under {right}")
            raise unknown_key(str(path), str(section), _SECTIONS)
        if entries is None:
            continue
        if not isinstance(entries, dict):
            raise UserError(path, f"{section} is {entries!r}", "it must hold settings, one per line")
        for name, value in entries.items():
            key = f"{section}.{name}"
            if name not in SETTINGS:
                raise unknown_key(str(path), key, [s.key for s in SETTINGS.values()])
            if SETTINGS[name].key != key:
                raise UserError(
                    path, f"{key} is in the wrong section", f"move it to {SETTINGS[name].section}"
                )
            values[name] = check(SETTINGS[name], value, str(path), key)
    return values


def _build(layers: list[tuple[str, Mapping[str, Any]]]) -> Config:
    """Defaults, then each layer over the one before; errors name the last layer that said anything."""
    values: dict[str, Any] = {}
    where = "default configuration"
    for source, layer in layers:
        if not layer:
            continue
        where = source
        if any(layer.get(name) is not None for name in _EXCLUSIVE):
            values.update(dict.fromkeys(_EXCLUSIVE))
        values.update(layer)
    sections: dict[str, dict[str, Any]] = {section: {} for section in _SECTIONS}
    for name, value in values.items():
        sections[SETTINGS[name].section][name] = value
    config = Config(**{section: cls(**sections[section]) for section, cls in _SECTIONS.items()})
    _check_together(config, where)
    return config


def named_config(name: str) -> Path | None:
    """configs/<name>.yaml if wim-fast ships one."""
    if not re.fullmatch(r"[\w-]+", name):
        return None
    path = resource_folder("configs") / f"{name}.yaml"
    return path if path.is_file() else None


def load_config(
    name_or_path: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    config_file: str | Path | None = None,
) -> Config:
    """The settings of a run: defaults, under a file, under flags.

    Parameters
    ----------
    name_or_path : the scene. If wim-fast ships `configs/<name>.yaml` for that name, it is the file.
    overrides : {field name: value}, as `config_overrides` finds them; other keys are errors.
    config_file : a YAML file (or the name of one in `configs/`) to use instead of the scene's own.

    Raises UserError naming file and key (or flag) for unknown keys, wrong types and impossible values.
    """
    flags: dict[str, Any] = {}
    for name, value in (overrides or {}).items():
        if name not in SETTINGS:
            raise unknown_key("configuration", name, SETTINGS)
        flags[name] = check(SETTINGS[name], value, "command line", SETTINGS[name].flag)
    if name_or_path is not None:
        flags["scene"] = str(name_or_path)
    path: Path | None
    if config_file is not None:
        path = named_config(str(config_file)) or Path(config_file)
    else:
        path = named_config(flags.get("scene", SceneConfig.scene))
    layers: list[tuple[str, Mapping[str, Any]]] = []
    if path is not None:
        layers.append((str(path), _read_settings(path)))
    layers.append(("command line", flags))
    return _build(layers)


def from_yaml(path: str | Path) -> Config:
    """The configuration in a file over the defaults."""
    return _build([(str(path), _read_settings(Path(path)))])


def to_yaml(config: Config) -> str:
    """The whole configuration as YAML that `from_yaml` reads back to an equal one."""
    return strict_yaml.write(dataclasses.asdict(config))


def replace(config: Config, **changes: Any) -> Config:
    """`config` with some settings changed by their flat names, and everything checked again."""
    values = {name: getattr(getattr(config, s.section), name) for name, s in SETTINGS.items()}
    for name in changes:
        if name not in SETTINGS:
            raise unknown_key("configuration", name, SETTINGS)
    checked = {name: check(SETTINGS[name], value, "configuration", name) for name, value in changes.items()}
    return _build([("configuration", values), ("configuration", checked)])


def add_config_flags(parser: argparse.ArgumentParser, *, skip: Collection[str] = ()) -> None:
    """A flat flag for every setting but those named in `skip`; see `settings.add_flags`."""
    add_flags(parser, (s for name, s in SETTINGS.items() if name not in skip))


def config_overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings among parsed arguments, for `load_config`."""
    return {name: value for name, value in vars(arguments).items() if name in SETTINGS}
