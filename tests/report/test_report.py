"""`wim-fast report`: the page of folders that tell little, much, and lies, and what a browser makes of it."""

from __future__ import annotations

import importlib.util
import json
from html.parser import HTMLParser
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from chromium import chromium, executable

from wim_fast.cli import main
from wim_fast.config import load_config, to_yaml
from wim_fast.drawing.images import write_video
from wim_fast.report.course import read_course, thinned
from wim_fast.report.curves import Curve, chart
from wim_fast.report.markup import element
from wim_fast.report.media import Media
from wim_fast.report.report import names_of, write_report
from wim_fast.report.run_content import turns_filed
from wim_fast.report.table import Column, Table

EVIL = '<script>alert("&")</script>'
needs_browser = pytest.mark.skipif(
    executable() is None or importlib.util.find_spec("websockets") is None,
    reason="Chromium, or the package websockets to drive it, is not installed",
)


def metrics(step: int, speed: float = 20.0, **losses: float) -> str:
    terms = {"photo": 1.0 / step, "eikonal": 0.01, **losses}
    psnr = 20 + step / 20
    return json.dumps(
        {"step": step, "psnr": psnr, "loss": sum(terms.values()), "losses": terms, "steps_per_second": speed}
    )


def write_run(folder: Path, *, scene: str = "dog", name_of_loss: str = "merge", **settings: object) -> Path:
    """A folder as training leaves it: 100 steps in five seconds."""
    (folder / "preview").mkdir(parents=True)
    (folder / "config.yaml").write_text(to_yaml(load_config("dog", {**settings, "scene": scene})))
    lines = [metrics(step, **({name_of_loss: 0.1} if step > 50 else {})) for step in range(10, 101, 10)]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    views = {"psnr": 28.25, "ssim": 0.9632, "iou": 0.9336, "images": 24}
    joints = {"error": 0.0123, "error_paper_ridge": 0.03, "error_least_norm": 0.01, "error_mean_pose": 0.07}
    joints |= {"extent": 1.2, "num_fit_frames": 6, "num_test_frames": 54}
    evaluation = {
        "step": 100,
        "training cameras": {**views, "psnr": 29.5},
        "test cameras": views,
        "joints": joints,
    }
    evaluation["unconfirmed"] = {"unseen": 0.0, "hidden": 0.25}
    evaluation["abrupt_turns"] = {"parts": [0, 5], "frames": [13, 31]}
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    machine = {"from_step": 0, "processor": "A Processor", "cores": 2, "threads": 1, "gpu": None}
    (folder / "machine.json").write_text(json.dumps([{**machine, "commit": "0123abc", "torch": "2.9"}]))
    for step in (50, 100):
        iio.imwrite(folder / "preview" / f"step_{step:06d}.png", np.full((40, 160, 3), step, np.uint8))
    return folder


def make(tmp_path: Path, *folders: Path) -> tuple[str, str]:
    """The page and its tables."""
    report = write_report(folders, tmp_path / "out", force=True)
    return report.page.read_text(), report.tables.read_text()


