"""Buffers that training keeps lie in large pages, where Linux has them."""

import subprocess
import sys
from pathlib import Path

import pytest

ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")
SCRIPT = """
import torch
from wim_fast.processes import keep_memory

keep_memory()
kept = torch.zeros(16 << 20)  # 64 MiB
first, last = kept.data_ptr(), kept.data_ptr() + 4 * len(kept)
large = 0
with open("/proc/self/smaps") as lines:
    for line in lines:
        word = line.split()[0]
        if not word.endswith(":"):
            start, end = (int(x, 16) for x in word.split("-"))
        elif word == "AnonHugePages:" and start < last and end > first:
            large += int(line.split()[1])
print(large)
"""


@pytest.mark.skipif(
    not ENABLED.is_file() or "[never]" in ENABLED.read_text(), reason="this Linux has no large pages"
)
def test_memory_that_is_kept_lies_in_large_pages():
    found = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert int(found.stdout) > 32 << 10  # KiB: most of it, for what is fragmented has none
