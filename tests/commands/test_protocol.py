"""`wim-fast protocol`: a tiny run through the command line, its numbers computed anew from the disk."""

from __future__ import annotations

import json
import shlex
import shutil
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from trained_run import FRAMES, OTHERS, SIZE, TRAINED, TRAINED_FRAMES, TinyRun

from wim_fast.cli import main
from wim_fast.evaluation.protocols import PROTOCOLS, Subject


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The protocols with the cameras, frames and size of the tiny run."""
    subjects = (Subject("ball", TRAINED, None, ("recording",)), Subject("cube", TRAINED, None, ("cube",)))
    same = {"subjects": subjects, "size": SIZE, "background": 1.0, "train_frames": f"0:{TRAINED_FRAMES}"}
    test = {
        "zju-novel-view": {"test_cameras": OTHERS, "test_frames": f"0:{TRAINED_FRAMES}", "test_count": 3},
        "zju-novel-pose": {"test_cameras": (0, 5), "test_frames": f"{TRAINED_FRAMES}:", "test_count": 2},
        "zju-mpjpe": {},
        "robots-18": {"test_cameras": OTHERS, "test_frames": f"0:{TRAINED_FRAMES}"},
    }
    for name, changes in test.items():
        monkeypatch.setitem(PROTOCOLS, name, replace(PROTOCOLS[name], **same, **changes))


def measured(folder: Path, *arguments: str | Path) -> dict:
    assert main(["protocol", *map(str, arguments), "--output", str(folder)]) == 0
    return json.loads((folder / "protocol.json").read_text())


def copied(run: TinyRun, to: Path, scene: Path | None = None, **scene_settings: object) -> Path:
    """The run under another name; its recording may be another one."""
    shutil.copytree(run.path, to)
    config = yaml.safe_load((to / "config.yaml").read_text())
    config["scene"].update(scene_settings, **({} if scene is None else {"scene": str(scene)}))
    (to / "config.yaml").write_text(yaml.safe_dump(config))
    return to


def softened(run: TinyRun, to: Path, factor: float) -> Path:
    """The run with a softer surface, as if it were another seed."""
    copied(run, to)
    newest = max(to.glob("checkpoints/*.pt"))
    content = torch.load(newest, weights_only=True)
    torch.save({**content, "inv_s": content["inv_s"] * factor}, newest)
    return to


def on_white(path: Path) -> tuple[np.ndarray, np.ndarray]:
    rgba = np.asarray(Image.open(path), float) / 255
    return rgba[..., 3:] * rgba[..., :3] + 1 - rgba[..., 3:], rgba[..., 3] > 0.5


@pytest.mark.parametrize(
    ("name", "cameras", "frames", "range_of_frames"),
    [
        ("zju-novel-view", OTHERS, (0, 4, 9), "0:10"),
        ("zju-novel-pose", (0, 5), (10, 13), "10:14"),
    ],
)
@pytest.mark.usefixtures("tiny")
def test_views_are_those_of_the_pictures(name, cameras, frames, range_of_frames, tiny_run, tmp_path) -> None:
    """Rows follow from pictures that another command writes, the table from the rows."""
    report = measured(tmp_path / "out", name, tiny_run.path)
    (run,) = report["runs"]
    assert [(row["frame"], row["camera"]) for row in run["rows"]] == [(f, c) for f in frames for c in cameras]
    assert run["differences"] == []
    evaluate = ["evaluate", str(tiny_run.path), "--output", str(tmp_path / "pictures")]
    assert main([*evaluate, "--cameras", *map(str, cameras), "--frames", range_of_frames]) == 0
    driven = "_our_driving" if "pose" in name else ""  # evaluate drives by our map
    for row in run["rows"]:
        file = f"frame_{row['frame']:05d}_cam_{row['camera']:03d}.png"
        image, mask = on_white(tmp_path / "pictures" / file)
        truth, true_mask = on_white(tiny_run.scene / file)
        assert row[f"psnr{driven}"] == pytest.approx(-10 * np.log10(((image - truth) ** 2).mean()), abs=0.1)
        union = (mask | true_mask).sum()
        assert row[f"iou{driven}"] == pytest.approx((mask & true_mask).sum() / union, abs=2 / union)
    (line,) = report["table"]
    assert (line["name"], line["runs"], line["as_published"]) == ("ball", 1, True)
    ours = [f"{key}_our_driving" for key in ("ssim_paper", "psnr", "iou")] if "pose" in name else []
    for key in ("ssim_paper", "psnr", "psnr_box", "ssim_box", "iou", *ours):
        assert line[key]["mean"] == pytest.approx(statistics.mean(row[key] for row in run["rows"]))
        assert line[key]["deviation"] is None
    assert report["protocol"]["name"] == name
    assert report["lpips"] == "measured" or "LPIPS" in " ".join(report["notes"])
    assert "Subjects of the protocol that are not here: cube." in report["notes"]


@pytest.mark.usefixtures("tiny")
def test_joints_from_the_files_of_the_run(tiny_run: TinyRun, tmp_path: Path) -> None:
    """trajectory.npz and gt.npz, the pseudo-inverse, and the normal equations of ridge regression."""
    report = measured(tmp_path, "zju-mpjpe", tiny_run.path)
    (run,) = report["runs"]
    learned = np.load(tiny_run.path / "trajectory.npz")
    scale = yaml.safe_load((tiny_run.path / "config.yaml").read_text())["scene"]["coordinate_scale"]
    axes, R, t = (
        learned[k] / s for k, s in (("semi_axes", scale), ("part_rotation", 1), ("part_translation", scale))
    )
    source = [t] + [t + sign * 0.75 * R[..., k] * axes[:, k, None] for k in range(3) for sign in (1, -1)]
    source = np.concatenate(source, axis=1).astype(float)  # (T, 7 P, 3)
    joints = np.load(tiny_run.scene / "gt.npz")["joints"][:TRAINED_FRAMES] / scale
    a, b = source[0].T, joints[0].T  # only frame 0 fits
    ridge = np.linalg.inv(a.T @ a + 1e-3 * np.eye(a.shape[1])) @ a.T @ b
    for key, X in (("mpjpe", np.linalg.pinv(a, rcond=1e-5) @ b), ("mpjpe_ridge", ridge)):
        error = [
            1000 * scale * np.linalg.norm(X.T @ s - j, axis=-1).mean()
            for s, j in zip(source, joints, strict=True)
        ]
        assert [row["frame"] for row in run["rows"]] == list(range(1, TRAINED_FRAMES))
        assert [row[key] for row in run["rows"]] == pytest.approx(error[1:], rel=0.01, abs=0.05)
        assert report["table"][0][key]["mean"] == pytest.approx(np.mean(error[1:]), rel=0.01)
    still = [50.0 * k for k in range(1, TRAINED_FRAMES)]  # it moves by 0.05 units, here metres, a frame
    assert [row["mpjpe_mean_pose"] for row in run["rows"]] == pytest.approx(still, rel=1e-4)


@pytest.mark.usefixtures("tiny")
def test_seeds_are_averaged(tiny_run: TinyRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [tiny_run.path, softened(tiny_run, tmp_path / "b", 0.5), softened(tiny_run, tmp_path / "c", 0.3)]
    cube = copied(tiny_run, tmp_path / "d")
    arguments = ["robots-18", *runs, f"cube={cube}"]
    report = measured(tmp_path / "out", *arguments)
    ball, other, mean = report["table"]
    assert [line["runs"] for line in report["table"]] == [3, 1, 4]
    psnr = [run["summary"]["psnr"] for run in report["runs"]]
    assert len(set(psnr[:3])) == 3
    assert ball["psnr"]["mean"] == pytest.approx(statistics.mean(psnr[:3]))
    assert ball["psnr"]["deviation"] == pytest.approx(statistics.stdev(psnr[:3]))
    assert other["psnr"] == {"mean": pytest.approx(psnr[0]), "deviation": None}
    assert mean["psnr"]["mean"] == pytest.approx((ball["psnr"]["mean"] + psnr[0]) / 2)
    text = (tmp_path / "out" / "table.tex").read_text()
    assert f"${ball['psnr']['mean']:.2f} \\pm {ball['psnr']['deviation']:.2f}$" in text
    assert [line.count("&") for line in text.splitlines() if line.endswith(r"\\")] == [
        text.count("uparrow")
    ] * 4
    shown = capsys.readouterr().out
    assert f"{ball['psnr']['mean']:.2f} ±{ball['psnr']['deviation']:.2f}" in shown
    assert "Runs of ball have the same seed." in shown
    assert "± is the sample standard deviation" in shown


@pytest.mark.usefixtures("tiny")
def test_another_split_is_refused(
    tiny_run: TinyRun, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
):
    published = PROTOCOLS["zju-novel-view"]
    subject = Subject("ball", (0, 1, 2, 5), None, ("recording",))
    other = replace(
        published, subjects=(subject,), test_cameras=(3, 4), train_frames="0:50%", test_frames="0:50%"
    )
    monkeypatch.setitem(PROTOCOLS, "zju-novel-view", other)
    arguments = ["zju-novel-view", str(tiny_run.path), "--output", str(tmp_path)]
    assert main(["protocol", *arguments]) == 2
    error = capsys.readouterr().err
    assert (
        "was trained on cameras 0 to 3, not on 0 to 2, 5; cameras tested that it was trained on: 3;" in error
    )
    assert "was trained on frames 0 to 9, not on 0 to 6 (0:50%)" in error
    assert error.strip().count("\n") == 0
    command = shlex.split(error.split("rain it with: ")[1].split(" (or ")[0])
    expected = f"--train-cameras 0 1 2 5 --frames 0:50% --size {SIZE} --test-cameras 3 4"
    assert command == ["wim-fast", "train", "--scene", str(tiny_run.scene), *expected.split()]
    assert not (tmp_path / "protocol.json").exists()

    report = measured(tmp_path, *arguments[:2], "--anyway")
    assert not report["table"][0]["as_published"]
    assert {row["frame"] for row in report["runs"][0]["rows"]} == {0, 3, 6}
    assert len(report["runs"][0]["differences"]) == 3
    text = (tmp_path / "table.tex").read_text()
    assert r"ball$^\dagger$ &" in text
    assert "not on 0 to 6 (0:50\\%)" in text
    output = capsys.readouterr().out
    assert "ball †" in output
    assert "† ball (run) was not trained as the protocol says: it was" in output


@pytest.mark.usefixtures("tiny")
def test_the_command_that_is_proposed_leads_there(
    tiny_run: TinyRun, tmp_path, capsys: pytest.CaptureFixture[str]
):
    """Train as the error says, tiny, and the run is accepted."""
    small = copied(tiny_run, tmp_path / "small", background=0.5)
    assert main(["protocol", "robots-18", str(small), "--output", str(tmp_path / "out")]) == 2
    command = shlex.split(capsys.readouterr().err.split("rain it with: ")[1].split(" (or ")[0])[1:]
    quick = "--iterations 3 --parts 3 --images-per-step 2 --rays-per-image 24 --hash-log2-entries 8 --pose-width 16"
    assert main([*command, *quick.split(), "--decoder-width", "16", "--output", str(tmp_path / "new")]) == 0
    report = measured(tmp_path / "out", "robots-18", tmp_path / "new")
    assert report["table"][0]["as_published"]
    assert len(report["runs"][0]["rows"]) == TRAINED_FRAMES * len(OTHERS)


@pytest.mark.usefixtures("tiny")
def test_without_points(tiny_run: TinyRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = tmp_path / "recording"
    shutil.copytree(tiny_run.scene, scene)
    run = copied(tiny_run, tmp_path / "run", scene)
    out = ["--output", str(tmp_path / "out")]
    joints = np.load(scene / "gt.npz")["joints"]
    np.savez(scene / "gt.npz", joints=joints)
    assert main(["protocol", "zju-novel-pose", str(run), *out]) == 2
    assert "its poses are driven by joints, not by points of the surface" in capsys.readouterr().err
    assert main(["protocol", "zju-novel-pose", str(run), "--anyway", *out]) == 0
    (scene / "gt.npz").unlink()
    capsys.readouterr()
    for name, problem in (
        ("zju-novel-pose", "there are no true points to drive the novel poses with"),
        ("zju-mpjpe", "the recording has no true joints"),
    ):
        assert main(["protocol", name, str(run), "--anyway", *out]) == 2
        error = capsys.readouterr().err
        assert f"{scene}: {problem}" in error
        assert "gt.npz" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["robots-81", "RUN"], "there is no protocol robots-81. Did you mean robots-18?"),
        ([], "no protocol was named"),
        (["robots"], "no run was named"),
        (["robots", "RUN"], "recording is not among the subjects of robots"),
        (["robots", "=RUN"], "names no subject"),
        (["robots", "nowhere"], "there is no such run"),
        (["robots-18", "RUN", "a=RUN"], "is named twice"),
        (["robots-18", "RUN"], "trained on cameras 0 to 3, not on 1 to 9, 11 to 19"),
        (["robots-18", "RUN", "--anyway"], "there is no camera 10"),
    ],
)
def test_bad_arguments(arguments, message, tiny_run: TinyRun, capsys: pytest.CaptureFixture[str]) -> None:
    given = [text.replace("RUN", str(tiny_run.path)) for text in arguments]
    assert main(["protocol", *given]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.strip().count("\n") == 0


@pytest.mark.usefixtures("tiny")
def test_what_are_no_seeds(tiny_run: TinyRun, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = tmp_path / "recording"
    shutil.copytree(tiny_run.scene, scene)
    other = copied(tiny_run, tmp_path / "other", scene)
    assert main(["protocol", "robots-18", str(tiny_run.path), str(other)]) == 2
    assert "are both ball, but trained on different recordings" in capsys.readouterr().err
    smaller = copied(tiny_run, tmp_path / "smaller", size=16)
    assert main(["protocol", "robots-18", str(tiny_run.path), str(smaller), "--anyway"]) == 2
    assert "but trained on different images: no seeds" in capsys.readouterr().err


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["protocol", "--list"]) == 0
    output = capsys.readouterr().out
    assert all(name in output for name in PROTOCOLS)
    assert "cameras 7, 10, 11, 14, 15; frames 0:300 of nao" in output
    assert "cameras 1 to 9, 11 to 19; frames 0:300 of atlas" in output
    assert "cameras 1 to 9, 11 to 19; frames 0:50 of atlas" in output
    assert "metrics   SSIM, image's range, LPIPS (VGG); ours: PSNR (dB), PSNR in the box (dB)" in output
    assert "metrics   none of the source; ours: PSNR (dB)" in output
    assert "cameras 2, 6, 10, 15, 19; 20 of the frames 0:80%" in output
    assert FRAMES > TRAINED_FRAMES
