"""`wim-fast train`: from a recording to a run."""

from __future__ import annotations

import argparse
import ctypes
import platform
import re
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wim_fast import config as config_module
from wim_fast.config import SETTINGS, Config, add_config_flags, config_overrides, load_config, to_yaml
from wim_fast.errors import SceneWarning, UserError
from wim_fast.settings import as_text

if TYPE_CHECKING:
    from rich.console import Console

    from wim_fast.ops.backend import Backend
    from wim_fast.processes import Processes
    from wim_fast.training.run_folder import RunFolder
    from wim_fast.training.split import Recording
    from wim_fast.training.trainer import Trainer

RUNS = Path("runs")
VIEWS_MEASURED = 24  # images per column of the table at the end
LARGEST_GAP = 1.5  # dB between trained and other cameras that is still no reason to warn
MEASURE_SHARE, MEASURE_SECONDS = 0.04, 8.0  # of the time, at most so long, to find the iterations that fit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output", type=Path, metavar="RUN", help="new folder of the run (default: runs/SCENE_N)"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on from the last checkpoint of --output (default: the newest run)",
    )
    parser.add_argument("--config", metavar="FILE", help="settings to use instead of the scene's own")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all)")
    parser.add_argument(
        "--view",
        nargs="?",
        type=int,
        const=8080,
        metavar="PORT",
        help="show occupancy grid, parts, rays and samples in a browser while training (default port: 8080)",
    )
    add_config_flags(parser)


def run(args: argparse.Namespace) -> None:
    """Train a new run, or go on with one, and measure what came out."""
    started = time.monotonic()
    from rich.console import Console

    from wim_fast.ops.backend import select_backend
    from wim_fast.processes import join_processes, local_rank
    from wim_fast.terminal import say
    from wim_fast.training.checkpoint import TrainedOn
    from wim_fast.training.loop import disk_error, resume_command, train
    from wim_fast.training.monitor import Monitor
    from wim_fast.training.preview import preview_picture
    from wim_fast.training.run_folder import RunFolder
    from wim_fast.training.split import read_recording
    from wim_fast.training.trainer import Trainer
    from wim_fast.viewer.live import watched
    from wim_fast.viewer.server import HOST, check_viewer

    use_threads(args.threads)
    keep_memory()
    console = Console(quiet=local_rank() > 0)
    flags = config_overrides(args)
    if args.resume:
        folder = RunFolder(args.output or newest_run(flags.get("scene", SETTINGS["scene"].default)))
        config = resumed_config(folder, flags)
    else:
        config = load_config(None, flags, config_file=args.config)
        folder = RunFolder(args.output or new_run(config.scene.scene))
        check_free(folder.path)
    if args.view is not None and local_rank() == 0:
        check_viewer(HOST, args.view)
    backend = select_backend(config.render.backend, local_rank())
    processes = join_processes(backend.device)
    say(describe(backend, processes), console)
    with processes.first_goes_ahead():
        recording = read_recording(config)
    scene, config = recording.scene, recording.config
    say(
        f"{scene.name}: {scene.num_cameras} cameras, {scene.num_frames} frames"
        f" of {scene.size[1]} x {scene.size[0]}; {config.model.parts} parts",
        console,
    )
    trainer = Trainer(scene, config, config.schedule.iterations or 1, backend, processes)
    seen = TrainedOn(scene.frame_ids, scene.cameras.ids, scene.coordinate_scale)
    if args.resume:
        go_on(trainer, folder, seen)
    compiling = compile_kernels(trainer, console)

    def picture() -> Any:
        return preview_picture(trainer, recording.views, recording.view_positions, recording.preview_rows)

    if config.schedule.iterations is None:
        config = fix_iterations(trainer, config, started + compiling, picture, console)
    if not processes.is_first:
        train(trainer, folder, seen, None, lambda trainer: None, config.schedule)
        return
    try:
        folder.create(to_yaml(config))
        with Monitor(folder, trainer.step, trainer.iterations, config.schedule.log_every, console) as monitor:

            def preview(trainer: Trainer) -> None:
                image = picture()
                folder.write_preview(image, trainer.step)
                monitor.picture(image, trainer.step)

            monitor.say(f"{trainer.iterations} iterations; writing to {folder.path}")
            with watched(monitor, folder.path, seen, args.view) as observer:
                stopped = train(trainer, folder, seen, observer, preview, config.schedule)
            if stopped is None:
                preview(trainer)
    except OSError as error:
        raise disk_error(error, folder) from None
    if stopped is not None:
        say(f"stopped at step {trainer.step} of {trainer.iterations}, and saved", console)
        say(f"go on with: {resume_command(folder)}", console)
        raise SystemExit(128 + stopped)
    measure(trainer, recording, folder, console)
    show_paths(folder, console)


