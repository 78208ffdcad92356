"""YAML without surprises: `2e-3` is a number, `10:50` and `yes` are texts, a key given twice is an error."""

from __future__ import annotations

import functools
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from wim_fast.errors import UserError

# The scalars of YAML 1.2's core schema and the characters they begin with.
_SCALARS = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+", list("-+0123456789")),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
}


@functools.cache
def _loader_and_dumper() -> tuple[Any, Any]:
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    class Dumper(yaml.SafeDumper):
        pass

    def mapping(loader: Any, node: Any) -> dict[Hashable, Any]:
        keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(None, None, "a key is no text", node.start_mark)
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{key} is there twice", node.start_mark)
        return {k: loader.construct_object(v, deep=True) for k, (_, v) in zip(keys, node.value, strict=True)}

    def in_one_line(dumper: Any, values: Any) -> Any:
        return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=True)

    Loader.yaml_implicit_resolvers = {}  # none of YAML 1.1's; the dumper keeps them and so quotes more
    for tag, (pattern, first) in _SCALARS.items():
        for kind in (Loader, Dumper):
            kind.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), first)
    Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))
    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    for sequence in (list, tuple):
        Dumper.add_representer(sequence, in_one_line)
    return Loader, Dumper


def read(path: Path) -> Any:
    """What the file holds: dictionaries, lists, numbers, texts. UserError if it cannot be read."""
    import yaml

    loader, _ = _loader_and_dumper()
    try:
        with path.open(encoding="utf-8") as file:
            return yaml.load(file, loader)
    except FileNotFoundError:
        raise UserError(path, "there is no such file", "check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(path, f"cannot be read ({error})", "check the file") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" near line {mark.line + 1}" if mark else ""
        detail = getattr(error, "problem", None) or "it is malformed"
        raise UserError(path, f"is no valid YAML{line}: {detail}", "correct the file") from None


def write(tree: Any) -> str:
    """YAML that `read` gives back: mappings as blocks, lists on one line."""
    import yaml

    _, dumper = _loader_and_dumper()
    return yaml.dump(tree, Dumper=dumper, sort_keys=False, allow_unicode=True, width=10000)
