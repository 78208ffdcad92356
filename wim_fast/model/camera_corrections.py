"""What is learned of the cameras: small corrections of each one's calibration, its colours, and how late its pictures are.

Film does not determine everything. Turning, moving and scaling the world with all its cameras changes no picture, nor
does shifting the time of all cameras. Moving the object while every camera turns to follow it (or every principal point
does), or scaling it while every camera zooms, changes pictures by the perspective alone, less than a model in training is
wrong by. These fourteen directions and those of time and colour (the gauge) are taken out of every correction, such that
most cameras stay as they were given. What else film hardly tells (a turn from a shift of the principal point) is left to
a prior: how far each number is off, usually.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from wim_fast.ops.cameras.reference import NUMBERS, lens_of, rotation_about
from wim_fast.recordings.cameras import Cameras

# in pixels at the object, in the order of `ops.cameras`: turn about x, y, z of the camera; shift along them; focal length;
# principal point
USUAL = (1.0, 1.0, 0.5, 0.3, 0.3, 0.3, 0.5, 0.3, 0.3)
GAUGE = 14
PER_IMAGE = 10  # numbers of a camera that are about its images: lateness, colour matrix
USUAL_COLOR = 0.1  # of a number of a colour matrix
# where all cameras' corrections are smaller (pixels, frames, norm of the colour matrix), they are taken to be as given
BELIEVED = 0.25, 0.2, 0.1
# below them no camera is more trustworthy than another
LEAST_PIXELS, LEAST_FRAMES, LEAST_COLOR = 0.05, 0.1, 0.02


class Learned(NamedTuple):
    """The corrections of V cameras, with gradients to the parameters."""

    numbers: Tensor  # (V, 9) of the calibration, as `ops.cameras` takes them
    of_images: Tensor  # (V, 10) lateness of images that are in step but for fractions of a frame; colour matrix by columns
    prior: Tensor  # () mean square of the corrections, in units of what is usual

    def seen_by(self, camera: Tensor) -> tuple[Tensor, Tensor]:
        """`lateness` and `color` of cameras (B,): (B,) and (B, 3, 3)."""
        return _parts(torch.nn.functional.embedding(camera, self.of_images))

    @property
    def lateness(self) -> Tensor:
        """(V,) frames, as in `CameraCorrection`."""
        return _parts(self.of_images)[0]

    @property
    def color(self) -> Tensor:
        """(V, 3, 3) as in `CameraCorrection`."""
        return _parts(self.of_images)[1]


class CameraCorrection(NamedTuple):
    """By how much V cameras differ from their calibration, float64, on the CPU. A camera's K becomes K @ `lens`."""

    turn: Tensor  # (V, 3, 3) from the corrected camera's frame to the given one's
    shift: Tensor  # (V, 3) of the optical centre, world units, in the given camera's frame
    lens: Tensor  # (V, 3, 3) focal length times `lens[0, 0]`, principal point shifted by `lens[:2, 2]` focal lengths
    lateness: Tensor  # (V,) frames: a picture of frame f shows what the others show at f + lateness
    color: Tensor  # (V, 3, 3) exposure and white balance: to the camera's linear combination of r, g and b


