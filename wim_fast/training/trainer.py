"""The state of a training run, and how one step changes it."""

from __future__ import annotations

import numpy as np
import torch

from wim_fast.config import Config
from wim_fast.errors import UserError
from wim_fast.model.articulated_model import ArticulatedModel
from wim_fast.ops.backend import Backend
from wim_fast.posing.tree import spanning_tree
from wim_fast.scene.scene import BACKGROUND, OBJECT, Scene
from wim_fast.scene.visual_hull import look_at, visual_hull
from wim_fast.training import schedule
from wim_fast.training.images import TrainingImages
from wim_fast.training.initialization import parts_from_points
from wim_fast.training.step import StepResult, training_losses

TREE_EVERY = 50  # steps between choices of the spanning tree: the running distances move slowly


class Trainer:
    """Model, optimiser, random state and step count: all that a checkpoint holds."""

    def __init__(self, scene: Scene, config: Config, iterations: int, backend: Backend) -> None:
        torch.manual_seed(config.schedule.seed)
        self.config = config
        self.iterations = iterations
        self.backend = backend
        self.images = TrainingImages(scene)
        self.model = ArticulatedModel(config.model, scene.num_frames)
        self.final_inv_s = final_inv_s(scene, config)
        self.model.start_at(*(torch.from_numpy(a) for a in initial_parts(scene, config)))
        self.optimizer = make_optimizer(self.model, config)
        self.generator = torch.Generator().manual_seed(config.schedule.seed)
        self.step = 0

    @property
    def progress(self) -> float:
        """Share of the iterations done."""
        return min(self.step / self.iterations, 1.0)

    @property
    def inv_s(self) -> float:
        return schedule.inv_s(self.progress, self.final_inv_s)

    def train_step(self) -> StepResult:
        """One iteration: losses, gradients, clipping, update."""
        progress = self.progress
        result = training_losses(
            self.model, self.images, self.config, progress, self.inv_s, self.backend, self.generator
        )
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(result.terms.values())).sum().backward()
        share = schedule.learning_rate_share(self.step, progress, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * share
            if group["clip"]:
                torch.nn.utils.clip_grad_norm_(group["params"], self.config.optimizer.clip_norm)
        self.optimizer.step()
        if self.step % TREE_EVERY == 0:
            self.choose_tree()
        self.step += 1
        return result

    def choose_tree(self) -> None:
        """Choose the joints anew from the running distances."""
        joints = self.model.joints
        edges, candidates = spanning_tree(joints.candidate_distance.numpy(), joints.center_distance.numpy())
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
    return torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-12, fused=True)


def pixel_size(scene: Scene) -> float:
    """Side of a pixel at the object, world units."""
    middle = look_at(scene.cameras, scene.mask[:, 0] != BACKGROUND)
    distance = np.linalg.norm(scene.cameras.centers - middle, axis=1)
    return float(np.median(distance / scene.cameras.intrinsics[:, 0, 0]))


def final_inv_s(scene: Scene, config: Config) -> float:
    """Sharpness of the surface that suits the images' resolution."""
    return config.render.inv_s_pixels / pixel_size(scene)


def initial_parts(scene: Scene, config: Config) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ellipsoids from the visual hull of the first frame that every camera sees."""
    masks = scene.mask != BACKGROUND
    seen = (scene.mask == OBJECT).any((2, 3))
    frame = int(np.argmax(seen.sum(0) >= min(2, scene.num_cameras)))
    points = visual_hull(scene.cameras, masks[:, frame], resolution=96)
    parts = config.model.parts
    if len(points) < 4 * parts:
        raise UserError(
            "parts",
            f"the visual hull of frame {scene.frame_ids[frame]} has too few points ({len(points)}) for {parts} parts",
            "ask for fewer --parts, or check masks and cameras",
        )
    return parts_from_points(points, parts, config.model.minimum_semi_axis, config.schedule.seed)
