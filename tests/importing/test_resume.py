"""An import that was interrupted goes on where it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from filmed_scene import Film
from paper_recordings import write_folders, write_opencv
from tiny_scene import ring

from wim_fast.importing import pixels, scene_folder
from wim_fast.importing.scene_folder import plan_import, write_import
from wim_fast.recordings.film import BackgroundFilm, MaskedFilm

FRAMES, CAMERAS = 10, 3


@pytest.fixture
def recording(tmp_path):
    film = Film(eyes=ring(CAMERAS), frames=FRAMES, width=60, height=48, lens=(0.0,) * 5)
    write_folders(tmp_path / "film", film, [f"cam{v}" for v in range(CAMERAS)], tmp_path / "film" / "masks")
    write_opencv(tmp_path / "film" / "cameras", film, [f"cam{v}" for v in range(CAMERAS)], vectors=False)
    return tmp_path / "film"


class Stop(BaseException):
    pass


def after(count):
    """Raises at the call of this number."""
    left = iter(range(count))

    def step():
        if next(left, None) is None:
            raise Stop

    return step


def files(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix in (".png", ".json")}


def read_frames(monkeypatch, film):
    """(camera, frame) of all that is read of colours from now on."""
    read = []
    stream = film.stream

    def counted(self, frames):
        for taken in stream(self, frames):
            read.append((self.where.name, taken.frame))
            yield taken

    monkeypatch.setattr(film, "stream", counted)
    return read


def test_it_goes_on_and_makes_the_same_scene(recording, tmp_path, monkeypatch):
    monkeypatch.setattr(pixels, "SAMPLE_SIZE", 2)
    write_import(plan_import(recording), tmp_path / "whole")
    with pytest.raises(Stop):
        write_import(plan_import(recording), tmp_path / "scene", on_image=after(20))
    assert not (tmp_path / "scene").exists()
    there = len(list((tmp_path / "scene.unfinished").glob("frame_*.png")))
    assert there >= 20
    said, read, images = [], read_frames(monkeypatch, MaskedFilm), []
    write_import(
        plan_import(recording), tmp_path / "scene", say=said.append, on_image=lambda: images.append(1)
    )
    assert said == [f"going on with {tmp_path / 'scene.unfinished'}"]
    assert len(read) <= CAMERAS * FRAMES - there + 2 * CAMERAS  # the rest, and those that are looked at
    assert len(images) == CAMERAS * FRAMES
    assert files(tmp_path / "scene") == files(tmp_path / "whole")
    assert not (tmp_path / "scene" / "work").exists()


def test_masks_that_were_found_are_not_looked_for_again(recording, tmp_path, monkeypatch):
    with pytest.raises(Stop):
        write_import(plan_import(recording, masks="background"), tmp_path / "scene", on_image=after(5))
    read = read_frames(monkeypatch, BackgroundFilm)
    imported = write_import(plan_import(recording, masks="background"), tmp_path / "scene")
    assert read == []
    assert all(sighting.background["share"] > 0 for sighting in imported.sightings)


@pytest.mark.parametrize("change", ["size", "frames", "files", "version"])
def test_what_is_of_something_else_is_not_used(recording, tmp_path, monkeypatch, change):
    with pytest.raises(Stop):
        write_import(plan_import(recording), tmp_path / "scene", on_image=after(20))
    if change == "files":
        os.utime(recording / "cam1" / "0003.png", (1, 1))
    if change == "version":
        monkeypatch.setattr(scene_folder, "__version__", "99")
    settings = {"size": {"size": 20}, "frames": {"frames": "0:5"}}.get(change, {})
    said = []
    write_import(plan_import(recording, **settings), tmp_path / "scene", say=said.append)
    assert said == [f"{tmp_path / 'scene.unfinished'} is of other files or settings: beginning anew"]
    assert len(list((tmp_path / "scene").glob("frame_*.png"))) == CAMERAS * (5 if change == "frames" else 10)


def test_an_image_that_was_being_written_is_written_again(recording, tmp_path):
    """After the process is killed."""
    write_import(plan_import(recording), tmp_path / "whole")
    code = (
        "import sys, time; from pathlib import Path; from wim_fast.importing.scene_folder import *;"
        "write_import(plan_import(Path(sys.argv[1])), Path(sys.argv[2]), on_image=lambda: time.sleep(0.2))"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(recording), str(tmp_path / "scene")]) as process:
        unfinished = tmp_path / "scene.unfinished"
        while process.poll() is None and len(list(unfinished.glob("frame_*.png"))) < 7:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert len(list(unfinished.glob("frame_*.png"))) >= 7
    (unfinished / f".frame_00009_cam_002.png.{process.pid}.tmp").write_bytes(b"half")
    write_import(plan_import(recording), tmp_path / "scene")
    assert files(tmp_path / "scene") == files(tmp_path / "whole")
    assert not list((tmp_path / "scene").glob(".*"))


def test_a_folder_of_that_name_is_not_touched(recording, tmp_path):
    (tmp_path / "scene.unfinished").mkdir()
    (tmp_path / "scene.unfinished" / "mine").touch()
    with pytest.raises(scene_folder.UserError, match="is in the way"):
        write_import(plan_import(recording), tmp_path / "scene")
    assert (tmp_path / "scene.unfinished" / "mine").is_file()


def test_background_is_subtracted_once(recording, tmp_path, monkeypatch):
    """The second pass takes the masks of the first."""
    read = read_frames(monkeypatch, BackgroundFilm)
    imported = write_import(plan_import(recording, masks="background"), tmp_path / "scene")
    assert len(read) == CAMERAS * FRAMES
    assert np.isin(imported.sample.masks, (0, 1)).all()
