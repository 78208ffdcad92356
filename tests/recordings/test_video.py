"""Frames by number: whatever the timestamps, key frames and orders of storage are."""

import subprocess

import numpy as np
import pytest
from errors import refused
from filmed_scene import write_video
from imageio_ffmpeg import get_ffmpeg_exe

from wim_fast.recordings import video as video_module
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


XVID = ("-c:v", "mpeg4", "-vtag", "XVID", "-q:v", "2", "-bf", "2", "-g", "12", "-pix_fmt", "yuv420p")
VP9 = ("-c:v", "libvpx-vp9", "-g", "12", "-pix_fmt", "yuv420p", "-b:v", "1M")
VP8 = ("-c:v", "libvpx", "-g", "12", "-pix_fmt", "yuv420p", "-b:v", "1M", "-auto-alt-ref", "1")


def copied(source, target, *options):
    """By ffmpeg -c copy, which keeps packets as they are."""
    command = [get_ffmpeg_exe(), "-v", "quiet", "-y", *options, "-i", str(source), "-c", "copy", str(target)]
    subprocess.run(command, check=True)


@pytest.mark.parametrize(
    ("name", "options"), [("a.avi", XVID), ("a.avi", ()), ("a.webm", VP9), ("a.webm", VP8), ("a.mkv", ())]
)
def test_other_containers(tmp_path, name, options):
    write_video(tmp_path / name, [numbered(n) for n in range(COUNT)], *options)
    video = Video(tmp_path / name)
    assert len(video) == COUNT
    found = [(n, number(image)) for n, image in video.frames([70, 3, 37, 38])]
    assert found == [(n, n) for n in (3, 37, 38, 70)]


def test_xvid_that_was_copied_into_an_mp4(tmp_path):
    """Its pictures have each other's times: they are counted as they are decoded."""
    write_video(tmp_path / "a.avi", [numbered(n) for n in range(COUNT)], *XVID)
    copied(tmp_path / "a.avi", tmp_path / "a.mp4")
    video = Video(tmp_path / "a.mp4")
    assert [number(image) for _, image in video.frames(range(len(video)))] == list(range(COUNT))
    assert [number(image) for _, image in video.frames([61])] == [61]


def test_pictures_with_each_others_times_are_refused(tmp_path):
    write_video(tmp_path / "a.avi", [numbered(n) for n in range(COUNT)])
    copied(tmp_path / "a.avi", tmp_path / "a.mp4")
    with refused(tmp_path / "a.mp4", "the place of frame"):
        list(Video(tmp_path / "a.mp4").frames([50]))


class NoSeek(Video):
    """From the start, always."""

    def __init__(self, file):
        super().__init__(file)
        self._keys = []


@pytest.mark.parametrize(("name", "options"), [("a.mp4", ("-g", "9")), ("a.webm", VP9), ("a.avi", XVID)])
def test_a_seek_shows_what_decoding_from_the_start_shows(tmp_path, name, options):
    write_video(tmp_path / name, [numbered(n) for n in range(COUNT)], *options)
    wanted = [20, 55, 89]
    for (_, ours), (_, theirs) in zip(
        Video(tmp_path / name).frames(wanted), NoSeek(tmp_path / name).frames(wanted), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_a_key_frame_that_is_none(tmp_path):
    """The file says that decoding can start there: it cannot, and what comes out is seen to be something else."""
    write_video(tmp_path / "a.mp4", [numbered(n) for n in range(COUNT)], "-g", "300", "-sc_threshold", "0")
    video = Video(tmp_path / "a.mp4")
    assert not video._keys
    video._keys = [video_module._Start(40, video._times[40], video._times[40])]
    assert [number(image) for _, image in video.frames([40, 42])] == [40, 42]


def test_pictures_are_turned_as_the_file_says(tmp_path):
    write_video(tmp_path / "a.mp4", [numbered(5)] * 3)
    upright = next(iter(Video(tmp_path / "a.mp4").frames([0])))[1]
    copied(tmp_path / "a.mp4", tmp_path / "b.mp4", "-display_rotation", "90")
    turned = next(iter(Video(tmp_path / "b.mp4").frames([0])))[1]
    np.testing.assert_array_equal(turned, np.rot90(upright))


def test_damage_is_said(tmp_path):
    write_video(tmp_path / "a.mp4", [numbered(n) for n in range(COUNT)])
    content = bytearray((tmp_path / "a.mp4").read_bytes())
    middle = content.index(b"mdat") + 2000
    content[middle : middle + 200] = bytes(200)
    (tmp_path / "a.mp4").write_bytes(content)
    with refused(tmp_path / "a.mp4", "frame", "cannot be decoded"):
        list(Video(tmp_path / "a.mp4").frames(range(COUNT)))


def test_what_is_no_video(tmp_path):
    write_video(tmp_path / "a.mp4", [numbered(n) for n in range(30)])
    content = (tmp_path / "a.mp4").read_bytes()
    bad = tmp_path / "bad.mp4"
    playlist = f"ffconcat version 1.0\nfile {tmp_path / 'a.mp4'}\n".encode()
    for text in (b"", b"hello", playlist, b"#EXTM3U\nfile:///etc/passwd\n", content[:200]):
        bad.write_bytes(text)
        with refused(bad):
            Video(bad)
    for ending in (".avi", ".mkv", ".webm"):  # each file is read as what its name says
        other = tmp_path / f"bad{ending}"
        for text in (content, playlist, b"#EXTM3U\nfile:///etc/passwd\n"):
            other.write_bytes(text)
            with refused(other):
                Video(other)
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
