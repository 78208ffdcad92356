"""The state of a training run, and how one step changes it."""

from __future__ import annotations

import numpy as np
import torch

from wim_fast.config import Config
from wim_fast.errors import UserError
from wim_fast.model.articulated_model import ArticulatedModel
from wim_fast.ops.backend import Backend
from wim_fast.posing.tree import spanning_tree
from wim_fast.processes import ALONE, Processes
from wim_fast.scene.footage import BACKGROUND, OBJECT
from wim_fast.scene.scene import Scene
from wim_fast.scene.visual_hull import look_at, visual_hull
from wim_fast.training import schedule
from wim_fast.training.batch import TrainingImages
from wim_fast.training.cuda_graph import RecordedStep
from wim_fast.training.initialization import parts_from_points
from wim_fast.training.step import StepReport, training_losses

TREE_EVERY = 50  # steps between choices of the spanning tree: the running distances move slowly


class Trainer:
    """Model, optimiser, random state and step count: all that a checkpoint holds."""

    def __init__(
        self, scene: Scene, config: Config, iterations: int, backend: Backend, processes: Processes = ALONE
    ) -> None:
        if config.render.images_per_step % processes.count:
            problem = (
                f"{config.render.images_per_step} images cannot be shared by {processes.count} processes"
            )
            raise UserError("--images-per-step", problem, "give a multiple of the number of processes")
        torch.manual_seed(config.schedule.seed)
        self.config = config
        self.iterations = iterations
        self.backend = backend
        self.processes = processes
        self.images = TrainingImages(scene, backend.device)
        self.model = ArticulatedModel(config.model, scene.num_frames)
        self.final_inv_s = final_inv_s(scene, config)
        self.model.start_at(*(torch.from_numpy(a) for a in initial_parts(scene, config)))
        self.model.to(backend.device)
        self.optimizer = make_optimizer(self.model, config)
        self.generator = torch.Generator(backend.device).manual_seed(config.schedule.seed)
        self.step = 0
        self.moment = torch.zeros(len(schedule.Moment._fields), device=backend.device)
        self.recorded = (
            RecordedStep(self._take_step, self.generator)
            if backend.recordable and processes.count == 1
            else None
        )

    @property
    def progress(self) -> float:
        """Share of the iterations done."""
        return min(self.step / self.iterations, 1.0)

    @property
    def inv_s(self) -> float:
        return schedule.inv_s(self.progress, self.final_inv_s)

    def train_step(self) -> StepReport:
        """One iteration: losses, gradients, clipping, update; every so often, the tree."""
        progress, config = self.progress, self.config
        now = schedule.moment(self.step, progress, self.images.num_frames, self.final_inv_s, config)
        for tensor, value in zip(self.moment.unbind(), now, strict=True):
            tensor.fill_(value)  # unlike a copy, this does not wait for a GPU
        merging = progress >= config.schedule.merge_start and config.loss.merge_weight > 0
        report = self.recorded(merging) if self.recorded else self._take_step(merging)
        if self.step % TREE_EVERY == 0:
            self.choose_tree()
        self.step += 1
        return report

    def _take_step(self, merging: bool) -> StepReport:
        """All of a step that a GPU does: nothing here waits for it."""
        moment = schedule.Moment(*self.moment.unbind())
        result = training_losses(
            self.model,
            self.images,
            self.config,
            moment,
            merging,
            self.backend,
            self.generator,
            self.processes,
        )
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(result.terms.values())).sum().backward()
        self.processes.average_gradients(self.model.parameters())
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].copy_(moment.learning_rate_share * group["base_lr"])
            else:
                group["lr"] = moment.learning_rate_share.item() * group["base_lr"]
            if group["clip"]:
                torch.nn.utils.clip_grad_norm_(group["params"], self.config.optimizer.clip_norm)
        self.optimizer.step()
        return result.report()

    def prepare_optimizer(self) -> None:
        """After its state came from a checkpoint, which another kind of device may have written."""
        set_learning_rates_up(self.optimizer, self.backend.device)
        if self.recorded:
            self.recorded.forget()

    def choose_tree(self) -> None:
        """Choose the joints anew from the running distances."""
        joints = self.model.joints
        distances = joints.candidate_distance.cpu().numpy(), joints.center_distance.cpu().numpy()
        edges, candidates = spanning_tree(*distances)
        joints.choose(torch.from_numpy(edges), torch.from_numpy(candidates))


def make_optimizer(model: ArticulatedModel, config: Config) -> torch.optim.AdamW:
    """AdamW with a group for each kind of parameter; only pose and semi-axes are clipped."""
    rates, decay = config.optimizer, config.optimizer.weight_decay
    kinds = [
        (model.trajectory.parameters(), rates.lr_pose, decay, True),
        ([model.log_semi_axes, model.union_sharpness, model.weight_sharpness], rates.lr_semi_axes, 0.0, True),
        ([model.field.table], rates.lr_grid, 0.0, False),
        (model.field.decoder.parameters(), rates.lr_decoder, decay, False),
        ([] if model.field.lighting is None else [model.field.lighting], rates.lr_decoder, 0.0, False),
    ]
    groups = [
        {"params": list(parameters), "lr": lr, "base_lr": lr, "weight_decay": weight_decay, "clip": clip}
        for parameters, lr, weight_decay, clip in kinds
    ]
    groups = [group for group in groups if group["params"]]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-12, fused=True)
    set_learning_rates_up(optimizer, model.log_semi_axes.device)
    return optimizer


def set_learning_rates_up(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """On a GPU learning rates are tensors there, so that a recorded step sees them change."""
    on_gpu = device.type == "cuda"
    for group in optimizer.param_groups:
        rate = float(group["lr"])
        group["lr"] = torch.tensor(rate, device=device) if on_gpu else rate
        group["capturable"] = on_gpu


def pixel_size(scene: Scene) -> float:
    """Side of a pixel at the object, world units."""
    middle = look_at(scene.cameras, scene.mask[:, 0] == OBJECT)
    distance = np.linalg.norm(scene.cameras.centers - middle, axis=1)
    return float(np.median(distance / scene.cameras.intrinsics[:, 0, 0]))


def final_inv_s(scene: Scene, config: Config) -> float:
    """Sharpness of the surface that suits the images' resolution."""
    return config.render.inv_s_pixels / pixel_size(scene)


def initial_parts(scene: Scene, config: Config) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ellipsoids from the visual hull of the first frame that every camera sees."""
    frame = int(np.argmax(scene.sees_object.sum(0) >= min(2, scene.num_cameras)))
    points = visual_hull(scene.cameras, scene.mask[:, frame] != BACKGROUND, resolution=96)
    parts = config.model.parts
    if len(points) < 4 * parts:
        raise UserError(
            "parts",
            f"the visual hull of frame {scene.frame_ids[frame]} has too few points ({len(points)}) for {parts} parts",
            "ask for fewer --parts, or check masks and cameras",
        )
    return parts_from_points(points, parts, config.model.minimum_semi_axis, config.schedule.seed)
