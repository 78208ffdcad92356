"""YAML without surprises: `2e-3` is a number, `10:50` and `yes` are texts, a key given twice is an error.

libyaml reads where PyYAML was built with it. Values are built recursively, which deep nesting would end in a
RecursionError, so that depth and size are checked first. Tags of anything but numbers, texts, lists and mappings are
refused.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

from wim_fast.errors import UserError
from wim_fast.files import read_bytes

LARGEST = 2**20  # bytes of a file
DEEPEST = 32  # lists and mappings within each other

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
_PATTERNS = {name: re.compile(f"^(?:{pattern})$") for name, (pattern, _) in _SCALARS.items()}
_VALUES: dict[str, Callable[[str], Any]] = {
    "null": lambda text: None,
    "bool": lambda text: text.lower() == "true",
    "int": int,
    "float": lambda text: float(
        re.sub(r"\.(?=[in])", "", text.lower())
    ),  # Python has no dot before inf and nan
}


def _tag(name: str) -> str:
    return f"tag:yaml.org,2002:{name}"


@functools.cache
def _loader() -> Any:
    import yaml

    base: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader

    class Loader(base):
        pass

    def refuse(problem: str, node: Any) -> None:
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)

    def scalar(name: str, loader: Any, node: Any) -> Any:
        text = loader.construct_scalar(node)
        if not _PATTERNS[name].match(text):
            refuse(f"'{text}' is no {name}", node)
        try:
            return _VALUES[name](text)
        except ValueError:  # whole numbers of thousands of digits
            return refuse("the number is too long", node)

    def mapping(loader: Any, node: Any) -> dict[Hashable, Any]:
        if not isinstance(node, yaml.MappingNode):
            refuse("it must hold 'key: value' pairs", node)
        content: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                refuse("a key is not text", key_node)
            if key in content:
                refuse(f"{key} is there twice", key_node)
            content[key] = loader.construct_object(value_node, deep=True)
        return content

    kept = {_tag(name): yaml.SafeLoader.yaml_constructors[_tag(name)] for name in ("str", "seq")}
    Loader.yaml_constructors = {None: yaml.SafeLoader.construct_undefined, **kept, _tag("map"): mapping}
    Loader.yaml_implicit_resolvers = {}  # none of YAML 1.1's
    for name, (_, first) in _SCALARS.items():
        Loader.add_constructor(_tag(name), functools.partial(scalar, name))
        Loader.add_implicit_resolver(_tag(name), _PATTERNS[name], first)
    return Loader


@functools.cache
def _dumper() -> Any:
    import yaml

    class Dumper(yaml.SafeDumper):  # it keeps YAML 1.1's scalars beside ours, and so quotes more
        pass

    def in_one_line(dumper: Any, values: Any) -> Any:
        return dumper.represent_sequence(_tag("seq"), values, flow_style=True)

    for name, (_, first) in _SCALARS.items():
        Dumper.add_implicit_resolver(_tag(name), _PATTERNS[name], first)
    for sequence in (list, tuple):
        Dumper.add_representer(sequence, in_one_line)
    return Dumper


def read(path: Path) -> Any:
    """What the file holds: dictionaries, lists, numbers, texts. UserError if it cannot be read."""
    import yaml

    try:
        text = read_bytes(path, LARGEST).decode()
    except FileNotFoundError:
        raise UserError(path, "there is no such file", "check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(path, f"cannot be read ({error})", "check the file") from None
    try:
        _check_depth(text)
        return yaml.load(text, _loader())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" near line {mark.line + 1}" if mark else ""
        detail = getattr(error, "problem", None) or getattr(error, "reason", None) or "it is malformed"
        raise UserError(path, f"is not valid YAML{line}: {detail}", "correct the file") from None


def _check_depth(text: str) -> None:
    """YAMLError if lists and mappings are nested too deeply; this goes through the text without recursion."""
    import yaml

    depth = 0
    event: Any
    for event in yaml.parse(text, _loader()):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            problem = f"more than {DEEPEST} lists and mappings lie within each other"
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)


def write(tree: Any) -> str:
    """YAML that `read` gives back: mappings as blocks, lists on one line."""
    import yaml

    return yaml.dump(tree, Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=10000)
