"""Every setting of a training run: its default, its meaning, its limits, its flag and its place in YAML.

A setting is one line in one of the section classes below. From that line come the flag `--its-name`, the key
`section: {its_name: ...}` of `configs/*.yaml` and of a run's `config.yaml`, and the checks of both.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import math
import re
import types
import typing
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wim_fast.errors import UserError
from wim_fast.resources import resource_folder


def field(
    default: Any,
    help: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    choices: Collection[str] | None = None,
) -> Any:
    """A setting. `minimum` and `maximum` are allowed, `above` is not; they bound each element of a tuple."""
    limits = {"help": help, "minimum": minimum, "maximum": maximum, "above": above, "choices": choices}
    return dataclasses.field(default=default, metadata=limits)


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


@dataclass(frozen=True)
class ModelConfig:
    """What is learned."""

    parts: int = field(20, "number of parts P", minimum=1, maximum=256)
    pose_frequencies: int = field(30, "cosines K of the pose trajectory: how fast parts can move", minimum=1)
    pose_width: int = field(128, "width of the pose network", minimum=1)
    pose_layers: int = field(4, "layers of the pose network", minimum=1)
    hash_levels: int = field(6, "resolutions of the hash grid", minimum=1, maximum=32)
    hash_features: int = field(2, "features per entry of the hash grid", minimum=1, maximum=8)
    hash_log2_entries: int = field(
        17, "log2 of the entries per level of the hash grid", minimum=4, maximum=24
    )
    hash_coarsest_cell: float = field(0.2, "cell of the coarsest level, world units", above=0)
    hash_finest_cell: float = field(0.0125, "cell of the finest level, world units", above=0)
    decoder_width: int = field(64, "width of the decoder", minimum=1)
    decoder_layers: int = field(2, "hidden layers of the decoder", minimum=1)
    top_parts: int = field(2, "parts per sample whose features are looked up", minimum=1)
    residual_max: float = field(
        0.02, "largest learned correction d_max of the distance, world units", minimum=0
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
    silhouette_weight: float = field(400.0, "weight of the ellipsoid silhouette loss", minimum=0)
    part_center_weight: float = field(1000.0, "weight of the part centre loss", minimum=0)
    joint_weight_start: float = field(1.0, "weight of the joint loss at the first step", minimum=0)
    joint_weight_end: float = field(50.0, "weight of the joint loss from growth_start on", minimum=0)
    separation_weight: float = field(1.0, "weight of the separation loss", minimum=0)
    merge_weight: float = field(5.0, "weight of the merge loss after merge_start", minimum=0)
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
    lr_semi_axes: float = field(1e-3, "learning rate of the semi-axes and sharpnesses", above=0)
    warmup_steps: int = field(100, "steps of linear warm-up", minimum=0)
    final_lr_share: float = field(0.05, "learning rates decay to this share", minimum=0, maximum=1)
    weight_decay: float = field(0.005, "decoupled weight decay", minimum=0)
    clip_norm: float = field(2.0, "largest gradient norm of pose and semi-axes", above=0)


@dataclass(frozen=True)
class RenderConfig:
    """How images are sampled."""

    images_per_step: int = field(8, "images per training step", minimum=1)
    rays_per_image: int = field(128, "rays per image and step", minimum=1)
    inv_s_pixels: float | None = field(
        None, "final sharpness s of the surface, in 1 / projected pixel size; none: a good one", above=0
    )
    step_pixels: float = field(1.0, "length of a marching step, in projected pixels", above=0)


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
        f"cameras {_text(both)} are in scene.train_cameras and in scene.test_cameras",
        "a camera can be in one of them only",
    )
    require(
        (schedule.iterations is None) != (schedule.minutes is None),
        "schedule.iterations and schedule.minutes exclude each other",
        "give exactly one of them",
    )
    require(
        schedule.growth_start <= schedule.growth_end,
        f"schedule.growth_start {schedule.growth_start:g} is after growth_end {schedule.growth_end:g}",
        "let frames start to grow before they end",
    )
    require(
        model.hash_finest_cell <= model.hash_coarsest_cell,
        f"model.hash_finest_cell {model.hash_finest_cell:g} is larger than "
        f"model.hash_coarsest_cell {model.hash_coarsest_cell:g}",
        "exchange them",
    )
    require(
        model.top_parts <= model.parts,
        f"model.top_parts {model.top_parts} is more than the {model.parts} of model.parts",
        "lower top_parts or raise parts",
    )


# Setting one of these on a later layer (flags over file over defaults) unsets the others.
_EXCLUSIVE = ("iterations", "minutes")


@functools.cache
def _fields() -> dict[str, tuple[str, dataclasses.Field[Any], Any]]:
    """name -> (section, field, type) for every setting."""
    found: dict[str, tuple[str, dataclasses.Field[Any], Any]] = {}
    for section, cls in typing.get_type_hints(Config).items():
        hints = typing.get_type_hints(cls)
        for f in dataclasses.fields(cls):
            if f.name in found:
                raise TypeError(f"{f.name} is in the sections {found[f.name][0]} and {section}")
            found[f.name] = (section, f, hints[f.name])
    return found


def _split_optional(hint: Any) -> tuple[Any, bool]:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        (inner,) = (a for a in typing.get_args(hint) if a is not type(None))
        return inner, True
    return hint, False


def _text(value: Any) -> str:
    """A value as a person would write it."""
    if value is None:
        return "none"
    if isinstance(value, (tuple, list)):
        return " ".join(_text(v) for v in value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


_KIND = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def _checked(name: str, value: Any, where: str, key: str) -> Any:
    """`value` in the field's own type, or an error that names `key` in `where`."""
    _, f, hint = _fields()[name]
    kind, optional = _split_optional(hint)
    is_tuple = typing.get_origin(kind) is tuple
    if value is None and optional:
        return None
    scalar = typing.get_args(kind)[0] if is_tuple else kind
    wanted = _KIND[scalar]
    if is_tuple:
        wanted = f"a list, each element {wanted}"
    if optional:
        wanted += ", or null"

    def scalar_of(v: Any) -> Any:
        if scalar is float and isinstance(v, int) and not isinstance(v, bool):
            v = float(v)
        if not isinstance(v, scalar) or (isinstance(v, bool) and scalar is not bool):
            raise UserError(where, f"{key} is {v!r}", f"it must be {wanted}")
        if isinstance(v, float) and not math.isfinite(v):
            raise UserError(where, f"{key} is {v}", "it must be finite")
        low, high, above = f.metadata["minimum"], f.metadata["maximum"], f.metadata["above"]
        choices = f.metadata["choices"]
        if low is not None and v < low:
            raise UserError(where, f"{key} is {_text(v)}", f"it must be at least {low:g}")
        if above is not None and v <= above:
            raise UserError(where, f"{key} is {_text(v)}", f"it must be greater than {above:g}")
        if high is not None and v > high:
            raise UserError(where, f"{key} is {_text(v)}", f"it must be at most {high:g}")
        if choices is not None and v not in choices:
            raise UserError(where, f"{key} is {v!r}", f"it must be one of {', '.join(choices)}")
        return v

    if not is_tuple:
        return scalar_of(value)
    if not isinstance(value, (list, tuple)):
        raise UserError(where, f"{key} is {value!r}", f"it must be {wanted}")
    return tuple(scalar_of(v) for v in value)


