"""The settings of a run, from their layers: defaults, a preset, a file, flags.

The settings themselves are declared in `sections.py`. Files are `configs/*.yaml`, a run's `config.yaml` and those that
people write. A preset (`configs/presets/`) is the layer under the file; the file may name it, the flag has the last word.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from wim_fast import strict_yaml
from wim_fast.errors import UserError
from wim_fast.files import resource_folder
from wim_fast.sections import (
    FAST,
    SETTINGS,
    BaselineConfig,
    CamerasConfig,
    Config,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    RenderConfig,
    SamplingConfig,
    SceneConfig,
    ScheduleConfig,
    StructureConfig,
    check_together,
)
from wim_fast.settings import add_flags, check, unknown_key

__all__ = [
    "SETTINGS",
    "BaselineConfig",
    "CamerasConfig",
    "Config",
    "LossConfig",
    "ModelConfig",
    "OptimizerConfig",
    "RenderConfig",
    "SamplingConfig",
    "SceneConfig",
    "ScheduleConfig",
    "StructureConfig",
    "add_config_flags",
    "config_names",
    "config_overrides",
    "from_yaml",
    "load_config",
    "named_config",
    "replace",
    "to_yaml",
]

_SECTIONS: dict[str, Any] = {
    name: cls for name, cls in get_type_hints(Config).items() if dataclasses.is_dataclass(cls)
}

# Setting one of these on a later layer (flags over file over preset over defaults) unsets the others.
_EXCLUSIVE = ("iterations", "minutes", "pace")

_RENAMED = {"guide_final_share": "silhouette_final_share"}  # what older runs call it


class ConfigFile(NamedTuple):
    """A file of settings; in a table of subjects, one of its rows."""

    path: Path
    subject: str | None = None


class _Layer(NamedTuple):
    """Some settings by name, every one checked by itself, and where they come from."""

    where: str
    values: Mapping[str, Any]


def _read_settings(file: ConfigFile) -> _Layer:
    """The settings in a file; in a table, those of all subjects under those of one."""
    path, where = file.path, str(file.path)
    tree = strict_yaml.read(path)
    if tree is None:
        return _Layer(where, {})
    if not isinstance(tree, dict):
        raise UserError(path, "holds no sections", f"write settings under {', '.join(_SECTIONS)}")
    rows = tree.pop("subjects", None)
    if rows is not None and file.subject is None:
        raise UserError(path, "is a table of subjects", f"name one of them: {', '.join(rows)}")
    values: dict[str, Any] = {}
    for section, entries in tree.items():
        if section in SETTINGS and not SETTINGS[section].section:
            values[section] = check(SETTINGS[section], entries, where, section)
        elif section in _SECTIONS:
            values.update(_read_section(section, entries, where))
        elif section in SETTINGS:
            remedy = f"move it under {SETTINGS[section].section}"
            raise UserError(path, f"{section} is in no section", remedy)
        else:
            raise unknown_key(where, str(section), _SECTIONS)
    if file.subject is not None:
        values.update(_read_row(file.subject, rows[file.subject], where))
    return _Layer(where, values)


def _read_row(subject: str, row: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The settings of one subject of a table, which name no sections."""
    key = f"subjects.{subject}"
    for name in row:
        if name not in SETTINGS:
            raise unknown_key(where, f"{key}.{name}", [f"{key}.{known}" for known in SETTINGS])
    return {name: check(SETTINGS[name], value, where, f"{key}.{name}") for name, value in row.items()}


def _read_section(section: str, entries: Any, where: str) -> dict[str, Any]:
    if entries is None:
        return {}
    if not isinstance(entries, dict):
        raise UserError(where, f"{section} is {entries!r}", "it must hold settings, one per line")
    values = {}
    for written, value in entries.items():
        name = _RENAMED.get(written, written)
        key = f"{section}.{name}"
        if name not in SETTINGS:
            raise unknown_key(where, key, [s.key for s in SETTINGS.values()])
        if SETTINGS[name].key != key:
            raise UserError(where, f"{key} is in the wrong section", f"move it to {SETTINGS[name].section}")
        values[name] = check(SETTINGS[name], value, where, key)
    return values


