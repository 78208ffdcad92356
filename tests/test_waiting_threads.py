"""Threads that wait are asleep, however wim-fast was started; whoever has chosen otherwise has it so."""

import os
import subprocess
import sys

import pytest

from wim_fast.threads import ASLEEP, CHOICES

POOL = "import numba.np.ufunc.omppool"  # loads the OpenMP of numba's kernels
TRAIN = ["train", "--scene", "nowhere"]  # ends after torch was imported
WAYS = {
    "python -m": ["-m", "wim_fast", *TRAIN],
    "torchrun": ["-m", "torch.distributed.run", "-m", "wim_fast", *TRAIN],
    "import": ["-c", "import wim_fast; wim_fast.train"],
    "import, kernels": ["-c", f"import wim_fast; {POOL}"],
}


def spin_counts(arguments, **chosen):
    """How long the threads of each OpenMP library wait busily, in the order in which they were loaded."""
    environment = {name: value for name, value in os.environ.items() if name not in CHOICES}
    result = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=120,
        env={**environment, "OMP_DISPLAY_ENV": "VERBOSE", **chosen},
    )  # fmt: skip
    lines = [line.split("=") for line in result.stderr.splitlines() if "GOMP_SPINCOUNT" in line]
    if not lines:
        pytest.skip("not GNU's OpenMP, which alone tells")
    return [value.strip(" '") for _, value in lines]


@pytest.mark.parametrize("way", WAYS)
def test_threads_wait_asleep(way):
    assert spin_counts(WAYS[way])[-1] == ASLEEP["GOMP_SPINCOUNT"]


@pytest.mark.parametrize(
    ("chosen", "spins"), [({"GOMP_SPINCOUNT": "77"}, "77"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "30000000000")]
)
def test_what_the_user_has_chosen_stays(chosen, spins):
    assert spin_counts(WAYS["import, kernels"], **chosen) == [spins]


BUSY_SHARE = """
import os, time, numba, numpy as np, wim_fast.ops.compiled
@numba.njit(parallel=True)
def work(x):
    for i in numba.prange(len(x)): x[i] += 1
x = np.zeros(2000)
work(x)
start, wall = os.times(), time.perf_counter()
for _ in range(200):
    work(x)
    time.sleep(0.002)
end = os.times()
print((end.user + end.system - start.user - start.system) / (time.perf_counter() - wall))
"""


@pytest.mark.parametrize("first", ["wim_fast", "torch"])
def test_between_kernels_nothing_is_computed(first):
    """Also where torch came first and has read the environment: its threads wait busily, the kernels' do not."""
    environment = {name: value for name, value in os.environ.items() if name not in CHOICES}
    environment |= {"OMP_NUM_THREADS": "2", "NUMBA_NUM_THREADS": "2"}
    result = subprocess.run(
        [sys.executable, "-c", f"import {first}, torch" + BUSY_SHARE],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert float(result.stdout) < 0.3, result.stderr


def test_intels_and_llvms_threads_are_told_too():
    code = "import os, wim_fast; print(os.environ['OMP_WAIT_POLICY'], os.environ['KMP_BLOCKTIME'])"
    environment = {name: value for name, value in os.environ.items() if name not in CHOICES}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert result.stdout.split() == ["PASSIVE", "0"]