def _unknown(where: str, key: str, known: Collection[str]) -> UserError:
    import difflib

    close = difflib.get_close_matches(key, known, n=1)
    remedy = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
    return UserError(where, f"unknown key {key}", remedy)


def _read_yaml(path: Path) -> dict[str, Any]:
    """The settings in a file, as {name: value}, every one checked by itself."""
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML 1.2 scalars: `2e-3` is a number, `10:50` and `yes` are texts. A key twice is an error."""

    Loader.yaml_implicit_resolvers = {}  # of its own, not those of YAML 1.1

    patterns = {
        "null": (r"~|null|Null|NULL|", "~nN\0"),
        "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
        "int": (r"[-+]?[0-9]+", "-+0123456789"),
        "float": (r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", "-+.0123456789"),
    }
    for tag, (pattern, first) in patterns.items():
        starts = ["" if c == "\0" else c for c in first]
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), starts)
    Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))

    def mapping(loader: Any, node: Any) -> dict[Hashable, Any]:
        keys = [loader.construct_object(k) for k, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise UserError(path, f"{key} is there twice", "keep one of them")
        return {k: loader.construct_object(v, deep=True) for k, (_, v) in zip(keys, node.value, strict=True)}

    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    try:
        with path.open(encoding="utf-8") as file:
            tree = yaml.load(file, Loader)
    except FileNotFoundError:
        raise UserError(path, "there is no such file", "check the path of the configuration") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(path, f"cannot be read ({error})", "check the file") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        detail = getattr(error, "problem", None) or "it is malformed"
        raise UserError(path, f"is no YAML{line}: {detail}", "correct the file") from None

    fields = _fields()
    sections = list(typing.get_type_hints(Config))
    where = str(path)
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise UserError(path, "holds no sections", f"write settings under {', '.join(sections)}")
    values: dict[str, Any] = {}
    for section, entries in tree.items():
        if section in fields and section not in sections:
            raise UserError(path, f"{section} is in no section", f"move it under {fields[section][0]}")
        if section not in sections:
            raise _unknown(where, str(section), sections)
        if entries is None:
            continue
        if not isinstance(entries, dict):
            raise UserError(path, f"{section} is {entries!r}", "it must hold settings, one per line")
        own = [name for name, (s, _, _) in fields.items() if s == section]
        for name, value in entries.items():
            if name in fields and name not in own:
                right = fields[name][0]
                raise UserError(path, f"{section}.{name} is in the wrong section", f"move it to {right}")
            if name not in own:
                raise _unknown(where, f"{section}.{name}", [f"{section}.{n}" for n in own])
            values[name] = _checked(name, value, where, f"{section}.{name}")
    return values


def _build(layers: list[tuple[str, Mapping[str, Any]]]) -> Config:
    """Defaults, then each layer over the one before; errors name the last layer that said anything."""
    values: dict[str, Any] = {}
    where = "default configuration"
    for source, layer in layers:
        if not layer:
            continue
        where = source
        given = [name for name in _EXCLUSIVE if layer.get(name) is not None]
        if given:
            values.update(dict.fromkeys(_EXCLUSIVE))
        values.update(layer)
    sections: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        sections.setdefault(_fields()[name][0], {})[name] = value
    hints = typing.get_type_hints(Config)
    config = Config(**{section: hints[section](**entries) for section, entries in sections.items()})
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
    overrides : {field name: value}, as `add_config_flags` leaves them; other keys are errors.
    config_file : a YAML file (or the name of one in `configs/`) to use instead of the scene's own.

    Raises UserError naming file and key (or flag) for unknown keys, wrong types and impossible values.
    """
    flags: dict[str, Any] = {}
    for name, value in (overrides or {}).items():
        if name not in _fields():
            raise _unknown("configuration", name, list(_fields()))
        flag = f"--{name.replace('_', '-')}"
        flags[name] = _checked(name, value, "command line", flag)
    if name_or_path is not None:
        flags.setdefault("scene", str(name_or_path))
    path: Path | None
    if config_file is not None:
        path = named_config(str(config_file)) or Path(config_file)
    else:
        path = named_config(flags.get("scene", SceneConfig.scene))
    layers: list[tuple[str, Mapping[str, Any]]] = []
    if path is not None:
        layers.append((str(path), _read_yaml(path)))
    layers.append(("command line", flags))
    return _build(layers)


