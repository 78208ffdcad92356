"""Background subtraction for cameras that stand still: a fallback for recordings without masks.

The background is the median of frames spread over the recording, or of pictures of the empty set; its noise the
median difference of frames that follow each other. A pixel belongs to the object where its colour leaves the
background by more than noise; a pixel that only gets darker, in the background's own hue, is a shadow (Horprasert,
Harwood and Davis 1999 split the difference the same way). Without an empty set, what covers a place for half of the
time is taken for background there, and what never moves is lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

SAMPLES = 41  # frames that the background is learned from, if there are as many
SAMPLE_BYTES = 1 << 28  # and they fit into this
LEAST_SAMPLES = 9
LEAST_NOISE = 2.0  # grey levels
DARKEST_SHADOW, BRIGHTEST_LIGHT = 0.6, 1.1  # of the background's brightness: no object by itself
SURE, POSSIBLE = 4.5, 3.0  # standard deviations: of the smoothed evidence, and of a pixel beside a sure one
STAYS = 0.42  # share of the time, over the places the object comes to, from which it hides the background
FLICKER = 0.25  # relative change of the mask's area from frame to frame
NOTHING = 0.1  # share of the frames in which nothing is found
GHOSTS = 0.2  # share of the outline that lies on edges of the background and not of the picture


def samples_of(frames: list[int], size: tuple[int, int]) -> list[int]:
    """Frames that the background of images of (height, width) is learned from, evenly over all."""
    room = max(LEAST_SAMPLES, SAMPLE_BYTES // (3 * size[0] * size[1]))
    count = min(len(frames), SAMPLES, room)
    return [frames[round(i)] for i in np.linspace(0, len(frames) - 1, count)]


@dataclass(frozen=True)
class Background:
    """What a camera sees when nothing is there."""

    color: NDArray[np.float32]  # (H, W, 3)
    noise: NDArray[np.float32]  # (H, W) standard deviation of a channel

    @classmethod
    def of(cls, images: Pixels, empty: Pixels | None = None) -> Background:
        """From images (n, H, W, 3) of a camera in the order of time, and pictures (m, H, W, 3) of its empty set."""
        from scipy import ndimage

        color = np.empty(images.shape[1:], np.float32)
        spread = np.zeros(images.shape[1:3], np.float32)
        for y in range(0, images.shape[1], 32):  # in stripes: medians need room
            stripe = images[:, y : y + 32]
            color[y : y + 32] = np.median(stripe if empty is None else empty[:, y : y + 32], axis=0)
            if len(images) > 1:
                change = np.abs(np.diff(stripe.astype(np.float32), axis=0))
                spread[y : y + 32] = 1.4826 / np.sqrt(2) * np.median(change, axis=0).mean(axis=-1)
        noise = np.maximum(ndimage.uniform_filter(spread, 5), LEAST_NOISE)
        return cls(color, noise)

    def foreground(self, image: Pixels) -> Mask:
        """Where in an image (H, W, 3) the object is (H, W)."""
        from scipy import ndimage

        evidence = self._evidence(image)
        possible = evidence > POSSIBLE
        sure = ndimage.gaussian_filter(np.minimum(evidence, 2 * SURE), 1.0) > SURE
        change = np.linalg.norm(image - self.color, axis=-1) / self.noise
        changed = ndimage.gaussian_filter(change, 1.0) > POSSIBLE
        return _cleaned(ndimage.binary_propagation(sure & possible, mask=possible), changed)

    def _evidence(self, image: Pixels) -> NDArray[np.float32]:
        """By how many standard deviations each pixel (H, W) leaves the background, shadows forgiven."""
        length = np.maximum(np.linalg.norm(self.color, axis=-1), 8.0)
        hue = self.color / length[..., None]
        picture = image.astype(np.float32)
        brightness = (picture * hue).sum(-1)
        across = np.linalg.norm(picture - brightness[..., None] * hue, axis=-1) / np.sqrt(2)
        darker = DARKEST_SHADOW * length - brightness
        lighter = brightness - BRIGHTEST_LIGHT * length
        along = np.maximum(np.maximum(darker, lighter), 0)
        return np.asarray(np.maximum(across, along) / self.noise, np.float32)


def _cleaned(found: Mask, changed: Mask) -> Mask:
    """Without specks, cracks, small pieces, and holes that are small or in which more has `changed` than not.

    A shadow that the object surrounds is more likely a part of it.
    """
    from scipy import ndimage
    from skimage.morphology import disk

    size = max(found.shape)
    around = disk(max(1, size // 400))
    found = ndimage.binary_opening(found, disk(1))
    found = np.pad(found, len(around))
    found = ndimage.binary_closing(found, around)[(slice(len(around), -len(around)),) * 2]
    holes, count = ndimage.label(~found)
    if count:
        area = np.bincount(holes.ravel())
        area[0] = found.size  # the object itself
        share = np.bincount(holes.ravel(), changed.ravel()) / area
        outside = np.unique(np.concatenate([holes[[0, -1]].ravel(), holes[:, [0, -1]].ravel()]))
        share[outside] = 0.0
        found = found | ((area < (size / 50) ** 2) | (share > 0.5))[holes]
    pieces, count = ndimage.label(found, np.ones((3, 3)))
    if not count:
        return found
    area = np.bincount(pieces.ravel())
    area[0] = 0
    return (area >= max(0.08 * area.max(), (size / 150) ** 2))[pieces]


@dataclass
class Found:
    """How the masks of one camera look, gathered frame by frame."""

    count: int = 0
    often: NDArray[np.int32] | None = None  # (H, W) in how many frames
    areas: list[float] | None = None  # shares of the image
    ghosts: list[float] | None = None
    empty: bool = False  # there were pictures of the empty set

    def add(self, background: Background, image: Pixels, mask: Mask) -> None:
        """The mask (H, W) that was found in an image (H, W, 3)."""
        self.often = mask.astype(np.int32) if self.often is None else self.often + mask
        self.areas = [*(self.areas or []), float(mask.mean())]
        self.count += 1
        if self.count % 3 == 1 and mask.any():
            self.ghosts = [*(self.ghosts or []), _ghost_share(background, image, mask)]

    @property
    def share(self) -> float:
        """Share of the image that was found, on average."""
        return float(np.mean(self.areas or [0.0]))

    def numbers(self) -> dict[str, float]:
        """What is known about the masks, as shares.

        share: of the image, on average; nothing: of the frames, in which there is none; flicker: median change of the
        area from frame to frame; stays: of the time, in which the places that the object comes to are covered;
        ghosts: of the outline, where the background has an edge and the image has not.
        """
        areas = np.array(self.areas or [0.0])
        flicker = (
            np.median(np.abs(np.diff(areas))) / max(float(np.median(areas)), 1e-9) if len(areas) > 1 else 0.0
        )
        often = self.often if self.often is not None else np.zeros((1, 1))
        places = often > 0
        stays = float(often[places].mean()) / max(self.count, 1) if places.any() else 0.0
        ghosts = float(np.mean(self.ghosts or [0.0]))
        nothing = float((areas == 0).mean())
        return {
            "share": self.share,
            "nothing": nothing,
            "flicker": float(flicker),
            "stays": stays,
            "ghosts": ghosts,
        }

    def warnings(self) -> list[str]:
        """What makes these masks doubtful."""
        numbers, found = self.numbers(), []
        if numbers["share"] < 1e-3:
            return ["next to nothing moves in its image"]
        if numbers["share"] > 0.5:
            found.append("more than half of its image changes: does the camera move, or the light change?")
        if numbers["stays"] > STAYS and not self.empty:
            found.append("the object hardly leaves its place: what stays is taken for background")
        if numbers["ghosts"] > GHOSTS:
            found.append("places that the object has left are taken for the object")
        if numbers["nothing"] > NOTHING:
            found.append(f"in {numbers['nothing']:.0%} of the frames nothing is found")
        if numbers["flicker"] > FLICKER:
            found.append("the masks flicker")
        return found


def _ghost_share(background: Background, image: Pixels, mask: Mask) -> float:
    """Share of the mask's outline on which the background has a stronger edge than the image."""
    from scipy import ndimage
    from skimage.morphology import disk

    outline = mask ^ ndimage.binary_erosion(mask, disk(1))
    outline[[0, -1]] = outline[:, [0, -1]] = False
    if not outline.any():
        return 0.0
    ours, theirs = (
        ndimage.gaussian_gradient_magnitude(picture.astype(np.float32).mean(-1), 1.5)[outline]
        for picture in (image, background.color)
    )
    return float((theirs > 1.5 * ours + 1.0).mean())
