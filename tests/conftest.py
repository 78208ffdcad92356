"""Test processes share the machine, so each of them computes on one thread and does not wait busily."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch, here and in the processes that tests start
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numba
import pytest


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """test_threads.py asks for more."""
    numba.set_num_threads(1)
