"""`tools/fuzz.py`: damaged input of every kind is met well, and what is not met well is noticed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")


@pytest.fixture
def fuzz(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    import fuzz

    return fuzz


def test_a_hundred_cases():
    """Of all kinds; the 97th starts a Python of its own."""
    command = [sys.executable, str(TOOLS / "fuzz.py"), "--cases", "100", "--seed", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("what", "said", "hopeless", "problem"),
    [
        ("refused", "error: x: is a pipe. Put a file there.", True, None),
        ("accepted", "", False, None),
        ("accepted", "", True, "accepted in silence"),
        ("refused", "Traceback (most recent call last):", True, "traceback"),
        ("refused", "", True, "refused without a word"),
        ("signal SIGSEGV", "", False, "signal SIGSEGV"),
        ("hang", "", False, "hang"),
    ],
)
def test_what_is_a_good_answer(fuzz, what, said, hopeless, problem):
    assert fuzz.problem(fuzz.Case("", [], hopeless), fuzz.Answer(what, said, 0.0)) == problem
