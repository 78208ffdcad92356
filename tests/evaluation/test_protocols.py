"""Protocols: their splits against lists written by hand, the settings that train them, the tables."""

from __future__ import annotations

import re
import statistics
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console

from wim_fast.cli import _parse
from wim_fast.config import config_overrides, load_config
from wim_fast.errors import UserError
from wim_fast.evaluation.protocols import (
    PROTOCOLS,
    Trained,
    differences,
    evenly,
    find_subject,
    measured_views,
    numbers,
)
from wim_fast.evaluation.summary import mean_line, means, subject_line
from wim_fast.runs.protocol.candidates import train_command
from wim_fast.runs.protocol.tables import latex, tables

ROBOTS = {
    "atlas": [0, 2, 5, 13, 18],
    "baxter": [0, 2, 5, 13, 18],
    "spot": [0, 2, 5, 10, 13],
    "pandas": [0, 2, 5, 10, 13],
    "cassie": [0, 3, 5, 10, 13],
    "iiwa": [0, 2, 4, 5, 13],
    "nao": [7, 10, 11, 14, 15],
}
PEOPLE = ["366", "377", "381", "384", "387"]
EIGHTEEN = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19]


def trained_as(protocol, subject, *, cameras, frames, **changes) -> Trained:
    """A run that follows the protocol, in a recording of so many cameras (ids) and frames (number)."""
    stop = {"0:80%": int(0.8 * frames), "0:300": 300, "0:50": 50}[protocol.train_frames]
    content = {
        "cameras": subject.train_cameras[::-1],
        "frames": tuple(range(stop)),
        "recorded_cameras": tuple(cameras),
        "recorded_frames": tuple(range(frames)),
        "size": 512,
        "background": protocol.background,
        "driven_by": "points",
        "scene": "somewhere",
    }
    return Trained(**{**content, **changes})


def test_robots() -> None:
    protocol = PROTOCOLS["robots"]
    assert {subject.name: list(subject.train_cameras) for subject in protocol.subjects} == ROBOTS
    nao = find_subject(protocol, "some/where/nao")
    trained = trained_as(protocol, nao, cameras=range(20), frames=1000)
    assert differences(protocol, nao, trained) == []
    cameras, frames = measured_views(protocol, nao, trained)
    assert cameras == [0, 1, 2, 3, 4, 5, 6, 8, 9, 12, 13, 16, 17, 18, 19]
    assert (len(frames), frames[0], frames[-1]) == (20, 0, 299)
    assert {b - a for a, b in pairwise(frames)} == {15, 16}


@pytest.mark.parametrize(("name", "count"), [("robots-18", 300), ("sk-gs-robots", 50)])
def test_robots_of_later_work(name: str, count: int) -> None:
    protocol = PROTOCOLS[name]
    for robot_name in ROBOTS:
        robot = find_subject(protocol, f"some/where/{robot_name}")
        assert (robot.name, list(robot.train_cameras)) == (robot_name, EIGHTEEN)
        trained = trained_as(protocol, robot, cameras=range(20), frames=1000)
        assert differences(protocol, robot, trained) == []
        assert measured_views(protocol, robot, trained) == ([0, 10], list(range(count)))


@pytest.mark.parametrize("name", ["zju-novel-view", "zju-novel-pose", "zju-mpjpe"])
def test_people(name: str) -> None:
    protocol = PROTOCOLS[name]
    assert [subject.name for subject in protocol.subjects] == PEOPLE
    person = find_subject(protocol, "/data/CoreView_377")
    assert (person.name, person.config) == ("377", "zju-377")
    trained = trained_as(protocol, person, cameras=range(1, 24), frames=617)  # 80 %: 493.6
    assert set(person.train_cameras) == {1, 5, 9, 13, 17, 21}
    assert differences(protocol, person, trained) == []
    assert protocol.background == -1
    if name == "zju-mpjpe":
        return
    cameras, frames = measured_views(protocol, person, trained)
    if name == "zju-novel-view":
        others = [i for i in range(1, 24) if i not in (1, 5, 9, 13, 17, 21)]
        assert cameras == [2, 6, 10, 15, 19] == [others[int(17 * k / 5)] for k in range(5)]
        assert frames == [int(492 * k / 19) for k in range(20)]  # 0 to 492 of 0 to 492: int(0.8 * 617) = 493
    else:
        assert cameras == [1, 5, 10, 14, 19] == [1 + int(23 * k / 5) for k in range(5)]
        assert frames == [493 + int((616 - 493) * k / 19) for k in range(20)]