def from_yaml(path: str | Path) -> Config:
    """The configuration in a file, and nothing else."""
    return _build([(str(path), _read_yaml(Path(path)))])


def to_yaml(config: Config) -> str:
    """The whole configuration as YAML that `from_yaml` reads back to an equal one."""
    import yaml

    tree = dataclasses.asdict(config)
    for entries in tree.values():
        entries.update({k: list(v) for k, v in entries.items() if isinstance(v, tuple)})
    return yaml.safe_dump(tree, sort_keys=False, default_flow_style=None, width=1000)


def replace(config: Config, **changes: Any) -> Config:
    """`config` with some settings changed by their flat names, checked like flags."""
    values = {name: getattr(getattr(config, section), name) for name, (section, _, _) in _fields().items()}
    checked = {name: _checked(name, value, "configuration", name) for name, value in changes.items()}
    return _build([("configuration", values), ("configuration", checked)])


def add_config_flags(parser: argparse.ArgumentParser, *, skip: Collection[str] = ()) -> None:
    """One flag per setting, grouped by section; flags not given leave no attribute (`argparse.SUPPRESS`)."""
    groups: dict[str, Any] = {}
    for name, (section, f, hint) in _fields().items():
        if name in skip:
            continue
        if section not in groups:
            groups[section] = parser.add_argument_group(section)
        kind, optional = _split_optional(hint)
        help_text = f.metadata["help"].replace("%", "%%")
        options: dict[str, Any] = {"default": argparse.SUPPRESS, "dest": name}
        options["help"] = f"{help_text} (default: {_text(f.default)})"
        if kind is bool:
            options["action"] = argparse.BooleanOptionalAction
        else:
            is_tuple = typing.get_origin(kind) is tuple
            scalar = typing.get_args(kind)[0] if is_tuple else kind
            options["type"] = _parser_of(scalar, optional and not is_tuple)
            options["metavar"] = {int: "N", float: "X", str: "TEXT"}[scalar]
            if is_tuple:
                options["nargs"] = "+"
        groups[section].add_argument(f"--{name.replace('_', '-')}", **options)


def _parser_of(scalar: type, optional: bool) -> Any:
    def parse(text: str) -> Any:
        return None if optional and text.lower() in ("none", "null") else scalar(text)

    # argparse says "invalid <this> value"
    parse.__name__ = {int: "whole number", float: "number", str: "text"}[scalar]
    return parse


def config_overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings among parsed arguments, for `load_config`."""
    return {name: value for name, value in vars(arguments).items() if name in _fields()}
