"""The state of a training run, and how one step changes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wim_fast.config import Config
from wim_fast.errors import UserError
from wim_fast.model.articulated_model import ArticulatedModel
from wim_fast.model.camera_corrections import AS_GIVEN, CameraCorrections, FoundCameras
from wim_fast.model.motion import learned_motion
from wim_fast.model.structure import spanning_tree
from wim_fast.ops.backend import Backend
from wim_fast.processes import ALONE, Processes
from wim_fast.rendering.rays import sample_divisions
from wim_fast.scene.lateness import late_frames
from wim_fast.scene.scene import Scene
from wim_fast.scene.visual_hull import look_at
from wim_fast.training import schedule
from wim_fast.training.batch import TrainingImages
from wim_fast.training.cuda_graph import Recorded
from wim_fast.training.initialization import initial_parts
from wim_fast.training.learner import Diverged
from wim_fast.training.optimizer import (
    clip_gradients,
    make_optimizer,
    move_learning_rates,
    set_learning_rates,
)
from wim_fast.training.pace import Pace
from wim_fast.training.result_files import cameras_file, trajectory_file
from wim_fast.training.room import EXACT, Room
from wim_fast.training.step import training_losses
from wim_fast.training.step_report import StepReport

GAUGE_EVERY = 50  # steps between choices of what is common to all cameras


class Trainer:
    """Model, optimiser, random state, step count and pace: all that a checkpoint holds."""

    def __init__(
        self, scene: Scene, config: Config, iterations: int, backend: Backend, processes: Processes = ALONE
    ) -> None:
        render = config.render
        if render.images_per_step % processes.count:
            problem = f"{render.images_per_step} images cannot be shared by {processes.count} processes"
            raise UserError("--images-per-step", problem, "give a multiple of the number of processes")
        torch.manual_seed(config.schedule.seed)
        self.config = config
        self.pace = Pace.steady(iterations)
        self.backend = backend
        self.processes = processes
        learned = config.cameras.learn_cameras and scene.num_cameras > 1  # nothing contradicts a single one
        late = late_frames(scene) if learned else np.zeros(scene.num_cameras, np.int64)
        scene = scene.in_step(late)
        self.images = TrainingImages(scene, config, backend.device)
        self.model = ArticulatedModel(config.model, scene.num_frames)
        self.sharpness = sharpness(scene, config)
        self.model.start_at(*(torch.from_numpy(a) for a in initial_parts(scene, config)))
        self.model.to(backend.device)
        self.cameras = scene.cameras
        self.corrections = camera_corrections(scene, self.images, late) if learned else None
        self.optimizer = make_optimizer(self.model, config, self.corrections)
        self.generator = torch.Generator(backend.device).manual_seed(config.schedule.seed)
        self.step = 0
        self.schedule_values = torch.tensor(self._schedule_values(), device=backend.device)
        self.recorded = Recorded(self.generator) if backend.recordable else None
        num_rays = render.images_per_step // processes.count * render.rays_per_image
        self.room = EXACT
        if backend.needs_capacity:
            self.room = Room.for_rays(num_rays, render.marched_per_ray, render.decoded_per_ray)

    def parameters(self) -> list[torch.nn.Parameter]:
        """All that is learned."""
        return [
            p
            for learned in (self.model, self.corrections)
            if learned is not None
            for p in learned.parameters()
        ]

    @property
    def found(self) -> FoundCameras:
        """What it knows about the cameras by now."""
        return AS_GIVEN if self.corrections is None else self.corrections.found(self.cameras.ids)

    @property
    def progress(self) -> float:
        """Share of the schedule done."""
        return self.pace.progress(self.step)

    @property
    def iterations(self) -> int:
        """How many steps there will have been; with `minutes`, as it looks now."""
        return self.pace.iterations

    @property
    def active_frames(self) -> int:
        """Frames in use (supplement A.5)."""
        return schedule.active_frames(self.progress, self.images.num_frames, self.config)

    @property
    def facts(self) -> dict[str, float]:
        """What else a line of the log says."""
        return {"inv_s": self.inv_s}

    @property
    def inv_s(self) -> float:
        return schedule.inv_s(self.progress, self.sharpness.final, self.config.render)

    @property
    def phase(self) -> schedule.Phase:
        """What the next step consists of."""
        config, progress = self.config, self.progress
        cameras = self.corrections
        return schedule.Phase(
            growing=self.active_frames < self.images.num_frames and config.loss.motion_weight > 0,
            merging=progress >= config.schedule.merge_start and config.loss.merge_weight > 0,
            learning_cameras=cameras is not None
            and progress >= config.cameras.camera_start
            and not cameras.believed,
            divisions=sample_divisions(self.inv_s),
        )

    def _schedule_values(self) -> list[float]:
        """See ``schedule.values_at``."""
        frames, config = self.images.num_frames, self.config
        return schedule.values_at(self.step, self.progress, frames, self.sharpness, config)

    def train_step(self) -> StepReport:
        """One iteration: losses, gradients, clipping, update; every so often, the tree."""
        progress, config = self.progress, self.config
        now = self._schedule_values()
        # pinned memory is copied without waiting for the GPU, and not used again before that is done
        on_gpu = self.backend.device.type == "cuda"
        self.schedule_values.copy_(torch.tensor(now, pin_memory=on_gpu), non_blocking=True)
        phase = self.phase
        with self.backend.computing():
            report = self._take_step(phase)
        if self.step % config.structure.tree_every == 0:
            self.choose_tree()
        if phase.learning_cameras and self.corrections is not None and self.step % GAUGE_EVERY == 0:
            self.corrections.settle_gauge()
            if progress > config.cameras.camera_decision:
                self.corrections.believe_small_ones()
        self.step += 1
        return report

    def _take_step(self, phase: schedule.Phase) -> StepReport:
        """All of a step that a GPU does: nothing here waits for it.

        Recorded, it is a graph up to what several processes send each other and one from there on: NCCL wants a message
        recorded by all of them or by none, and so each can record anew when it needs more room.
        """
        if self.recorded is None:
            report, message = self._find_gradients(phase)
            self._update(phase, self.processes.exchange(message))
            return report
        report, message = self.recorded(self._find_gradients, phase)
        self.recorded(self._update, phase, self.processes.exchange(message))
        return report._replace(values=report.values.clone())

    def _find_gradients(self, phase: schedule.Phase) -> tuple[StepReport, Tensor | None]:
        """Losses and gradients; and what is to be averaged over several processes, as one message."""
        now = schedule.ScheduleValues.of(self.schedule_values)
        result = training_losses(
            self.model,
            self.corrections if phase.learning_cameras else None,
            self.images,
            self.config,
            now,
            phase,
            self.backend,
            self.generator,
            self.processes,
            self.room,
        )
        self.optimizer.zero_grad()
        result.terms.backward(result.weights)  # of their weighted sum
        return result.report, self.processes.message(self._averaged())

    def _update(self, phase: schedule.Phase, means: Tensor | None) -> None:
        """From the gradients, or from their means over several processes."""
        self.processes.deliver(means, self._averaged())
        set_learning_rates(self.optimizer, schedule.ScheduleValues.of(self.schedule_values))
        clip_gradients(self.optimizer, self.config.optimizer.clip_norm)
        self.optimizer.step()

    def _averaged(self) -> list[Tensor]:
        """What several processes average: gradients, zero where one has none, and the running distances."""
        if self.processes.count == 1:
            return []
        parameters, joints = self.parameters(), self.model.joints
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        return [*gradients, joints.candidate_distance, joints.center_distance]

    def make_room(self, room: Room) -> None:
        """From the next step on: arrays of samples with so many rows. A recorded step is recorded anew."""
        if room != self.room and self.recorded:
            self.recorded.forget()
        self.room = room

    def learned(self) -> dict[str, Any]:
        """What a checkpoint holds, but for step, pace and random state."""
        return {
            "inv_s": self.inv_s,
            "model": self.model.state_dict(),
            "cameras": self.corrections and self.corrections.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def restore_learned(self, content: Mapping[str, Any]) -> None:
        """Put what `learned` gave back; another kind of device may have written it."""
        self.model.load_state_dict(content["model"])
        if self.corrections is not None:
            self.corrections.load_state_dict(content["cameras"])
        self.optimizer.load_state_dict(content["optimizer"])
        move_learning_rates(self.optimizer, self.backend.device)
        if self.recorded:
            self.recorded.forget()

    def result_files(self, frame_ids: Sequence[int], coordinate_scale: float) -> dict[str, bytes]:
        """trajectory.npz; and cameras.json, unless all cameras are believed."""
        model, found = self.model, self.found
        trajectory = trajectory_file(model, frame_ids, coordinate_scale, self.backend, self.inv_s)
        files = {"trajectory.npz": trajectory}
        if found.correction is not None:
            centers = learned_motion(model, self.backend.pose_mlp).translation
            files["cameras.json"] = cameras_file(found, self.cameras, centers, coordinate_scale)
        return files

    def choose_tree(self) -> None:
        """Choose the joints anew from the running distances. Raises Diverged."""
        joints = self.model.joints
        distances = joints.candidate_distance.cpu().numpy(), joints.center_distance.cpu().numpy()
        if not np.isfinite(distances[0]).all():
            raise Diverged("part distances")
        edges, candidates = spanning_tree(*distances, self.config.structure.center_weight)
        joints.choose(torch.from_numpy(edges), torch.from_numpy(candidates))


def camera_corrections(scene: Scene, images: TrainingImages, late: np.ndarray) -> CameraCorrections:
    """What can be learned of the cameras of a scene that is in step; `late`: (V,) frames by which it was not."""
    boxes = images.boxes.double().cpu().numpy()
    radius = (boxes[..., 2:] - boxes[..., :2]).mean((1, 2)) / 2
    center = look_at(scene.cameras, scene.mask[:, 0])
    return CameraCorrections.of(scene.cameras, center, radius, late).to(images.device)


def pixel_size(scene: Scene) -> float:
    """Side of a pixel at the object, world units."""
    middle = look_at(scene.cameras, scene.mask[:, 0])
    distance = np.linalg.norm(scene.cameras.centers - middle, axis=1)
    return float(np.median(distance / scene.cameras.intrinsics[:, 0, 0]))


def sharpness(scene: Scene, config: Config) -> schedule.Sharpness:
    """Of the surface in the end, the one asked for or what suits the images' resolution; and what suits that."""
    of_pixels = config.for_masks().inv_s_pixels / pixel_size(scene)
    return schedule.Sharpness(
        config.render.final_inv_s or min(of_pixels, config.render.most_inv_s), of_pixels
    )