def test_differences_are_named() -> None:
    protocol = PROTOCOLS["zju-novel-pose"]
    person = find_subject(protocol, "366")
    trained = trained_as(
        protocol,
        person,
        cameras=range(1, 24),
        frames=100,
        size=128,
        background=1.0,
        driven_by="joints",
    )
    changed = trained_as(protocol, person, cameras=range(1, 24), frames=100)
    assert differences(protocol, person, trained) == [
        "its images are 128 pixels large, not 512",
        "its background is 1, not -1",
        "its poses are driven by joints, not by points of the surface",
    ]
    other = Trained(**{**vars(changed), "cameras": (1, 2, 3, 9), "frames": (0, 1, 2, 50)})
    assert differences(protocol, person, other) == [
        "it was trained on cameras 1 to 3, 9, not on 1, 5, 9, 13, 17, 21",
        "it was trained on frames 0 to 2, 50, not on 0 to 79 (0:80%)",
    ]
    protocol = PROTOCOLS["robots-18"]
    robot = find_subject(protocol, "mine")
    assert (robot.name, robot.config) == ("mine", None)
    short = Trained((0, 1), tuple(range(60)), tuple(range(20)), tuple(range(60)), 512, 1.0, None, "mine")
    assert differences(protocol, robot, short) == [
        "it was trained on cameras 0, 1, not on 1 to 9, 11 to 19",
        "cameras tested that it was trained on: 0",
        "its recording has 60 frames, too few for 0:300",
    ]


def test_what_cannot_be_measured() -> None:
    with pytest.raises(UserError, match=r"kuka_iiwa_2 is not among the subjects of robots.*atlas=RUN"):
        find_subject(PROTOCOLS["robots"], "data/kuka_iiwa_2")
    assert find_subject(PROTOCOLS["robots"], "data/kuka_iiwa_2", "iiwa").name == "iiwa"
    protocol = PROTOCOLS["robots-18"]
    robot = find_subject(protocol, "mine")
    few = Trained(tuple(range(5)), (0, 1), tuple(range(6)), (0, 1), 512, 1.0, None, "mine")
    with pytest.raises(UserError, match="there is no camera 10"):
        measured_views(protocol, robot, few)
    protocol = PROTOCOLS["zju-novel-pose"]
    person = find_subject(protocol, "366")
    everything = tuple(range(50))
    all_seen = Trained((1,), everything, tuple(range(1, 24)), everything, 512, -1.0, "points", "366")
    with pytest.raises(UserError, match=r"no frame of 80%: was not trained on"):
        measured_views(protocol, person, all_seen)


def test_training_commands_train_the_split() -> None:
    """What a person would copy from the error, read by the command line itself."""
    for protocol in PROTOCOLS.values():
        subjects = list(protocol.subjects)
        if protocol.name != "robots":
            subjects.append(find_subject(protocol, "my own"))
        for subject in subjects:
            command = train_command(protocol, subject, "some/folder")
            assert command[:2] == ["wim-fast", "train"]
            args = _parse(command[1:])
            scene = load_config(None, config_overrides(args), config_file=args.config).scene
            assert scene.scene == "some/folder"
            assert scene.train_cameras == subject.train_cameras
            assert scene.size == 512
            assert scene.frames == protocol.train_frames
            assert scene.background == protocol.background
            if protocol.group == "novel views" and protocol.test_cameras:
                assert scene.test_cameras == protocol.test_cameras
    atlas = find_subject(PROTOCOLS["robots"], "atlas")
    short = ["wim-fast", "train", "--config", "atlas", "--scene", "x"]
    assert train_command(PROTOCOLS["robots"], atlas, "x") == short


def test_evenly_and_numbers() -> None:
    assert evenly(range(10, 15), 3) == [10, 12, 14]
    assert evenly(range(10, 16), 4) == [10, 11, 13, 15]  # steps of 1.67, rounded down
    assert evenly(range(5), None) == evenly(range(5), 9) == [0, 1, 2, 3, 4]
    assert numbers([3, 1, 2, 7, 9, 8, 12, 13]) == "1 to 3, 7 to 9, 12, 13"
    assert numbers([]) == "none"


