import json
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from wim_fast.ops import ahead
from wim_fast.ops.ahead import SLOWEST_FIRST, compile_ahead
from wim_fast.ops.backend import select_backend

NUMBA = select_backend("numba")
ANSWERS = "import sys\nfor line in sys.stdin: print(line.strip(), flush=True)"
DIES_AT_THIRD = "import sys\nfor k in range(2): print(sys.stdin.readline().strip(), flush=True)"


@pytest.fixture
def started(monkeypatch, tmp_path):
    """Processes in the place of those that compile, in the order of their start; and where it is written down."""
    children = []

    def start(code=ANSWERS):
        child = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        children.append(child)
        return child

    monkeypatch.setattr(ahead, "_record", lambda: tmp_path / "ahead.json")
    monkeypatch.setattr(ahead, "_start", start)
    return children, start


def test_all_kernels_are_named():
    """The networks share theirs."""
    fields = {field for field, value in NUMBA._asdict().items() if callable(value)}
    assert sorted(SLOWEST_FIRST) == sorted(fields - {"pose_mlp"})


def test_a_run_needs_no_others():
    """What is compiled ahead is what a training and a picture call, by the types of all arguments."""
    script = Path(__file__).parents[1] / "kernels_of_a_run.py"
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    missing, more = json.loads(ended.stdout.splitlines()[-1])
    assert missing == []
    assert {name: forms for name, forms in more.items() if forms} == {}


def test_each_kernel_is_given_to_one_process(started, tmp_path):
    children, _ = started
    seen = []
    compile_ahead(NUMBA, 3, lambda done, total: seen.append((done, total)))
    assert sorted(seen) == [(k, len(SLOWEST_FIRST)) for k in range(len(SLOWEST_FIRST) + 1)]
    assert len(children) == 3
    assert all(child.poll() is not None for child in children)
    assert json.loads((tmp_path / "ahead.json").read_text()) == ahead._facts()
    compile_ahead(NUMBA, 3, lambda done, total: pytest.fail("they are there already"))
    assert len(children) == 3


@pytest.mark.parametrize("record", ["{", '{"sources": "others"}', "[]"])
def test_another_record_is_no_record(started, tmp_path, record):
    (tmp_path / "ahead.json").write_text(record)
    compile_ahead(NUMBA, 2, lambda done, total: None)
    assert len(started[0]) == 2
    assert json.loads((tmp_path / "ahead.json").read_text()) == ahead._facts()


def test_what_a_process_leaves_others_take_or_nobody(started, tmp_path, monkeypatch):
    """The kernel at which one died is compiled when it is called; that is not written down as done."""
    children, start = started
    monkeypatch.setattr(ahead, "_start", lambda: start(ANSWERS if children else DIES_AT_THIRD))
    done = []
    compile_ahead(NUMBA, 2, lambda k, total: done.append(k))
    assert max(done) >= len(SLOWEST_FIRST) - 1
    compile_ahead(NUMBA, 2, lambda k, total: done.append(k))
    assert (tmp_path / "ahead.json").is_file()


@pytest.mark.parametrize(("backend", "processes"), [("torch", 2), ("numba", 1)])
def test_nothing_is_compiled_for_others_nor_by_one_process_alone(started, backend, processes):
    compile_ahead(select_backend(backend), processes, lambda done, total: pytest.fail("nothing to do"))
    assert not started[0]


def test_fewer_where_memory_is_short(started, monkeypatch):
    memory = SimpleNamespace(available=2 * ahead.PROCESS_BYTES)
    monkeypatch.setattr(ahead.psutil, "virtual_memory", lambda: memory)
    compile_ahead(NUMBA, 4, lambda done, total: None)
    assert len(started[0]) == 2


def test_no_process_can_be_started(tmp_path, monkeypatch):
    def fails():
        raise OSError("no more processes")

    monkeypatch.setattr(ahead, "_record", lambda: tmp_path / "ahead.json")
    monkeypatch.setattr(ahead, "_start", fails)
    compile_ahead(NUMBA, 2, lambda done, total: None)
    assert not (tmp_path / "ahead.json").exists()


def test_who_is_interrupted_leaves_no_process(started, monkeypatch):
    monkeypatch.setattr(threading.Thread, "join", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        compile_ahead(NUMBA, 2, lambda done, total: None)
    assert all(child.poll() is not None for child in started[0])


def test_a_process_compiles_what_it_is_told():
    child = ahead._start()
    answer, _ = child.communicate("image_losses\npart_seen\n")
    assert answer.split() == ["image_losses", "part_seen"]
    assert child.returncode == 0
