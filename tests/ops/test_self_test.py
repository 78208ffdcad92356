import json

import pytest
import torch

from wim_fast.errors import GpuWarning
from wim_fast.ops import backend as backends
from wim_fast.ops import first_run
from wim_fast.ops.backend import select_backend
from wim_fast.ops.self_test import _cases, failures, main


def test_the_kernels_of_this_machine_pass():
    assert failures(select_backend("numba")) == []


def test_tritons_kernels_pass_in_its_interpreter():
    pytest.importorskip("triton", reason="triton is not installed")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU: auto tests them there")
    assert failures(select_backend("triton")) == []


@pytest.mark.parametrize("name", ["numba", "triton", "tcnn"])
def test_every_kernel_has_a_case(name):
    kernels = {field for field, value in select_backend("numba")._asdict().items() if callable(value)}
    assert {case.kernel for case in _cases(name, parts=4, count=40)} == kernels


def test_what_is_wrong_is_named():
    """Of kernels that are a little off, do not write all of their results, or do not run; the others pass."""
    right = select_backend("torch")

    def off(*args):
        out = right.composite(*args)
        return out._replace(depth=out.depth * 1.01)

    def unwritten(sdf, t, offsets, inv_s, step, divisions):
        return torch.empty(len(sdf) * divisions)

    def broken(*args):
        raise RuntimeError("too many\nresources")

    wrong = right._replace(composite=off, visible_samples=unwritten, pose_mlp=broken)
    pose, composite, visible = failures(wrong)
    assert pose == "pose_mlp: RuntimeError: too many resources"
    assert composite.startswith("composite: output 2 differs by 1.0e-02")
    assert visible == "visible_samples: output 0 is not finite"


def test_a_pass_is_remembered_and_a_failure_is_not(tmp_path, monkeypatch):
    monkeypatch.setenv("WIM_FAST_CACHE", str(tmp_path))
    answers = [["march: is wrong"], [], ["not asked"]]
    facts = {"GPU": "one", "torch": "2.13"}
    ask = lambda facts: first_run.remembered(facts, lambda: answers.pop(0))  # noqa: E731
    assert ask(facts) == ["march: is wrong"]
    assert ask(facts) == []
    assert ask(facts) == []
    assert ask({**facts, "torch": "2.14"}) == ["not asked"]


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe"])
def test_a_damaged_record_is_ignored(tmp_path, monkeypatch, damage):
    monkeypatch.setenv("WIM_FAST_CACHE", str(tmp_path))
    assert first_run.remembered({"GPU": "one"}, list) == []
    (record,) = (tmp_path / "self-test").iterdir()
    record.write_bytes(damage)
    assert first_run.remembered({"GPU": "one"}, lambda: ["asked again"]) == ["asked again"]


def test_a_folder_that_cannot_be_written_means_another_test(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WIM_FAST_CACHE", str(tmp_path / "file"))
    answers = [[], []]
    assert [first_run.remembered({}, lambda: answers.pop()) for _ in range(2)] == [[], []]


def test_the_test_runs_in_a_process_of_its_own(monkeypatch, tmp_path):
    """And what keeps it from answering is an answer too."""
    (problem,) = first_run.tested("abacus", 0)
    assert "status 1" in problem
    assert "abacus" in problem
    monkeypatch.setattr(first_run, "PATIENCE", 0.01)
    (problem,) = first_run.tested("numba", 0)
    assert "hangs" in problem
    monkeypatch.setattr("wim_fast.ops.self_test.failures", lambda backend: [backend.name])
    main("torch", "0", str(tmp_path / "answer.json"))
    assert json.loads((tmp_path / "answer.json").read_text()) == ["torch"]


@pytest.mark.parametrize("problems", [[], ["march: output 1 is not finite"]])
def test_auto_takes_the_gpu_only_if_its_kernels_pass(problems, monkeypatch, recwarn):
    pytest.importorskip("triton", reason="triton is not installed")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(first_run, "gpu_problems", lambda index: problems)
    assert backends._fastest(0) == ("numba" if problems else "triton")
    said = [str(w.message) for w in recwarn if w.category is GpuWarning]
    assert len(said) == len(problems)
    for text in said:
        assert problems[0] in text
        assert first_run.REPORT in text


def test_auto_says_what_is_too_old(monkeypatch):
    pytest.importorskip("triton", reason="triton is not installed")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "__version__", "2.6.0+cu124")
    with pytest.warns(GpuWarning, match="torch 2.6.0"):
        assert backends._fastest(0) == "numba"
