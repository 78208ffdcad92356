"""Background subtraction for cameras that stand still: a fallback for recordings without masks.

The background is the median of frames spread over the recording, or of pictures of the empty set; its noise the
median difference of frames that follow each other. What differs beyond doubt tells the object's colours. Each pixel
then has log odds: how likely its colour is for the object, against the background, as it is or darker or lighter in its
own hue (a shadow; Horprasert, Harwood and Davis 1999 split the difference the same way), or any colour. Neighbours
decide together (`mask_field`). Without an empty set, what covers a place for half of the time is taken for background
there, and what never moves is lost.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wim_fast.recordings.mask_field import distance, mean_field

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

SAMPLES = 41  # frames that the background is learned from, if there are as many
SAMPLE_BYTES = 1 << 28  # and they fit into this
LEAST_SAMPLES = 9
LEAST_NOISE = 2.0  # grey levels
BINS = 32  # of each channel, for the colours of the object
UNIFORM = 1 / 256**3  # density of a colour of which nothing is known
DARKEST_SHADOW, BRIGHTEST_LIGHT = 0.4, 1.1  # of the background's brightness: no object by itself
SURE_SHADOW = 0.6  # of it, below which it is none
SHADOW_HUE = 0.012  # by how much a shadow's hue differs, of the brightness
SHADOWS, ANYTHING = 0.15, 0.02  # share of the background in a shadow, and of colours that nothing explains
ANY_COLOR = 0.1  # share of the object whose colours have not been learned
USUAL_SHARE = 0.37  # odds of the object, before looking
WIDER = 1.3  # colours spread more than the noise from frame to frame says
LARGEST = 5.0  # log odds of one pixel
MARGIN = 12  # pixels that neighbours are heard over
TOLD_APART = 2.0  # log odds of a pixel that is sure
DOUBTFUL = -3.0  # log odds from which on a pixel in a hole may be of the object
SURE, POSSIBLE = 4.5, 3.0  # standard deviations: of what is the object beyond doubt, and of a change
STAYS = 0.42  # share of the time, over the places the object comes to, from which it hides the background
FLICKER = 0.25  # relative change of the mask's area from frame to frame
NOTHING = 0.1  # share of the frames in which nothing is found
SURE_OUTLINE = 0.6  # share of the outline
GHOSTS = 0.2  # share of the outline that lies on edges of the background and not of the picture


def samples_of(frames: list[int], size: tuple[int, int]) -> list[int]:
    """Frames that the background of images of (height, width) is learned from, evenly over all."""
    room = max(LEAST_SAMPLES, SAMPLE_BYTES // (3 * size[0] * size[1]))
    count = min(len(frames), SAMPLES, room)
    return [frames[round(i)] for i in np.linspace(0, len(frames) - 1, count)]


@dataclass(frozen=True)
class Background:
    """What a camera sees when nothing is there, and the colours of what moves before it."""

    color: NDArray[np.float32]  # (H, W, 3)
    noise: NDArray[np.float32]  # (H, W) standard deviation of a channel
    object_colors: NDArray[np.float32]  # (BINS ** 3,) density per volume of colours

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
        background = cls(color, noise, np.zeros(BINS**3, np.float32))
        background = background._with_colors_of(images, [background._sure(image) for image in images])
        again = images[::3]  # what is found by the colours of what is sure has more of them
        return background._with_colors_of(again, [background.foreground(image) for image in again])

    def foreground(self, image: Pixels) -> Mask:
        """Where in an image (H, W, 3) the object is (H, W)."""
        from scipy import ndimage

        evidence = self.evidence(image)
        change = distance(image, self.color) / self.noise
        changed = ndimage.gaussian_filter(change, 1.0) > POSSIBLE
        found = np.zeros(changed.shape, bool)
        if (box := _box_of(ndimage.binary_opening(evidence > 0))) is not None:
            soft = ndimage.gaussian_filter(image[box].astype(np.float32), (0.7, 0.7, 0))
            found[box] = mean_field(evidence[box], soft, self.color[box]) > 0
        return _cleaned(found, changed, evidence)

    def evidence(self, image: Pixels) -> NDArray[np.float32]:
        """Log odds (H, W), at most `LARGEST`, that a pixel of an image (H, W, 3) is of the object, by itself."""
        ours = (1 - ANY_COLOR) * self.object_colors[_bins(image)] + ANY_COLOR * UNIFORM
        odds = np.log(ours) - np.log(self._likelihood(image)) + np.log(USUAL_SHARE)
        return np.clip(odds, -LARGEST, LARGEST).astype(np.float32)

    def _likelihood(self, image: Pixels) -> NDArray[np.float32]:
        """Density (H, W) of the colours if nothing is there: the background, in a shadow or a light, or anything."""
        brightness, across, length = self._split(image)
        noise = WIDER * self.noise
        plain = np.exp(-((distance(image, self.color) / noise) ** 2) / 2) / (2 * np.pi * noise**2) ** 1.5
        loose = self.noise + SHADOW_HUE * length
        lit = (brightness > DARKEST_SHADOW * length) & (brightness < BRIGHTEST_LIGHT * length)
        shadow = lit * np.exp(-((across / loose) ** 2) / 2) / (2 * np.pi * loose**2)
        shadow /= (BRIGHTEST_LIGHT - DARKEST_SHADOW) * length
        return (1 - SHADOWS - ANYTHING) * plain + SHADOWS * shadow + ANYTHING * UNIFORM

    def _split(self, image: Pixels) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Brightness (H, W) along the background's hue, distance from it, and the background's own brightness."""
        length = np.maximum(np.sqrt(np.einsum("...c,...c->...", self.color, self.color)), 8.0)
        hue = self.color / length[..., None]
        picture = image.astype(np.float32)
        brightness = np.einsum("...c,...c->...", picture, hue)
        return brightness, distance(picture, brightness[..., None] * hue), length

    def _sure(self, image: Pixels) -> Mask:
        """Where an image (H, W, 3) differs from the background beyond doubt."""
        from scipy import ndimage

        brightness, across, length = self._split(image)
        along = np.maximum(SURE_SHADOW * length - brightness, brightness - BRIGHTEST_LIGHT * length)
        off = np.maximum(across / np.sqrt(2), along) / self.noise
        return np.asarray(ndimage.gaussian_filter(np.minimum(off, 2 * SURE), 1.0) > SURE)

    def _with_colors_of(self, images: Pixels, masks: list[Mask]) -> Background:
        """The same, with the object's colours learned from images (n, H, W, 3) in masks (H, W)."""
        from scipy import ndimage

        counts = np.zeros(BINS**3)
        for image, mask in zip(images, masks, strict=True):
            counts += np.bincount(_bins(image)[ndimage.binary_erosion(mask)], minlength=BINS**3)
        density = ndimage.gaussian_filter(counts.reshape(BINS, BINS, BINS), 1.0, mode="nearest").ravel()
        density *= BINS**3 * UNIFORM / max(density.sum(), 1.0)
        return dataclasses.replace(self, object_colors=density.astype(np.float32))


