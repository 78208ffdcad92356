"""From a recording to a run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from wim_fast import config as config_module
from wim_fast.companions import process_count
from wim_fast.config import Config, to_yaml
from wim_fast.errors import UserError
from wim_fast.ops.backend import Backend
from wim_fast.processes import Processes, join_processes, keep_memory, local_rank
from wim_fast.runs.baseline_run import BaselineRun
from wim_fast.runs.final_evaluation import FinalEvaluation, evaluate_split, write_final_evaluation
from wim_fast.runs.kernels import COMPILING, have_kernels
from wim_fast.runs.methods import METHODS, open_run
from wim_fast.runs.new_run import check_free, new_run, run_to_resume
from wim_fast.runs.run import Run
from wim_fast.sections import OURS
from wim_fast.training.checkpoint import DamagedError, TrainedOn, load_checkpoint, restore, trained_on
from wim_fast.training.learner import Learner
from wim_fast.training.loop import disk_error, resume_command, training_loop
from wim_fast.training.machine import write_machine
from wim_fast.training.memory import check_memory
from wim_fast.training.metrics_log import MetricsLog, last_step
from wim_fast.training.observer import Callback, Observer, TrainingStep
from wim_fast.training.pace import GUESS, Pace
from wim_fast.training.run_folder import FolderGone, RunFolder
from wim_fast.training.split import Split, read_split
from wim_fast.training.warm_up import warm_up

SILENT_SECONDS = 4.0  # while kernels are compiled, and bodies found


def train(
    scene: str | Path | None = None,
    *,
    output: str | Path | None = None,
    on_step: Callable[[TrainingStep], object] | None = None,
    resume: bool = False,
    config: str | Path | None = None,
    **settings: Any,
) -> Run | BaselineRun:
    """Learns parts, joints, shape and motion from a recording, and opens what came out.

    Nothing is printed; what could be better about the recording is told as SceneWarning.

    Args:
        scene: folder of a recording, or the name of a scene that ships with wim-fast; None: the default scene.
        output: new folder of the run; None: runs/SCENE_n.
        on_step: called after every step. If it returns False or raises KeyboardInterrupt, training stops and
            what was learned is saved; `resume` goes on from there. What else it raises is raised then too.
        resume: go on from the last checkpoint of `output`, or of the scene's newest run.
        config: a file of settings in place of the scene's own.
        settings: any setting by its name: `minutes=5, parts=10, train_cameras=[0, 2, 4]`.

    UserError for anything that cannot be read, trained or written, and for unknown settings.
    """
    if scene is not None:
        settings["scene"] = str(scene)
    if process_count() > 1:
        problem = "trains in one process"
        raise UserError("wim_fast.train", problem, "several are started by torchrun -m wim_fast train")
    chosen = run_to_resume(output, settings) if resume else new_run(output, settings, config)
    observer = Callback(on_step) if on_step else Observer()
    train_run(*chosen, resume=resume, observer=observer)
    if observer.error is not None:
        raise observer.error
    return open_run(chosen[1].path, chosen[0].render.backend)


@dataclass(frozen=True)
class Trained:
    """How far a training came. One that was stopped is not measured."""

    step: int
    progress: float
    stopped: bool
    evaluation: FinalEvaluation | None


def train_run(
    config: Config,
    folder: RunFolder,
    *,
    resume: bool = False,
    observer: Observer,
) -> Trained:
    """Trains a run, or goes on with one, and measures what came out.

    Of several processes all train; the first alone writes, measures, and tells `observer` of steps.
    """
    keep_memory()
    method = METHODS[config.baseline.method]
    backend = method.backend(config.render.backend, local_rank())
    check_memory(config, backend.device)
    processes = join_processes(backend.device)
    observer.say(describe(backend, processes))
    with processes.first_goes_ahead():
        split = read_split(config)
    scene, config = split.scene, split.config
    observer.say(
        f"{scene.name}: {scene.num_cameras} cameras, {scene.num_frames} frames"
        f" of {scene.size[1]} x {scene.size[0]}; {what_is_trained(config)}"
    )
    trainer = method.trainer(scene, config, config.schedule.iterations or GUESS, backend, processes)
    if config.schedule.pace is not None:
        trainer.pace = Pace.parse(config.schedule.pace)
    for camera in scene.cameras.ids:
        if late := trainer.found.lateness(camera):
            when = f"{abs(late):g} frame{'' if abs(late) == 1 else 's'} {'late' if late > 0 else 'early'}"
            observer.say(
                f"camera {camera} runs {when}, by the masks: taken into account, and learned from there"
            )
    with folder.owned() if processes.is_first else nullcontext():
        return train_owned(trainer, split, folder, resume=resume, observer=observer)


def train_owned(
    trainer: Learner, split: Split, folder: RunFolder, *, resume: bool, observer: Observer
) -> Trained:
    """All of that but the reading, in a folder into which no other process trains."""
    if resume:
        restore_newest(trainer, folder, split.trained_on, observer)
    elif trainer.processes.is_first:
        check_free(folder.path)  # once more: another process may have been quicker
    compile_kernels(trainer, observer)
    stopped = take_steps(trainer, split, folder, observer)
    evaluation = None
    if trainer.processes.is_first and not stopped:
        evaluation = evaluate_split(open_run(folder.path, trainer.config.render.backend), split)
        write_final_evaluation(evaluation, trainer.step, folder)
    return Trained(trainer.step, trainer.progress, stopped, evaluation)


def take_steps(trainer: Learner, split: Split, folder: RunFolder, observer: Observer) -> bool:
    """All steps, and everything that is written meanwhile. Returns whether it stopped early.

    In the end config.yaml holds the pace that kept the minutes, in place of these.
    """
    config, trained_on = split.config, split.trained_on
    minutes = config.schedule.minutes
    if not trainer.processes.is_first:
        with observer.watching(trainer, folder, trained_on):
            return training_loop(trainer, folder, trained_on, observer, None, lambda: None)
    try:
        folder.create(to_yaml(config))
        write_machine(folder.machine, trainer.backend, trainer.step)
        with MetricsLog(folder, trainer.step, config.schedule.log_every) as log:

            def preview() -> None:
                image = picture(trainer, split)
                folder.write_preview(image, trainer.step)
                log.picture(image, trainer.step)

            with observer.watching(trainer, folder, trained_on):
                length = f"{minutes:g} minutes" if minutes else f"{trainer.iterations} iterations"
                observer.say(f"{length}; writing to {folder.path}")
                stopped = training_loop(trainer, folder, trained_on, observer, log, preview)
            if not stopped:
                preview()
                if minutes:
                    folder.create(to_yaml(config_module.replace(config, pace=str(trainer.pace))))
            with after_seconds(
                SILENT_SECONDS, lambda: observer.say("finding bodies, for trajectory.npz ...")
            ):
                folder.write_results(trainer, trained_on)
        return stopped
    except FolderGone:
        raise rescued(trainer, folder, trained_on) from None
    except OSError as error:
        raise disk_error(error, folder) from None


def rescued(trainer: Learner, folder: RunFolder, trained_on: TrainedOn) -> UserError:
    """Saves what is in memory beside a folder that has vanished; what to tell."""
    beside = RunFolder(folder.path.with_name(f"{folder.path.name}_rescued_{trainer.step}"))
    try:
        beside.create(to_yaml(trainer.config))
        beside.save(trainer, trained_on)
        beside.write_results(trainer, trained_on)
    except OSError as error:
        return disk_error(error, beside)
    remedy = f"it can go on from there: {resume_command(beside)}"
    return UserError(folder.path, f"is gone; what was learned so far is now in {beside.path}", remedy)


def what_is_trained(config: Config) -> str:
    """In a few words."""
    method = config.baseline.method
    if method != OURS:
        return f"baseline {method}"
    share = config.for_masks().outline_share
    return f"{config.model.num_parts} parts" + (
        f"; {share:.0%} of the rays at outlines of masks" if share else ""
    )


def describe(backend: Backend, processes: Processes) -> str:
    """Which kernels run, and where."""
    gpu = backend.device.type == "cuda"
    where = torch.cuda.get_device_name(backend.device) if gpu else "the CPU"
    several = f", {processes.count} processes" if processes.count > 1 else ""
    return f"backend {backend.name} on {where}{several}"


def restore_newest(trainer: Learner, folder: RunFolder, expected: TrainedOn, observer: Observer) -> None:
    """Put the trainer where the run stopped; a run killed before its first checkpoint begins again.

    A checkpoint that is damaged is put aside, and the one before it taken.
    """
    checkpoints = folder.all_checkpoints()
    while checkpoints:
        newest = checkpoints.pop()
        try:
            restore_from(trainer, newest, expected)
        except DamagedError as error:
            if not checkpoints:
                raise
            if trainer.processes.is_first:
                newest.rename(newest.with_suffix(".damaged"))
            observer.say(f"{newest}: {error.problem}; put aside, the one before it is taken")
            continue
        written = last_step(folder.metrics)
        again = f"; steps up to {written} are taken again" if written > trainer.step else ""
        observer.say(f"goes on from step {trainer.step}{again}")
        return
    observer.say("there was no checkpoint yet: begins anew")


def restore_from(trainer: Learner, checkpoint: Path, expected: TrainedOn) -> None:
    """UserError if the recording has changed, DamagedError if the checkpoint cannot be used."""
    content = load_checkpoint(checkpoint)
    if trained_on(content) != expected:
        problem = "was trained on other cameras or frames than the recording has now"
        raise UserError(checkpoint, problem, "put the recording back, or start a new run")
    try:
        restore(trainer, content)
    except ValueError:
        problem = "does not fit the settings of config.yaml"
        raise DamagedError(checkpoint, problem, "delete it to use the one before it") from None


def compile_kernels(trainer: Learner, observer: Observer) -> None:
    """Have everything compiled, the CPU's kernels on all cores that training uses, and say so if it takes long."""
    with trainer.processes.first_goes_ahead(), observer.progress() as bar:
        have_kernels(trainer.backend, bar, trainer.processes.count)
    with after_seconds(SILENT_SECONDS, lambda: observer.say(f"{COMPILING} ...")):
        warm_up(trainer)


@contextmanager
def after_seconds(seconds: float, action: Callable[[], None]) -> Iterator[None]:
    """Do something if what is inside takes longer."""
    timer = threading.Timer(seconds, action)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def picture(trainer: Learner, split: Split) -> Any:
    """The preview, (H, W, 3) uint8."""
    preview = METHODS[trainer.config.baseline.method].preview
    return preview(trainer, split.views, split.view_positions, split.preview_rows)