class CameraCorrections(nn.Module):
    """The correction of V cameras as parameters, in units of what is usual (`USUAL`, pixels at the object; frames)."""

    units: Tensor
    gauge: Tensor
    projector: Tensor
    time_weights: Tensor
    color_weights: Tensor
    doubted: Tensor
    first_lateness: Tensor
    factor: Tensor
    uncorrected: Tensor
    nothing: Tensor

    def __init__(self, num_cameras: int) -> None:
        super().__init__()
        self.calibration = nn.Parameter(torch.zeros(num_cameras, NUMBERS))
        self.lateness = nn.Parameter(torch.zeros(num_cameras))
        self.color = nn.Parameter(torch.zeros(num_cameras, 3, 3))
        for name, shape in (
            ("units", (num_cameras, NUMBERS)),  # what a pixel at the object is: radians, world units, shares
            ("gauge", (num_cameras * NUMBERS, GAUGE)),  # what film does not tell, in pixels at the object
            ("projector", (num_cameras * NUMBERS, num_cameras * NUMBERS)),  # takes that out
            ("time_weights", (num_cameras,)),  # of the mean that is taken out of the lateness; sum 1
            ("color_weights", (num_cameras,)),  # the same of the colours
            ("first_lateness", (num_cameras,)),  # frames, by which the images were put into step
            ("doubted", (3,)),  # 1, or 0 where calibration, time or colours are believed after all
        ):
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))
        size = num_cameras * (NUMBERS + PER_IMAGE)
        for name, shape in (
            ("factor", (2 * size, size)),  # what a step multiplies parameters by, see `_renew`
            ("uncorrected", (2 * size,)),  # what it adds
            ("nothing", (size,)),  # what the prior compares with
        ):
            self.register_buffer(name, torch.zeros(shape), persistent=False)
        of_images = self.uncorrected[NUMBERS * num_cameras : size].view(num_cameras, PER_IMAGE)
        of_images[:, 1::4] = 1  # identities: matrices that change no colour
        self.doubted.fill_(1)
        self.believed = False  # in all of these; kept apart, for reading `doubted` waits for a GPU

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        loaded = super().load_state_dict(*args, **kwargs)
        self._renew()
        self.believed = not bool(self.doubted.any())
        return loaded

    @classmethod
    def of(
        cls, cameras: Cameras, center: np.ndarray, radius: np.ndarray, late: np.ndarray
    ) -> CameraCorrections:
        """No correction yet.

        Args:
            center: (3,) of the object, world.
            radius: (V,) of the object in each camera's pictures, pixels.
            late: (V,) frames by which each camera was put into step already.
        """
        self = cls(len(cameras))
        focal = cameras.intrinsics[:, 0, 0]
        offset = cameras.centers - center
        distance = np.linalg.norm(offset, axis=1)
        across, along = distance / focal, distance / radius
        turn, roll, share = 1 / focal, 1 / radius, 1 / focal
        units = np.stack([turn, turn, roll, across, across, along, roll, share, share], axis=1)
        R = cameras.T_camera_world[:, :3, :3]
        gauge = np.zeros((len(cameras), NUMBERS, GAUGE))
        for k, axis in enumerate(np.eye(3)):
            gauge[:, :3, k] = R @ axis  # the world turns about the object's centre
            gauge[:, 3:6, k] = np.einsum("vij,vj->vi", R, np.cross(axis, offset))
            gauge[:, 3:6, 3 + k] = R @ axis  # it moves
            aside = (R @ axis) / distance[:, None]
            gauge[:, 0, 7 + k], gauge[:, 1, 7 + k] = -aside[:, 1], aside[:, 0]  # the cameras turn after it
            gauge[:, 7:, 11 + k] = aside[:, :2]  # their principal points follow it
        gauge[:, 3:6, 6] = np.einsum("vij,vj->vi", R, offset)  # it grows
        gauge[:, 6, 10] = 1  # the cameras zoom
        self.units.copy_(torch.from_numpy(units))
        self.gauge.copy_(torch.from_numpy(gauge / units[..., None]).flatten(0, 1))
        self.first_lateness.copy_(torch.from_numpy(late))
        self.settle_gauge()
        return self

    @classmethod
    def restored(cls, state: dict[str, Tensor] | None) -> CameraCorrections | None:
        """From its `state_dict`; None from None."""
        if state is None:
            return None
        self = cls(len(state["lateness"]))
        self.load_state_dict(state)
        return self

    @torch.no_grad()
    def pixels(self) -> Tensor:
        """(V, 9) the corrections in pixels at the object, gauge taken out, float64."""
        every = self.calibration.double() * self.units.new_tensor(USUAL)
        return self.doubted[0] * (self.projector @ every.flatten()).view_as(every)

    def forward(self) -> Learned:
        """What there is to correct."""
        parameters = torch.cat([self.calibration.flatten(), self.lateness, self.color.flatten()])
        found = torch.addmv(self.uncorrected, self.factor, parameters)
        count = len(self.lateness)
        numbers, of_images, usual = found.split([NUMBERS * count, PER_IMAGE * count, len(self.nothing)])
        prior = torch.nn.functional.mse_loss(usual, self.nothing, reduction="sum")
        return Learned(numbers.view(count, NUMBERS), of_images.view(count, PER_IMAGE), prior)

    @torch.no_grad()
    def _renew(self) -> None:
        """Follow a change of the gauge, or of what is believed.

        `factor` times all parameters, kind after kind, with `uncorrected` added: the first two of `Learned`, and numbers of
        which the prior is the sum of squares.
        """
        count, usual = len(self.lateness), self.units.new_tensor(USUAL)
        every, one_camera = usual.repeat(count), torch.eye(count).to(self.units)
        calibration = self.doubted[0] * self.projector * every / every[:, None]
        lateness = self.doubted[1] * (one_camera - self.time_weights)
        color = torch.kron(self.doubted[2] * (one_camera - self.color_weights), torch.eye(9).to(one_camera))
        numbers = (self.units * usual).view(-1, 1) * calibration
        found = torch.block_diag(numbers, lateness, color)
        of_color = torch.arange(count, PER_IMAGE * count).view(count, 3, 3).mT.flatten(1)
        rows = torch.cat([torch.arange(count)[:, None], of_color], dim=1).flatten()  # camera after camera
        found[len(numbers) :] = found[len(numbers) + rows]
        # a mean of squares for each kind, for lateness is one number of a camera and the others are nine
        kinds = calibration, lateness, color / USUAL_COLOR
        self.factor.copy_(torch.cat([found, torch.block_diag(*(kind / len(kind) ** 0.5 for kind in kinds))]))

    @torch.no_grad()
    def believe_small_ones(self) -> None:
        """Where no camera's correction is more than what training finds for true cameras, drop it for good."""
        learned = self()
        color = learned.color - torch.eye(3).to(learned.color)
        sizes = self.pixels().norm(dim=1), learned.lateness.abs(), color.flatten(1).norm(dim=1)
        for k, (size, least) in enumerate(zip(sizes, BELIEVED, strict=True)):
            if float(size.max()) < least:
                self.doubted[k] = 0
        self.believed = not bool(self.doubted.any())
        self._renew()

    @torch.no_grad()
    def free(self) -> None:
        """Take nothing out: for cameras that look at what is known already."""
        self.projector.copy_(torch.eye(len(self.projector), dtype=torch.float64))
        self._renew()

    @torch.no_grad()
    def settle_gauge(self) -> None:
        """Choose anew what is common to all cameras: what leaves most of them where they were given.

        One step of iteratively reweighted least squares towards the least sum of (not squared) distances: cameras that are
        far off do not drag the others with them.
        """
        count = len(self.lateness)
        usual = torch.tensor(USUAL, dtype=torch.float64)
        off = (self.pixels().cpu() / usual).square().mean(1).sqrt()
        weight = 1 / (off + off.median() + LEAST_PIXELS)
        W = (weight[:, None] / usual.square()).flatten()
        G = self.gauge.cpu()
        # few cameras may leave a direction open: then it is no gauge for them either
        inverse = torch.linalg.pinv(G.t() @ (W[:, None] * G), rtol=1e-10, hermitian=True)
        projector = torch.eye(count * NUMBERS, dtype=torch.float64) - G @ inverse @ (G.t() * W)
        self.projector.copy_(projector)
        self._settle_mean(self.lateness, self.time_weights, LEAST_FRAMES)
        self._settle_mean(self.color, self.color_weights, LEAST_COLOR)
        self._renew()

    @staticmethod
    def _settle_mean(values: Tensor, weights: Tensor, least: float) -> None:
        """The same for a mean over cameras: weights (V,) towards the geometric median of values (V, ...)."""
        off = _without_mean(values, weights).double().cpu().reshape(len(values), -1)
        weight = 1 / ((off - off.median(0).values).norm(dim=1) + least)
        weights.copy_(weight / weight.sum())

    def found(self, ids: tuple[int, ...]) -> FoundCameras:
        """What is known by now; `ids` (V,) of the cameras."""
        with torch.no_grad():
            learned = self()
            given = learned.numbers, learned.lateness, learned.color
            numbers, lateness, color = (x.double().cpu() for x in given)
            lateness += self.first_lateness.cpu()
            turn, lens = rotation_about(numbers[:, :3]), lens_of(numbers)
            return FoundCameras(ids, CameraCorrection(turn, numbers[:, 3:6], lens, lateness, color))


