"""The state of a baseline in training, and how one step changes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from wim_fast.baselines.images import WholeImages
from wim_fast.baselines.model import make_model
from wim_fast.config import Config
from wim_fast.errors import UserError
from wim_fast.model.camera_corrections import AS_GIVEN
from wim_fast.ops.backend import Backend
from wim_fast.processes import ALONE, Processes
from wim_fast.scene.scene import Scene
from wim_fast.training import schedule
from wim_fast.training.adamw import AdamW
from wim_fast.training.pace import Pace
from wim_fast.training.result_files import npz_file
from wim_fast.training.room import EXACT, Room
from wim_fast.training.step_report import NUMBERS, StepReport


class BaselineTrainer:
    """A `training.learner.Learner` of a baseline: AdamW (only weights of networks decay), frames scheduled as ours (A.5)."""

    found = AS_GIVEN  # cameras are believed
    facts: dict[str, float] = {}  # noqa: RUF012

    def __init__(
        self, scene: Scene, config: Config, iterations: int, backend: Backend, processes: Processes = ALONE
    ) -> None:
        if processes.count > 1:
            raise UserError("--processes", "a baseline trains in one process", "leave it out")
        torch.manual_seed(config.schedule.seed)
        self.config, self.backend, self.processes = config, backend, processes
        self.pace, self.step, self.room = Pace.steady(iterations), 0, EXACT
        self.images = WholeImages(scene, config.scene.background_grey, backend.device)
        self.model = make_model(config, scene.num_frames)
        self.model.start(scene, config.schedule.initial_frames)
        self.model.to(backend.device)
        rates = config.optimizer
        weights, others = ([p for p in self.parameters() if (p.ndim > 1) == wide] for wide in (True, False))
        groups: list[dict[str, Any]] = [
            {"params": weights, "weight_decay": rates.weight_decay},
            {"params": others},
        ]
        self.optimizer = AdamW(
            groups,
            lr=config.baseline.rate,
            betas=(rates.adam_beta1, rates.adam_beta2),
        )
        self.generator = torch.Generator(backend.device).manual_seed(config.schedule.seed)

    def parameters(self) -> list[torch.nn.Parameter]:
        """All that is learned."""
        return list(self.model.parameters())

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

    def train_step(self) -> StepReport:
        """One iteration: images, losses, gradients, clipping, update."""
        config, count, device = self.config, self.config.baseline.baseline_images, self.backend.device
        camera = torch.randint(self.images.num_cameras, (count,), generator=self.generator, device=device)
        frame = self._draw_frames(count)
        batch = self.images.batch(camera, frame, self.progress)
        terms, squared_error = self.model.losses(batch, self.generator)
        self.optimizer.zero_grad()
        values = torch.stack(list(terms.values()))
        values.sum().backward()
        torch.nn.utils.clip_grad_norm_(self.parameters(), config.optimizer.clip_norm)
        share = schedule.learning_rate_share(self.step, self.progress, config)
        for group in self.optimizer.param_groups:
            group["lr"] = share * config.baseline.rate
        self.optimizer.step()
        self.step += 1
        nothing = torch.zeros((), device=device)
        numbers = [squared_error, *[nothing] * (len(NUMBERS) - 1)]
        return StepReport.of(tuple(terms), values, batch.alpha.numel(), numbers)

    def _draw_frames(self, count: int) -> torch.Tensor:
        """Positions (count,) by the schedule of ours."""
        config = self.config
        surface = config.render.most_inv_s  # frames do not depend on it
        sharpness = schedule.Sharpness(surface, surface)
        values = schedule.values_at(self.step, self.progress, self.images.num_frames, sharpness, config)
        now = schedule.ScheduleValues.of(torch.tensor(values, device=self.backend.device))
        return schedule.draw_frames(count, now, config.schedule, self.generator)

    def make_room(self, room: Room) -> None:
        """No array has a fixed size."""
        self.room = room

    def learned(self) -> dict[str, Any]:
        """What a checkpoint holds, but for step, pace and random state."""
        self.model.finish(self.images)
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def restore_learned(self, content: Mapping[str, Any]) -> None:
        """Put what `learned` gave back."""
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])

    def result_files(self, frame_ids: Sequence[int], coordinate_scale: float) -> dict[str, bytes]:
        """trajectory.npz."""
        arrays = self.model.arrays(coordinate_scale)
        return {"trajectory.npz": npz_file(**arrays, frame_ids=np.array(frame_ids))}
