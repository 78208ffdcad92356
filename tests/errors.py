"""What tests ask of errors for people: where it is, what it names, that it is one line. The words may change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from wim_fast.errors import UserError


@contextmanager
def refused(where: str | Path, *named: str) -> Iterator[None]:
    """What is within raises a UserError at `where` that names each of `named`."""
    with pytest.raises(UserError) as caught:
        yield
    error = caught.value
    assert str(error.where) == str(where)
    assert error.problem.strip()
    assert error.remedy.strip()
    assert "\n" not in str(error)
    assert len(str(error)) < 1000
    for name in named:
        assert name in str(error)


def assert_one_error(printed: str, *named: str) -> None:
    """What a command wrote to stderr is the one line of a UserError, and it names each of `named`."""
    *_, line = printed.splitlines()
    assert line.startswith("error: ")
    assert printed.count("error: ") == 1
    assert "Traceback" not in printed
    for name in named:
        assert name in line
