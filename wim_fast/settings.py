"""Settings declared as dataclass fields: their limits, their checks and their command-line flags."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from wim_fast.errors import UserError

AUTO = "auto"  # in the place of a number: none is asked for


def field(
    default: Any,
    help: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    choices: Collection[str] | None = None,
) -> Any:
    """A dataclass field that is a setting.

    `minimum` and `maximum` are allowed values, `above` is not; they bound each element of a tuple.
    Its type is bool, int, float, str or a tuple of one of these with `...`, any of them also `| None`.
    """
    limits = {"help": help, "minimum": minimum, "maximum": maximum, "above": above, "choices": choices}
    return dataclasses.field(default=default, metadata=limits)


@dataclass(frozen=True)
class Setting:
    """One declared setting."""

    section: str  # empty for what stands above the sections
    name: str
    kind: Any  # bool, int, float or str: the type of the value, or of a tuple's elements
    is_tuple: bool
    optional: bool
    default: Any
    help: str
    minimum: float | None
    maximum: float | None
    above: float | None
    choices: Collection[str] | None

    @property
    def key(self) -> str:
        return f"{self.section}.{self.name}" if self.section else self.name

    @property
    def flag(self) -> str:
        return f"--{self.name.replace('_', '-')}"

    def of(self, config: Any) -> Any:
        """Its value in a configuration."""
        return getattr(getattr(config, self.section) if self.section else config, self.name)


def declared_settings(config: type) -> dict[str, Setting]:
    """{name: setting} of a dataclass whose fields are settings or sections of settings; names are unique over all."""
    found: dict[str, Setting] = {}
    hints = typing.get_type_hints(config)
    sections = [(name, cls) for name, cls in hints.items() if dataclasses.is_dataclass(cls)]
    for section, cls in [("", config), *sections]:
        hints = typing.get_type_hints(cls)
        for f in dataclasses.fields(cls):
            if not f.metadata:  # a section
                continue
            if f.name in found:
                raise TypeError(f"{f.name} is in the sections {found[f.name].section} and {section}")
            kind, optional = _without_none(hints[f.name])
            is_tuple = typing.get_origin(kind) is tuple
            kind = typing.get_args(kind)[0] if is_tuple else kind
            found[f.name] = Setting(section, f.name, kind, is_tuple, optional, f.default, **f.metadata)
    return found


def _without_none(hint: Any) -> tuple[Any, bool]:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        (inner,) = (a for a in typing.get_args(hint) if a is not type(None))
        return inner, True
    return hint, False


_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def check(setting: Setting, value: Any, where: str, key: str) -> Any:
    """`value` in the setting's own type; UserError naming `key` in `where` if it is wrong or impossible."""
    if setting.optional and (value is None or _left_open(setting, value)):
        return None
    if setting.is_tuple:
        if not isinstance(value, (list, tuple)):
            raise UserError(where, f"{key} is {value!r}", f"it must be {_wanted(setting)}")
        return tuple(_check_scalar(setting, v, where, key) for v in value)
    return _check_scalar(setting, value, where, key)


def _left_open(setting: Setting, value: Any) -> bool:
    """Whether a word says that the program is to choose; where any text may be meant, none does."""
    return setting.kind is not str and isinstance(value, str) and value.lower() == AUTO


def _wanted(setting: Setting) -> str:
    wanted = ("a list, each element " if setting.is_tuple else "") + _KINDS[setting.kind]
    return wanted + (", or null" if setting.optional else "")


def _check_scalar(setting: Setting, value: Any, where: str, key: str) -> Any:
    if setting.kind is float and type(value) is int:
        value = float(value)
    if type(value) is not setting.kind:
        raise UserError(where, f"{key} is {value!r}", f"it must be {_wanted(setting)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(where, f"{key} is {value}", "it must be finite")

    def require(holds: bool, remedy: str) -> None:
        if not holds:
            raise UserError(where, f"{key} is {as_text(value)}", f"it must be {remedy}")

    if setting.minimum is not None:
        require(value >= setting.minimum, f"at least {_limit(setting, setting.minimum)}")
    if setting.above is not None:
        require(value > setting.above, f"greater than {_limit(setting, setting.above)}")
    if setting.maximum is not None:
        require(value <= setting.maximum, f"at most {_limit(setting, setting.maximum)}")
    if setting.choices is not None:
        require(value in setting.choices, f"one of {', '.join(setting.choices)}")
    return value


def _limit(setting: Setting, value: float) -> str:
    """Whole numbers with all their digits."""
    return f"{value:.0f}" if setting.kind is int else f"{value:g}"


def as_text(value: Any) -> str:
    """A value as a person would write it."""
    if value is None:
        return "none"
    if isinstance(value, (tuple, list)):
        return " ".join(as_text(v) for v in value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def unknown_key(where: str, key: str, known: Collection[str]) -> UserError:
    """The error for a key that is not among the known ones, with the closest of them."""
    close = difflib.get_close_matches(key, known, n=1)
    remedy = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
    return UserError(where, f"unknown key {key}", remedy)


def add_flags(parser: argparse.ArgumentParser, settings: Iterable[Setting]) -> None:
    """One flag per setting, grouped by section; flags not given leave no attribute (`argparse.SUPPRESS`).

    Booleans are `--x` and `--no-x`, tuples take one or more values. `none` unsets what may be unset, and so does `auto`
    in the place of a number.
    """
    groups: dict[str, Any] = {}
    for setting in settings:
        if setting.section not in groups:
            title = f"{setting.section or 'all'} settings"
            groups[setting.section] = parser.add_argument_group(title)
        options: dict[str, Any] = {"default": argparse.SUPPRESS, "dest": setting.name}
        choices = f"; one of {', '.join(setting.choices)}" if setting.choices else ""
        options["help"] = f"{setting.help}{choices} (default: {as_text(setting.default)})".replace("%", "%%")
        if setting.kind is bool:
            options["action"] = argparse.BooleanOptionalAction
        else:
            options["type"] = _flag_type(setting)
            options["metavar"] = (
                "|".join(setting.choices)
                if setting.choices
                else {int: "N", float: "X", str: "TEXT"}[setting.kind]
            )
            if setting.is_tuple:
                options["nargs"] = "+"
        groups[setting.section].add_argument(setting.flag, **options)


def _flag_type(setting: Setting) -> Any:
    def parse(text: str) -> Any:
        unset = text.lower() in ("none", "null") or _left_open(setting, text)
        return None if setting.optional and unset else setting.kind(text)

    # argparse says "invalid <this> value"
    parse.__name__ = {int: "whole number", float: "number", str: "text"}[setting.kind]
    return parse