def describe(backend: Backend, processes: Processes) -> str:
    """Which kernels run, and where."""
    import torch

    gpu = backend.device.type == "cuda"
    where = torch.cuda.get_device_name(backend.device) if gpu else "the CPU"
    several = f", {processes.count} processes" if processes.count > 1 else ""
    return f"backend {backend.name} on {where}{several}"


def use_threads(count: int | None) -> None:
    """Limit the threads of torch and of the compiled kernels."""
    if count is None:
        return
    import numba
    import torch

    most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    if not 1 <= count <= most:
        raise UserError("--threads", f"{count} threads are not possible", f"give a number from 1 to {most}")
    torch.set_num_threads(count)
    numba.set_num_threads(count)


def keep_memory() -> None:
    """Ask glibc to keep freed buffers: giving them back at every step takes 10 to 20 % of it (docs/log.md)."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for parameter in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
            libc.mallopt(parameter, 1 << 30)


# Where the run is, and with which settings


def numbered_runs(scene: str) -> tuple[str, dict[int, Path]]:
    """The name of a scene and its {n: runs/NAME_n}."""
    name = Path(scene).resolve().name or "scene"
    found = ((re.fullmatch(rf"{re.escape(name)}_(\d+)", path.name), path) for path in RUNS.glob(f"{name}_*"))
    return name, {int(match[1]): path for match, path in found if match}


def new_run(scene: str) -> Path:
    name, runs = numbered_runs(scene)
    return RUNS / f"{name}_{max(runs, default=0) + 1}"


def newest_run(scene: str) -> Path:
    name, runs = numbered_runs(scene)
    if not runs:
        raise UserError(RUNS / f"{name}_1", "there is no run to go on with", "name it with --output RUN")
    return runs[max(runs)]


def check_free(path: Path) -> None:
    """UserError if something is already there."""
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists():
        remedy = "choose another --output, or go on with this run: --resume"
        raise UserError(path, "there is already something", remedy)


def resumed_config(folder: RunFolder, flags: dict[str, Any]) -> Config:
    """The settings of the run; flags may repeat them but not change them."""
    remedy = "name a folder that `wim-fast train` made with --output"
    if not folder.path.is_dir():
        raise UserError(folder.path, "there is no such run", remedy)
    if not folder.config.is_file():
        raise UserError(folder.path, "is not a run: it has no config.yaml", remedy)
    config = config_module.from_yaml(folder.config)
    # minutes have become iterations; the backend may be another one
    flags = {name: value for name, value in flags.items() if name != "minutes"}
    config = config_module.replace(config, backend=flags.pop("backend", config.render.backend))
    if "scene" in flags:
        from wim_fast.training.split import lasting_name

        flags["scene"] = lasting_name(flags["scene"])
    wanted = config_module.replace(config, **flags)
    for name in flags:
        setting = SETTINGS[name]
        now, then = setting.of(wanted), setting.of(config)
        if now != then:
            raise UserError(
                folder.config,
                f"{setting.flag} is {as_text(now)}, but the run has {as_text(then)}",
                "leave the flag out, or start a new run",
            )
    return config


# Before the first step


def go_on(trainer: Trainer, folder: RunFolder, seen: Any) -> None:
    """Put the trainer where the run stopped; a run killed before its first checkpoint begins again."""
    from wim_fast.training.checkpoint import load_checkpoint, restore, trained_on

    checkpoints = folder.all_checkpoints()
    if not checkpoints:
        return
    content = load_checkpoint(checkpoints[-1])
    if trained_on(content) != seen:
        problem = "was trained on other cameras or frames than the recording has now"
        raise UserError(checkpoints[-1], problem, "put the recording back, or start a new run")
    restore(trainer, content)


def compile_kernels(trainer: Trainer, console: Console) -> float:
    """Have everything compiled, and say so if that takes long. Returns the seconds it took."""
    from wim_fast.terminal import say
    from wim_fast.training.pace import warm_up

    start = time.monotonic()
    with after_seconds(4.0, lambda: say("compiling kernels (first run only) ...", console)):
        warm_up(trainer)
    return time.monotonic() - start


@contextmanager
def after_seconds(seconds: float, action: Any) -> Iterator[None]:
    """Do something if what is inside takes longer."""
    timer = threading.Timer(seconds, action)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def fix_iterations(
    trainer: Trainer, config: Config, started: float, picture: Any, console: Console
) -> Config:
    """Measure how many iterations fit into `minutes`, and settle on them."""
    from wim_fast.terminal import say
    from wim_fast.training.pace import iterations_until

    minutes = config.schedule.minutes
    assert minutes is not None

    def previews() -> float:
        start = time.monotonic()
        picture()
        return int(minutes / config.schedule.preview_minutes) * (time.monotonic() - start)

    measure = min(MEASURE_SHARE * 60 * minutes, MEASURE_SECONDS)
    least = time.monotonic() + 30 * minutes  # however long reading took, half of the time is for training
    deadline = max(started + 60 * minutes, least)
    iterations = iterations_until(trainer, deadline, measure, previews)
    say(f"{iterations} iterations fit into {minutes:g} minutes", console)
    trainer.iterations = iterations
    return config_module.replace(config, iterations=iterations)


# After the last step


def measure(trainer: Trainer, recording: Recording, folder: RunFolder, console: Console) -> None:
    """The table: trained views beside views never seen, and the joints where they are known."""
    import json

    import numpy as np

    from wim_fast.evaluation.evaluate import evaluate_views, metrics_table, summarize
    from wim_fast.evaluation.joints import joint_error
    from wim_fast.files import write_atomic
    from wim_fast.model.motion import learned_motion, posed_at, semi_axes_of
    from wim_fast.terminal import say

    model, views, scene = trainer.model, recording.views, recording.scene
    motion = learned_motion(model, trainer.backend.pose_mlp)
    background = recording.config.scene.background_grey
    groups = {}
    for name, cameras in recording.camera_groups().items():
        count = min(views.num_frames, max(1, VIEWS_MEASURED // len(cameras)))
        frames = np.linspace(0, views.num_frames - 1, count).round().astype(int).tolist()
        rows = evaluate_views(
            model,
            lambda frame: posed_at(model, motion, recording.view_positions[frame]),
            views,
            cameras,
            frames,
            trainer.inv_s,
            trainer.backend,
            background,
        )
        groups[name] = summarize(rows)
    result: dict[str, Any] = {"step": trainer.step, **groups}
    console.print(metrics_table(groups))
    truth = scene.ground_truth
    if truth is not None and truth.joints is not None:
        axes = semi_axes_of(model)
        error = joint_error(motion.rotation, motion.translation, axes, truth.joints, truth.points)
        if error is not None:
            result["joints"] = error.to_dict()
            say(f"joint error {100 * error.error:.2f} % of the object's extent (A.10)", console)
    if len(groups) == 2:
        trained, other = (summary.get("psnr", float("nan")) for summary in groups.values())
        if trained - other > LARGEST_GAP:
            gap = f"views that were not trained on are {trained - other:.1f} dB worse than those that were"
            warnings.warn(f"{gap}; more cameras, better spread, would help", SceneWarning, stacklevel=2)
    write_atomic(folder.evaluation, json.dumps(result, indent=1).encode())


def show_paths(folder: RunFolder, console: Console) -> None:
    from wim_fast.terminal import say

    for path, what in (
        (folder.config, "all settings"),
        (folder.all_checkpoints()[-1], "the model"),
        (folder.trajectory, "poses and joints"),
        (folder.metrics, "the course of training; tensorboard --logdir shows it too"),
        (folder.evaluation, "the table above"),
        (folder.preview, "pictures"),
    ):
        say(f"{path}  {what}", console)