class Reader(HTMLParser):
    """Elements, attributes and texts of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_what_the_files_say_is_on_the_page(tmp_path: Path) -> None:
    one, two = write_run(tmp_path / "one"), write_run(tmp_path / "two", scene="films/arm", parts=7)
    write_video(one / "render" / "turntable.mp4", np.zeros((3, 16, 16, 3), np.uint8), 5, least=16)
    page, tables = make(tmp_path, one, two)
    row = "| one | dog | 40 | 100 | 0.1 | 29.50 | 0.9632 | 0.9336 | 28.25 | 0.9632 | 0.9336 | 1.23 % |"
    assert row in tables
    assert "| model.parts | none | 40 | 7 |" in tables
    assert "films" not in page + tables  # where a scene lies is nobody's business
    read = Reader(page)
    notes = "25.0% on sides that none of them sees (guessed)", "parts 0 and 5 turn much faster"
    for text in ("28.25", "1.23 %", *notes, "commit 0123abc"):
        assert any(text in t for t in read.texts), text
    sources = [attributes["src"] for _, attributes in read.tags if "src" in attributes]
    assert [source.split(";")[0] for source in sources if source].count("data:video/mp4") == 1
    assert all(source and source.startswith("data:") for source in sources)
    assert all(attributes.get("alt") for tag, attributes in read.tags if tag == "img")
    assert not {"script", "link", "iframe"} & {tag for tag, _ in read.tags}
    assert sum(tag == "polyline" for tag, _ in read.tags) == 2 * (4 + 2 * 3)


def test_what_evaluate_measured_goes_first_unless_training_went_on(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "evaluation").mkdir()
    asked = {"step": 100, "summary": {"novel poses": {"psnr": 27.125, "lpips": 0.0321, "images": 10}}}
    asked["driving"] = {"driven_by": "points", "held_out_error": 0.01}
    (run / "evaluation" / "metrics.json").write_text(json.dumps(asked))
    page, tables = make(tmp_path, run)
    assert "measured by wim-fast evaluate" in tables
    assert "0.0321" in tables
    assert "driven by the true points" in page
    (run / "evaluation" / "metrics.json").write_text(json.dumps({**asked, "step": 50}))
    page, tables = make(tmp_path, run)
    assert "0.0321" not in tables
    assert "another step" in page


@pytest.mark.parametrize(
    "content", [None, [], {"parts": [1]}, {"parts": [1], "frames": ["x"]}, {"parts": 1, "frames": 2}]
)
def test_damaged_turns_are_left_out(content: object) -> None:
    assert turns_filed(content) is None


def test_protocols_and_ablations_stand_beside_the_runs(tmp_path: Path) -> None:
    protocol, ablation = tmp_path / "protocol", tmp_path / "ablation"
    one, several = {"mean": 21.875, "deviation": None}, {"mean": 22.0, "deviation": 0.125}
    lines = [{"name": "ball", "runs": 1, "as_published": False, "psnr": one, "a_metric": several}]
    content = {"protocol": {"name": "zju", "title": "People"}, "table": lines, "notes": ["Few."]}
    variants = [
        {"variant": "ours", "label": "ours", "settings": {}, "runs": 3, "psnr": several, "joint_error": one},
        {"variant": "no-hull", "label": "without hull loss", "settings": {"hull_weight": 0.0}, "runs": 0},
    ]
    for folder, text in ((protocol, content), (ablation, {"scene": "films/dog", "table": variants})):
        folder.mkdir()
        (folder / f"{folder.name}.json").write_text(json.dumps(text))
    iio.imwrite(ablation / "pictures.png", np.zeros((8, 8, 3), np.uint8))
    page, tables = make(tmp_path, protocol, ablation)
    assert "|   | PSNR (dB) | a metric | runs |" in tables
    assert "| ball † | 21.88 | 22 ± 0.125 | 1 |" in tables
    assert "| ours |   | 22.00 ± 0.12 | 21.88 | 3 |" in tables
    assert "| without hull loss | hull_weight 0 |   |   | 0 |" in tables
    assert "Few." in page
    assert sum(tag == "img" for tag, _ in Reader(page).tags) == 1


def test_nothing_from_a_file_becomes_markup(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", scene=EVIL.replace("/", ""), name_of_loss=EVIL)
    (run / "machine.json").write_text(json.dumps([{"from_step": 0, "processor": EVIL, "gpu": EVIL}]))
    protocol = {"protocol": {"name": EVIL, "title": EVIL}, "table": [{"name": EVIL, "psnr": {"mean": EVIL}}]}
    other = tmp_path / "protocol"
    other.mkdir()
    (other / "protocol.json").write_text(json.dumps({**protocol, "notes": [EVIL]}))
    page, tables = make(tmp_path, run, other)
    assert "script" not in {tag for tag, _ in Reader(page).tags}
    assert page.count(EVIL) == 0
    assert f"\\{EVIL}"[:9] in tables
    assert EVIL not in tables.replace("\\<", "")


def test_a_run_that_tells_little(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A config.yaml alone; pictures, videos, lines and numbers that are none; links that lead out."""
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "config.yaml").write_text(to_yaml(load_config("dog", {})))
    hurt = write_run(tmp_path / "hurt")
    with (hurt / "metrics.jsonl").open("a") as file:
        file.write(
            '{"step": 110, "los\n'
            + metrics(20)
            + "\n[]\n"
            + metrics(120).replace('"psnr": 26.0', '"psnr": NaN')
        )
    (hurt / "preview" / "step_000100.png").write_text("no picture")
    (hurt / "film.mp4").write_text("no film")
    (hurt / "evaluation.json").write_text(
        '{"step": "x", "test cameras": {"psnr": "high", "iou": 0.5}, "joints": 3}'
    )
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(b"0000ftyp")
    (hurt / "linked.mp4").symlink_to(secret)
    assert main(["report", str(bare), str(hurt), "--output", str(tmp_path / "out")]) == 0
    told, page = capsys.readouterr().out, (tmp_path / "out" / "report.html").read_text()
    assert "bare: It is not measured: wim-fast evaluate does that." in told
    for text in (
        "3 damaged lines left out (number 11, 12, 13)",
        "step_000100.png is no picture",
        "film.mp4 is no MP4",
    ):
        assert text in told
        assert text in page
    assert "linked" not in page
    assert "| hurt | dog | 40 | 120 | 0.1 | 0.5000 |" in (tmp_path / "out" / "report.md").read_text()


