"""The evaluation protocols of the paper and of later work, as data: what is trained on, and what is measured.

docs/protocols.md says the same for people, and of every detail whether it is the source's or ours.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wim_fast.errors import UserError
from wim_fast.recordings.selection import camera_positions, parse_frames

NOVEL_VIEWS, NOVEL_POSES, JOINTS = "novel views", "novel poses", "joints"
OUR_DRIVING = "_our_driving"  # ends the name of a metric of novel poses that were driven by our map


@dataclass(frozen=True)
class Subject:
    """A recording of a data set.

    Attributes:
        name: of its row in the table.
        train_cameras: ids.
        config: its settings in `configs/`; None for a recording that is not the data set's.
        folders: what its folder may be called.
    """

    name: str
    train_cameras: tuple[int, ...]
    config: str | None
    folders: tuple[str, ...] = ()


@dataclass(frozen=True)
class Protocol:
    """What runs must have been trained on, and what of them is measured.

    Attributes:
        group: `NOVEL_VIEWS` of frames trained on, `NOVEL_POSES` of other frames (driven by the recording's
            true points, supplement A.10), or `JOINTS` (no views: true joints regressed from the parts).
        train_frames, test_frames: of all frames of the recording, as `--frames` writes them.
        test_cameras: ids; None: all that are not trained on.
        test_count: so many of the test frames, from first to last, see `evenly`; None: all.
        size: longer side of the images in pixels, in training and in test.
        background: as the setting: 1 white, -1 black.
        metrics: columns of the table, as the source measures.
        our_metrics: columns that we add, headed so.
        source: who measures so.
        ours: details that are not the source's.
        millimetres_per_unit: of the recording's files, for joint errors.
        driving_scale: units of the recording's files per unit of length in which poses are driven as published.
    """

    name: str
    title: str
    group: str
    subjects: tuple[Subject, ...]
    train_frames: str
    test_cameras: tuple[int, ...] | None
    test_frames: str
    test_count: int | None
    size: int
    background: float
    metrics: tuple[str, ...]
    our_metrics: tuple[str, ...]
    source: str
    ours: tuple[str, ...] = ()
    millimetres_per_unit: float = 1000.0
    driving_scale: float = 1.5


PEOPLE = tuple(
    Subject(name, (1, 5, 9, 13, 17, 21), f"zju-{name}", (name, f"CoreView_{name}", f"zju-{name}"))
    for name in ("366", "377", "381", "384", "387")
)
ROBOT_CAMERAS = {
    "atlas": (0, 2, 5, 13, 18),
    "baxter": (0, 2, 5, 13, 18),
    "cassie": (0, 3, 5, 10, 13),
    "iiwa": (0, 2, 4, 5, 13),
    "nao": (7, 10, 11, 14, 15),
    "pandas": (0, 2, 5, 10, 13),
    "spot": (0, 2, 5, 10, 13),
}
ALL_BUT_0_AND_10 = tuple(
    Subject(name, (*range(1, 10), *range(11, 20)), name, (name,)) for name in ROBOT_CAMERAS
)
PAPER_METRICS = ("ssim_paper", "lpips_vgg")
OUR_METRICS = ("psnr", "psnr_box", "ssim_box", "iou")
SSIM_IMAGES = "SSIM sees images in [0, 1]: which numbers the paper's images hold then is not said"
THEIR_METRICS = "how SSIM and LPIPS are computed: 11 x 11 Gaussian window, data range 1; VGG"

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="zju-novel-view",
            title="Novel views of people, ZJU-MoCap",
            group=NOVEL_VIEWS,
            subjects=PEOPLE,
            train_frames="0:80%",
            test_cameras=(2, 6, 10, 15, 19),
            test_frames="0:80%",
            test_count=20,
            size=512,
            background=-1.0,
            metrics=PAPER_METRICS,
            our_metrics=OUR_METRICS,
            source="Watch It Move: 20 of the frames trained on, on 5 of the cameras that were not trained on",
            ours=(SSIM_IMAGES,),
        ),
        Protocol(
            name="zju-novel-pose",
            title="Novel poses of people, ZJU-MoCap",
            group=NOVEL_POSES,
            subjects=PEOPLE,
            train_frames="0:80%",
            test_cameras=(1, 5, 10, 14, 19),
            test_frames="80%:",
            test_count=20,
            size=512,
            background=-1.0,
            metrics=PAPER_METRICS,
            our_metrics=(
                *OUR_METRICS,
                *(f"{key}{OUR_DRIVING}" for key in (*PAPER_METRICS, "psnr", "iou")),
            ),
            source="Watch It Move, supplement A.10: 20 of the last 20 % of the frames on 5 of all cameras, driven by"
            " all vertices of the body as they lie in the world (metres / 1.5), lambda 0.5",
            ours=(
                SSIM_IMAGES,
                "a recording without vertices is driven by all its joints (lambda 0.1, as published), and marked",
            ),
        ),
        Protocol(
            name="zju-mpjpe",
            title="Joints of people, ZJU-MoCap",
            group=JOINTS,
            subjects=PEOPLE,
            train_frames="0:80%",
            test_cameras=(),
            test_frames="0:80%",
            test_count=None,
            size=512,
            background=-1.0,
            metrics=("mpjpe",),
            our_metrics=("mpjpe_ridge", "mpjpe_mean_pose"),
            source="Watch It Move, supplement A.10, eq. 19: every 10th frame trained on fits the regression of the"
            " first 23 joints (least squares of least norm), the others test it",
        ),
        Protocol(
            name="robots",
            title="Robots of the paper, five training cameras",
            group=NOVEL_VIEWS,
            subjects=tuple(Subject(name, ids, name, (name,)) for name, ids in ROBOT_CAMERAS.items()),
            train_frames="0:300",
            test_cameras=None,
            test_frames="0:300",
            test_count=20,
            size=512,
            background=1.0,
            metrics=(),
            our_metrics=("psnr", "psnr_box", "ssim", "ssim_paper", "lpips_vgg", "iou"),
            source="Watch It Move, supplement C: 5 of 20 cameras and the first 300 frames are trained on",
            ours=(
                "what is tested: 20 frames on the 15 other cameras; the paper shows robots and has no numbers",
            ),
        ),
        Protocol(
            name="robots-18",
            title="Robots of the paper, 18 training cameras",
            group=NOVEL_VIEWS,
            subjects=ALL_BUT_0_AND_10,
            train_frames="0:300",
            test_cameras=(0, 10),
            test_frames="0:300",
            test_count=None,
            size=512,
            background=1.0,
            metrics=("psnr", "ssim", "lpips_vgg"),
            our_metrics=("psnr_box", "ssim_box", "iou"),
            source="AP-NeRF: cameras 0 and 10 are tested, the 18 others trained on; the first 300 frames",
            ours=("all 300 frames are tested", THEIR_METRICS),
        ),
        Protocol(
            name="sk-gs-robots",
            title="Robots of the paper, 18 training cameras, 50 frames",
            group=NOVEL_VIEWS,
            subjects=ALL_BUT_0_AND_10,
            train_frames="0:50",
            test_cameras=(0, 10),
            test_frames="0:50",
            test_count=None,
            size=512,
            background=1.0,
            metrics=("psnr", "ssim", "lpips_vgg"),
            our_metrics=("psnr_box", "ssim_box", "iou"),
            source="SK-GS, its released settings: cameras 0 and 10 are tested; the first 50 frames",
            ours=("all 50 frames are tested", "size and background: those of robots-18", THEIR_METRICS),
        ),
    )
}


@dataclass(frozen=True)
class Trained:
    """What a run was trained on, and what its recording holds.

    Attributes:
        cameras, frames: ids that were trained on.
        recorded_cameras, recorded_frames: ids that there are.
        size: longer side of the images as trained.
        driven_by: what can drive poses: points, joints or None.
        scene: folder or name of the recording.
    """

    cameras: tuple[int, ...]
    frames: tuple[int, ...]
    recorded_cameras: tuple[int, ...]
    recorded_frames: tuple[int, ...]
    size: int
    background: float
    driven_by: str | None
    scene: str


def find_subject(protocol: Protocol, scene: str | Path, name: str | None = None) -> Subject:
    """The protocol's subject with this name, or whose folder is called as the scene's is.

    A recording of no known name is measured too where all subjects have the same cameras; else UserError.
    """
    folder = Path(scene).name
    for subject in protocol.subjects:
        known = [subject.name] if name is not None else subject.folders
        if (name or folder).lower() in (text.lower() for text in known):
            return subject
    cameras = {subject.train_cameras for subject in protocol.subjects}
    if len(cameras) == 1:
        return Subject(name or folder, cameras.pop(), None)
    names = [subject.name for subject in protocol.subjects]
    raise UserError(
        scene,
        f"{name or folder} is not among the subjects of {protocol.name}, which each have cameras of their own",
        f"say which it is, one of {', '.join(names)}: {names[0]}=RUN",
    )


def differences(protocol: Protocol, subject: Subject, trained: Trained) -> list[str]:
    """In what the training of a run differs from the protocol, a clause each; empty if in nothing."""
    found = []
    if set(trained.cameras) != set(subject.train_cameras):
        had, wanted = numbers(trained.cameras), numbers(subject.train_cameras)
        found.append(f"it was trained on cameras {had}, not on {wanted}")
    tested = set(trained.cameras) & set(protocol.test_cameras or ())
    if protocol.group == NOVEL_VIEWS and tested:
        found.append(f"cameras tested that it was trained on: {numbers(tested)}")
    count = len(trained.recorded_frames)
    frames = parse_frames(protocol.train_frames, count)
    if max(abs(end) for end in (frames.start or 0, frames.stop or 0)) > count:
        found.append(f"its recording has {count} frames, too few for {protocol.train_frames}")
    expected = trained.recorded_frames[frames]
    if set(trained.frames) != set(expected):
        had, wanted = numbers(trained.frames), numbers(expected)
        found.append(f"it was trained on frames {had}, not on {wanted} ({protocol.train_frames})")
    if trained.size != protocol.size:
        found.append(f"its images are {trained.size} pixels large, not {protocol.size}")
    if trained.background != protocol.background:
        found.append(f"its background is {trained.background:g}, not {protocol.background:g}")
    if protocol.group == NOVEL_POSES and trained.driven_by == "joints":
        found.append("its poses are driven by joints, not by points of the surface")
    return found


def measured_views(protocol: Protocol, subject: Subject, trained: Trained) -> tuple[list[int], list[int]]:
    """Ids of the cameras and positions of the frames, among all recorded, that the protocol measures.

    Novel views are of frames trained on, novel poses of others: where the run differs from the protocol, of
    those that are left. UserError for cameras that are not there, or when nothing is left.
    """
    where, known = trained.scene, trained.recorded_cameras
    cameras = protocol.test_cameras
    if cameras is None:
        cameras = tuple(i for i in known if i not in subject.train_cameras)
    camera_positions(where, known, cameras)
    count, known_frames = len(trained.recorded_frames), set(trained.frames)
    frames = [
        position
        for position in range(count)[parse_frames(protocol.test_frames, count)]
        if (trained.recorded_frames[position] in known_frames) == (protocol.group == NOVEL_VIEWS)
    ]
    if not frames:
        kind = "was" if protocol.group == NOVEL_VIEWS else "was not"
        problem = f"no frame of {protocol.test_frames} {kind} trained on, so there are no {protocol.group}"
        raise UserError(where, problem, f"train on {protocol.train_frames}")
    return list(cameras), evenly(frames, protocol.test_count)


def evenly(frames: Sequence[int], count: int | None) -> list[int]:
    """So many of them, from the first to the last, as the paper takes them: steps rounded down. All if there are no more."""
    if count is None or count >= len(frames):
        return list(frames)
    return [frames[i] for i in np.linspace(0, len(frames) - 1, count).astype(int)]


def numbers(ids: Collection[int]) -> str:
    """As a person would list them: `1 to 9, 11, 12`."""
    groups: list[list[int]] = []
    for i in sorted(set(ids)):
        if groups and i == groups[-1][-1] + 1:
            groups[-1].append(i)
        else:
            groups.append([i])
    texts = [f"{g[0]} to {g[-1]}" if len(g) > 2 else ", ".join(map(str, g)) for g in groups]
    return ", ".join(texts) or "none"