def test_seeds_and_subjects() -> None:
    assert means([{"psnr": 20.0}, {"psnr": 30.0, "iou": 0.5}, {"psnr": float("nan")}], ["psnr", "iou"]) == {
        "psnr": 25.0,
        "iou": 0.5,
    }
    values = [30.0, 31.0, 33.5]
    three = subject_line("a", [{"psnr": v} for v in values], False)
    assert three.values["psnr"].mean == pytest.approx(statistics.mean(values))
    assert three.values["psnr"].deviation == pytest.approx(statistics.stdev(values))
    one = subject_line("b", [{"psnr": 20.0, "iou": 0.9}], True)
    assert one.values["psnr"] == (20.0, None)
    mean = mean_line([three, one])
    assert mean is not None
    assert mean.values["psnr"].mean == pytest.approx((31.5 + 20) / 2)  # a subject counts once
    assert mean.values["iou"].mean == 0.9
    assert (mean.runs, mean.marked) == (4, True)
    assert mean_line([one]) is None


def check_latex(text: str) -> list[list[str]]:
    """The cells of the table's rows; balanced, and as many in each row as there are columns."""
    plain = re.sub(r"\\[{}%&$#_]", "", re.sub(r"(?m)^%.*$", "", text))
    assert plain.count("{") == plain.count("}")
    assert plain.count("$") % 2 == 0
    assert re.findall(r"\\(begin|end)\{tabular\}", text) == ["begin", "end"]
    columns = len(re.search(r"\\begin\{tabular\}\{(\w+)\}", text)[1])
    body = text.split(r"\toprule")[1].split(r"\bottomrule")[0]
    rows = [row.strip() for row in body.split("\\\\\n")]
    assert rows.pop() == ""
    cells = [re.split(r"(?<!\\)&", re.sub(r"\\midrule\s*", "", row)) for row in rows]
    assert all(len(row) == columns for row in cells)
    assert text.isascii()
    return [[cell.strip() for cell in row] for row in cells]


def test_latex_and_table() -> None:
    protocol = PROTOCOLS["robots-18"]
    lines = [
        subject_line(
            "odd_name & 5% {x}\\~^#$", [{"psnr": 30.0, "iou": 0.9}, {"psnr": 31.0, "iou": 0.9}], False
        ),
        subject_line("[red]nao", [{"psnr": 20.0}], True),
    ]
    mean = mean_line(lines)
    assert mean is not None
    lines.append(mean)
    text = latex(protocol, lines, ["† nao is 50 % wrong & marked", "± is a deviation"])
    head, odd, nao, last = check_latex(text)
    assert head == ["", r"PSNR (dB) $\uparrow$", r"mask IoU, ours $\uparrow$"]
    assert odd[0] == r"odd\_name \& 5\% \{x\}\textbackslash{}\textasciitilde{}\textasciicircum{}\#\$"
    assert odd[1] == r"$30.50 \pm 0.71$"
    assert nao == [r"[red]nao$^\dagger$", "$20.00$", "--"]
    assert last[:2] == [r"mean$^\dagger$", "$25.25$"]
    assert r"50 \% wrong \& marked" in text
    assert text.count(r"\midrule") == 2
    console = Console(width=120)
    with console.capture() as capture:
        console.print(*tables(protocol, lines))
    shown = capture.get()
    assert "30.50 ±0.71" in shown
    assert "[red]nao †" in shown
    assert "SSIM" not in shown
    check_latex(latex(protocol, lines[1:2], []))


def test_the_page_names_every_protocol() -> None:
    """docs/protocols.md has a row for each, with the published frames."""
    page = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text(encoding="utf-8")
    for name in PROTOCOLS:
        assert f"| `{name}` |" in page
    assert " ".join(map(str, EIGHTEEN)) in page
    novel = PROTOCOLS["zju-novel-view"].test_cameras, PROTOCOLS["zju-novel-pose"].test_cameras
    assert all(f"cameras {', '.join(map(str, cameras))}" in page for cameras in novel)