def _bins(image: Pixels) -> NDArray[np.int32]:
    """Which bin of colours each pixel (H, W, 3) is in (H, W)."""
    r, g, b = np.moveaxis(image.astype(np.int32) * BINS // 256, -1, 0)
    return (r * BINS + g) * BINS + b


def _box_of(found: Mask) -> tuple[slice, slice] | None:
    """Rows and columns that hold all of it, with a margin; None if there is nothing."""
    rows, columns = np.flatnonzero(found.any(1)), np.flatnonzero(found.any(0))
    if not len(rows):
        return None
    first_row, first_column = max(0, rows[0] - MARGIN), max(0, columns[0] - MARGIN)
    return slice(first_row, rows[-1] + MARGIN + 1), slice(first_column, columns[-1] + MARGIN + 1)


def _cleaned(found: Mask, changed: Mask, evidence: NDArray[np.float32]) -> Mask:
    """Without specks, cracks, small pieces, and holes that are small or have changed and may be of the object."""
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
        share = np.bincount(holes.ravel(), (changed & (evidence > DOUBTFUL)).ravel()) / area
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
    sure: list[float] | None = None  # shares of the outline
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
            self.sure = [*(self.sure or []), _sure_share(background.evidence(image), mask)]

    @property
    def share(self) -> float:
        """Share of the image that was found, on average."""
        return float(np.mean(self.areas or [0.0]))

    def numbers(self) -> dict[str, float]:
        """What is known about the masks, as shares.

        share: of the image, on average; nothing: of the frames, in which there is none; flicker: median change of the
        area from frame to frame; stays: of the time, in which the places that the object comes to are covered;
        ghosts: of the outline, where the background has an edge and the image has not; sure: of the outline, where the
        pixels on both sides of it are told apart by their colours alone.
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
            "sure": float(np.mean(self.sure or [0.0])),
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
        if numbers["sure"] < SURE_OUTLINE:
            found.append(
                f"only {numbers['sure']:.0%} of the outline is sure: the object looks like what is behind it"
            )
        if numbers["flicker"] > FLICKER:
            found.append("the masks flicker")
        return found


def _sure_share(evidence: NDArray[np.float32], mask: Mask) -> float:
    """Share of a mask's outline that has, within two pixels, log odds of `TOLD_APART` for the object in the mask, and
    against it outside."""
    from scipy import ndimage
    from skimage.morphology import disk

    outline = mask ^ ndimage.binary_erosion(mask, disk(1))
    inside = ndimage.maximum_filter(np.where(mask, evidence, -LARGEST), 5)[outline] > TOLD_APART
    outside = ndimage.minimum_filter(np.where(mask, LARGEST, evidence), 5)[outline] < -TOLD_APART
    return float((inside & outside).mean())


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
