"""The plan of the package: imports go one way, and some things are done in some rooms only (CONTRIBUTING.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import wim_fast

PACKAGE = Path(wim_fast.__file__).parent

# From the ground up: a room may import those of the floors below its own and itself, nothing beside or above it.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "threads"),
    ("companions",),
    ("files",),
    (
        "compositing",
        "processes",
        "profiling",
        "strict_json",
        "strict_npz",
        "strict_yaml",
        "terminal",
    ),
    ("recordings",),
    ("scene",),
    ("ops",),
    ("settings",),
    ("sections",),
    ("config",),
    ("model",),
    ("rendering",),
    ("posing",),
    ("drawing",),
    ("training",),
    ("baselines", "evaluation"),
    ("runs",),
    ("export", "report"),
    ("importing", "viewer"),
    ("commands",),
    ("cli",),
    ("__init__", "__main__"),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

PARSES_FLAGS = ("commands", "cli", "config", "settings")
PRINTS = ("commands", "cli", "terminal")
PRINTING_MODULES = ("viewer.serve", "viewer.server")  # the address of the page
COMMAND_LINES = 80


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package by its name in it ("" is the package itself), parsed."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def room_of(module: str) -> str:
    """The first folder or file of a module's name."""
    return module.split(".")[0] or "__init__"


def imported(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """The modules of the package that a module imports anywhere in it, functions included, with the line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "wim_fast":
                    yield alias.name.partition(".")[2], node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module and node.module.split(".")[0] == "wim_fast":
                base = node.module.partition(".")[2]
                for alias in node.names:
                    whole = f"{base}.{alias.name}" if base else alias.name
                    if whole in modules():
                        yield whole, node.lineno
                    elif whole != "__version__":
                        yield base, node.lineno


def calls(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """What is called by its plain or its last name, with the line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield node.func.id, node.lineno
            elif isinstance(node.func, ast.Attribute):
                yield node.func.attr, node.lineno


def test_every_room_has_its_floor() -> None:
    rooms = {room_of(module) for module in modules()}
    assert rooms <= FLOOR.keys(), f"not in the plan: {sorted(rooms - FLOOR.keys())}"


@pytest.mark.parametrize("room", [room for rooms in FLOORS for room in rooms])
def test_imports_go_down(room: str) -> None:
    upward = {
        f"{module or '__init__'}:{line} imports {target or '__init__'}"
        for module, tree in modules().items()
        if room_of(module) == room
        for target, line in imported(tree)
        if room_of(target) != room and FLOOR[room_of(target)] >= FLOOR[room]
    }
    assert not upward, "\n".join(sorted(upward))


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = {module: {target for target, _ in imported(tree)} for module, tree in modules().items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))


def test_only_the_command_line_parses_flags() -> None:
    found = [
        module
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        and "argparse" in [alias.name for alias in node.names] + [getattr(node, "module", None)]
        if room_of(module) not in PARSES_FLAGS
    ]
    assert not found, "argparse belongs into " + ", ".join(PARSES_FLAGS)


def test_only_the_command_line_prints() -> None:
    found = [
        f"{module}:{line}"
        for module, tree in modules().items()
        if room_of(module) not in PRINTS and module not in PRINTING_MODULES
        for name, line in calls(tree)
        if name == "print"
    ]
    assert not found, found


def test_only_the_command_line_exits() -> None:
    found = [
        f"{module}:{node.lineno}"
        for module, tree in modules().items()
        if room_of(module) not in ("cli", "commands", "__main__")
        for node in ast.walk(tree)
        if (isinstance(node, ast.Name) and node.id in ("SystemExit", "exit", "quit"))
        or (isinstance(node, ast.Attribute) and node.attr == "exit" and ast.unparse(node.value) == "sys")
    ]
    assert not found, found


@pytest.mark.parametrize("path", sorted((PACKAGE / "commands").glob("*.py")), ids=lambda path: path.stem)
def test_commands_are_thin(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines < COMMAND_LINES, f"{path.name} has {lines} lines"
