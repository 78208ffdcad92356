"""One tiny trained run for all tests of the commands that look at a run."""

from __future__ import annotations

import pytest
from trained_run import TinyRun, train_tiny_run


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    return train_tiny_run(tmp_path_factory.mktemp("commands"))
