"""YAML files: what scalars mean, and that no file, however odd, ends in anything but its value or a UserError."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from errors import refused
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wim_fast import strict_yaml


@pytest.fixture(params=["libyaml", "python"])
def read(request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Reads a text with one of the two loaders."""
    if request.param == "libyaml" and not yaml.__with_libyaml__:
        pytest.skip("PyYAML was built without libyaml")
    monkeypatch.setattr(yaml, "__with_libyaml__", request.param == "libyaml")
    strict_yaml._loader.cache_clear()

    def read_text(text: str) -> Any:
        path = tmp_path / "a.yaml"
        path.write_bytes(text.encode())
        return strict_yaml.read(path)

    yield read_text
    strict_yaml._loader.cache_clear()


def test_scalars_are_those_of_yaml_1_2(read) -> None:
    text = "[2e-3, -.5, 1., 08, -3, +4, ~, null, true, False, yes, off, 10:50, 1_000, 0x10, 2020-01-01, .inf, -.INF, '1']"
    expected = [0.002, -0.5, 1.0, 8, -3, 4, None, None, True, False, "yes", "off", "10:50", "1_000", "0x10"]
    assert read(text) == [*expected, "2020-01-01", math.inf, -math.inf, "1"]
    assert [type(x) for x in read("[1, 1.0, true, x]")] == [int, float, bool, str]
    assert math.isnan(read(".NaN"))
    assert read("") is None
    assert read("# nothing\na:\n<<: 3") == {"a": None, "<<": 3}


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\na: 2", "a: {b: 1, c: 2, b: 1}", "- {x: 1, 'x': 2}", "1: a\n1: b",  # a key twice
        "? [a]\n: 1", "? {a: 1}\n: 1",  # keys that are no texts
        "a: [1", "a: b: c", "\tx: 1", "'", "*nowhere", "a\n---\nb", "\x00", "%", "&a {b: *a}",
        "!!int x", "!!float x", "!!bool x", "!!null x", "!!map x", "!!seq x", "!!int [1]", "!!str [1]", "!!timestamp x",
        "!!binary x", "!!set {a}", "!other 3", "!!python/object/apply:os.system [ls]",
        "9" * 5000, "[" * 1000 + "]" * 1000, "[" * 100_000, "{a: " * 100_000, "- " * 100_000, "? " * 100_000,
        "a: " + "x" * 2**20,
    ],
    ids=lambda text: text[:24],
)  # fmt: skip
def test_what_is_refused(read, text: str, tmp_path: Path) -> None:
    with refused(tmp_path / "a.yaml"):
        read(text)


def test_the_line_is_named(read, tmp_path: Path) -> None:
    with refused(tmp_path / "a.yaml", "line 3", "parts is there twice"):
        read("model:\n  parts: 3\n  parts: 4")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with refused(tmp_path / "none.yaml"):
        strict_yaml.read(tmp_path / "none.yaml")


# not the line breaks of other alphabets, which PyYAML folds like its own
texts = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=20)
trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees)
def test_written_is_read(read, tree: Any) -> None:
    assert read(strict_yaml.write(tree)) == tree