def test_what_is_no_run_and_what_is_in_the_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, out = write_run(tmp_path / "run"), ["--output", str(tmp_path / "out")]
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "protocol.json").write_text("[")
    for folders, problem in (
        ([tmp_path / "none"], "there is no such folder"),
        ([tmp_path], "holds none of config.yaml, protocol.json, ablation.json"),
        ([run, run], "is named twice"),
        ([broken], "is damaged"),
    ):
        assert main(["report", *map(str, folders), *out]) == 2
        assert problem in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main(["report", str(run), *out]) == 0
    assert main(["report", str(run), *out]) == 2
    assert "--force" in capsys.readouterr().err
    assert main(["report", str(run), *out, "--force"]) == 0


def test_what_has_no_room_is_left_out_and_told(tmp_path: Path) -> None:
    film = write_video(tmp_path / "film.mp4", np.zeros((3, 16, 16, 3), np.uint8), 5, least=16)
    media = Media(room=film.stat().st_size)
    assert media.video(film, "film", "film") == ""
    assert "is left out" in media.summary()[0]
    iio.imwrite(tmp_path / "wide.png", np.zeros((4, 2000, 3), np.uint8))
    assert "<img" in Media().picture(tmp_path / "wide.png", "wide", "wide")


def test_names_are_as_long_as_tells_runs_apart() -> None:
    folders = [
        Path(p) for p in ("/a/dog", "/a/ours/seed_0", "/b/paper/seed_0", "/b/ours/seed_0", "/b/ours/seed_1")
    ]
    assert names_of(folders) == ["dog", "a/ours/seed_0", "paper/seed_0", "b/ours/seed_0", "seed_1"]


def test_time_is_that_of_the_steps(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("\n".join([metrics(20, 10), metrics(40, 20), metrics(45, 5)]))
    course = read_course(path)
    assert course.seconds.tolist() == [2, 3, 4]
    assert list(course.losses) == ["total", "photo", "eikonal"]


def test_means_of_neighbours() -> None:
    x, y = thinned(np.arange(6.0), np.array([1, 3, np.nan, 5, 7, 9.0]), 3)
    assert x.tolist() == [0.5, 3.5, 5]
    assert y.tolist() == [2, 6, 9]


@pytest.mark.parametrize("logarithmic", [False, True])
@pytest.mark.parametrize(
    "y", [[3.0], [2, 2, 2], [1e-9, 1e-3, 2e5], [0.11, 0.13, 0.19], [0, -1, 1], [1e12, 3e12, 2e12]]
)
def test_a_chart_of_any_numbers_stays_on_its_paper(y: list[float], logarithmic: bool) -> None:
    drawn = chart(
        "t", [Curve("a", 0, np.arange(1.0, len(y) + 1), np.array(y, float))], "x", logarithmic=logarithmic
    )
    read = Reader(drawn)
    (points,) = [a["points"] for tag, a in read.tags if tag == "polyline"]
    places = np.array([p.split(",") for p in str(points).split()], float)
    assert np.isfinite(places).all()
    assert ((places >= 0) & (places <= (560, 300))).all()
    assert 2 <= sum(a.get("class") == "y tick" for _, a in read.tags) <= 12


def test_markup_and_markdown_escape() -> None:
    assert element("p", "<b>", title='"') == '<p title="&quot;">&lt;b&gt;</p>'
    assert "\\| c" in Table("t", [Column("a")], [["b | c"]]).markdown()


@needs_browser
def test_a_browser_shows_it_in_light_dark_and_on_a_phone(tmp_path: Path) -> None:
    """From the disk, without a script: pictures and the film are there, and the page is no wider than the screen."""
    run = write_run(tmp_path / "run", name_of_loss="a_name_" * 20)
    write_video(run / "render" / "turntable.mp4", np.zeros((3, 16, 16, 3), np.uint8), 5, least=16)
    page = write_report([run, write_run(tmp_path / "two")], tmp_path / "out").page
    with chromium(page.as_uri(), tmp_path / "profile", 1360, 800) as tab:
        tab.wait_for("document.readyState === 'complete'")
        tab.wait_for("[...document.images].every(i => i.naturalWidth === 160)")
        tab.wait_for("document.querySelector('video').readyState >= 1")
        colors = set()
        for scheme in ("light", "dark"):
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            tab.call("Emulation.setEmulatedMedia", features=features)
            colors.add(tab.evaluate("getComputedStyle(document.documentElement).backgroundColor"))
            colors.add(tab.evaluate("getComputedStyle(document.querySelector('.c0')).stroke"))
        assert len(colors) == 4
        size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        tab.call("Emulation.setDeviceMetricsOverride", **size)
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390
