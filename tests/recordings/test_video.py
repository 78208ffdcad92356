"""Frames by number: whatever the timestamps, key frames and orders of storage are."""

import numpy as np
import pytest
from errors import refused
from filmed_scene import write_video

from wim_fast.recordings.video import Video

COUNT = 90


def numbered(n: int) -> np.ndarray:
    """The frame's number in eight blocks of black and white."""
    bits = [(n >> k) & 1 for k in range(8)]
    return np.repeat(np.kron(np.array(bits).reshape(2, 4), np.ones((16, 16)))[..., None] * 255, 3, -1).astype(
        np.uint8
    )


def number(image: np.ndarray) -> int:
    blocks = image[..., 0].reshape(2, 16, 4, 16).mean((1, 3)).ravel() > 127
    return int((blocks * 2 ** np.arange(8)).sum())


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-g", "300"),
        ("-bf", "0", "-g", "7"),
        ("-output_ts_offset", "1.37"),
        ("-vf", "settb=1/30000,setpts=N*1001", "-x264-params", "open-gop=1:keyint=12:bframes=4:b-pyramid=2"),
        ("-vf", r"settb=1/1000,setpts=if(lt(N\,40)\,N*33\,2000+N*50)+7"),
    ],
)
def test_every_frame_is_the_one_it_is_called(tmp_path, options):
    if "-vf" in options:  # with these timestamps, not with what the nearest frames of 25 per second are
        options = (*options, "-enc_time_base", "filter", "-fps_mode", "passthrough")
    write_video(tmp_path / "a.mp4", [numbered(n) for n in range(COUNT)], *options)
    video = Video(tmp_path / "a.mp4")
    assert len(video) == COUNT
    for wanted in ([0, 1, 2], [COUNT - 1], [37, 5, 38, 88, 5], [11], list(range(40, 50))):
        found = [(n, number(image)) for n, image in video.frames(wanted)]
        assert found == [(n, n) for n in sorted(set(wanted))]
    image = next(iter(video.frames([21])))[1]
    assert image.shape == (32, 64, 3)
    assert np.abs(image.astype(int) - numbered(21)).max() < 12


def test_what_is_no_video(tmp_path):
    write_video(tmp_path / "a.mp4", [numbered(n) for n in range(30)])
    content = (tmp_path / "a.mp4").read_bytes()
    bad = tmp_path / "bad.mp4"
    playlist = f"ffconcat version 1.0\nfile {tmp_path / 'a.mp4'}\n".encode()
    for text in (b"", b"hello", playlist, b"#EXTM3U\nfile:///etc/passwd\n", content[:200]):
        bad.write_bytes(text)
        with refused(bad):
            Video(bad)
    with refused(tmp_path / "none.mp4"):
        Video(tmp_path / "none.mp4")
    with refused(tmp_path / "a.mp4", "frame 30", "30 frames"):
        list(Video(tmp_path / "a.mp4").frames([3, 30]))


def test_names_that_look_like_options_or_addresses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("-y.mp4", "concat:x.mp4", "100%d.mp4"):
        write_video(tmp_path / "a.mp4", [numbered(n) for n in range(3)])
        (tmp_path / "a.mp4").rename(tmp_path / name)
        assert len(Video(tmp_path / name)) == 3