def _build(layers: list[_Layer]) -> Config:
    """Defaults, the preset, then each layer over the one before; errors name the last layer that said anything."""
    presets = [layer.values["preset"] for layer in layers if "preset" in layer.values]
    values: dict[str, Any] = {}
    where = "default configuration"
    for layer in [_preset(presets[-1] if presets else FAST), *layers]:
        if not layer.values:
            continue
        where = layer.where
        if any(layer.values.get(name) is not None for name in _EXCLUSIVE):
            values.update(dict.fromkeys(_EXCLUSIVE))
        values.update(layer.values)
    sections: dict[str, dict[str, Any]] = {section: {} for section in _SECTIONS}
    top: dict[str, Any] = {}
    for name, value in values.items():
        section = SETTINGS[name].section
        (sections[section] if section else top)[name] = value
    config = Config(**top, **{section: cls(**sections[section]) for section, cls in _SECTIONS.items()})
    check_together(config, where)
    return config


def _preset(name: str) -> _Layer:
    if name == FAST:
        return _Layer("preset fast", {})
    return _read_settings(ConfigFile(resource_folder("configs") / "presets" / f"{name}.yaml"))


def _tables() -> list[Path]:
    """The shipped files that hold one row for each of several subjects."""
    return sorted((resource_folder("configs") / "tables").glob("*.yaml"))


def config_names() -> list[str]:
    """What `--config` knows: the shipped files and the subjects of the shipped tables."""
    files = [path.stem for path in resource_folder("configs").glob("*.yaml")]
    return sorted([*files, *(name for table in _tables() for name in strict_yaml.read(table)["subjects"])])


def named_config(name: str) -> ConfigFile | None:
    """The shipped settings of that name: configs/<name>.yaml or the row <name> of a table; None if there are none."""
    if not re.fullmatch(r"[\w-]+", name):
        return None
    path = resource_folder("configs") / f"{name}.yaml"
    if path.is_file():
        return ConfigFile(path)
    return next((ConfigFile(t, name) for t in _tables() if name in strict_yaml.read(t)["subjects"]), None)


def load_config(
    name_or_path: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    config_file: str | Path | None = None,
) -> Config:
    """The settings of a run: defaults, under a preset, under a file, under flags.

    Parameters
    ----------
    name_or_path : the scene. If wim-fast ships settings of that name, they are the file.
    overrides : {field name: value}, as `config_overrides` finds them, `preset` among them; other keys are errors.
    config_file : a YAML file (or the name of shipped settings) to use instead of the scene's own.

    Raises UserError naming file and key (or flag) for unknown keys, wrong types and impossible values.
    """
    flags: dict[str, Any] = {}
    for name, value in (overrides or {}).items():
        if name not in SETTINGS:
            raise unknown_key("configuration", name, SETTINGS)
        flags[name] = check(SETTINGS[name], value, "command line", SETTINGS[name].flag)
    if name_or_path is not None:
        flags["scene"] = str(name_or_path)
    file: ConfigFile | None
    if config_file is not None:
        file = named_config(str(config_file)) or ConfigFile(Path(config_file))
    else:
        file = named_config(flags.get("scene", SceneConfig.scene))
    layers = [] if file is None else [_read_settings(file)]
    return _build([*layers, _Layer("command line", flags)])


def from_yaml(path: str | Path) -> Config:
    """The configuration in a file over its preset."""
    return _build([_read_settings(ConfigFile(Path(path)))])


def to_yaml(config: Config) -> str:
    """The whole configuration as YAML that `from_yaml` reads back to an equal one."""
    return strict_yaml.write(dataclasses.asdict(config))


def replace(config: Config, **changes: Any) -> Config:
    """`config` with some settings changed by their flat names, and everything checked again."""
    values = {name: setting.of(config) for name, setting in SETTINGS.items()}
    for name in changes:
        if name not in SETTINGS:
            raise unknown_key("configuration", name, SETTINGS)
    checked = {name: check(SETTINGS[name], value, "configuration", name) for name, value in changes.items()}
    return _build([_Layer("configuration", values), _Layer("configuration", checked)])


def add_config_flags(parser: argparse.ArgumentParser, *, skip: Collection[str] = ()) -> None:
    """A flat flag for every setting but those named in `skip`; see `settings.add_flags`."""
    add_flags(parser, (s for name, s in SETTINGS.items() if name not in skip))


def config_overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings among parsed arguments, for `load_config`."""
    return {name: value for name, value in vars(arguments).items() if name in SETTINGS}