def _parts(of_images: Tensor) -> tuple[Tensor, Tensor]:
    """Lateness (N,) and colours (N, 3, 3) from rows (N, PER_IMAGE)."""
    lateness, color = of_images.split([1, PER_IMAGE - 1], dim=1)
    return lateness.squeeze(1), color.unflatten(1, (3, 3)).mT


def _without_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Values (V, ...) less their mean over cameras under weights (V,)."""
    weights = weights.to(values.dtype).view(-1, *[1] * (values.dim() - 1))
    return values - (weights * values).sum(0)


@dataclass(frozen=True)
class FoundCameras:
    """What training found out about the cameras that it was given; without any ids, nothing.

    Attributes:
        ids: of the V cameras trained on.
        correction: of each.
    """

    ids: tuple[int, ...] = ()
    correction: CameraCorrection | None = None

    def corrected(self, cameras: Cameras) -> Cameras:
        """Those of the cameras that were trained on as they were found, the others as given; images may have any size."""
        if self.correction is None:
            return cameras
        K, T = cameras.intrinsics.copy(), cameras.T_camera_world.copy()
        turn, shift, lens = (x.numpy() for x in self.correction[:3])
        for i, camera in enumerate(cameras.ids):
            if camera in self.ids:
                v = self.ids.index(camera)
                K[i] = K[i] @ lens[v]
                change = np.eye(4)  # from the given camera's frame to the corrected one's
                change[:3, :3], change[:3, 3] = turn[v].T, -turn[v].T @ shift[v]
                T[i] = change @ T[i]
        return dataclasses.replace(cameras, intrinsics=K, T_camera_world=T)

    def lateness(self, camera: int) -> float:
        """Frames by which a camera (id) is late; 0 for those that were not trained on."""
        if self.correction is None or camera not in self.ids:
            return 0.0
        return float(self.correction.lateness[self.ids.index(camera)])

    def color(self, camera: int) -> np.ndarray:
        """(3, 3) what a camera (id) makes of the object's r, g and b; they themselves if it was not trained on."""
        if self.correction is None or camera not in self.ids:
            return np.eye(3)
        return self.correction.color[self.ids.index(camera)].numpy()


AS_GIVEN = FoundCameras()
"""Cameras that are believed."""
