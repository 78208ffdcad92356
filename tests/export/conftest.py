"""A tiny run, opened, and what is exported of it."""

from __future__ import annotations

import pytest

from wim_fast import load_run
from wim_fast.export.asset import Asset, Settings


@pytest.fixture(scope="session")
def run(tiny_run):
    return load_run(tiny_run.path)


@pytest.fixture(scope="session")
def asset(run):
    return Asset(run, Settings(faces=400))
