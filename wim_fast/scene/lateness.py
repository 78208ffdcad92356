"""Cameras that run some frames late or early, found from the masks alone.

What the other cameras see of a moment, carved into a hull, casts a silhouette into a camera: it fits the mask of the frame
in which this camera saw the same moment.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wim_fast.recordings.cameras import project
from wim_fast.recordings.masks import BACKGROUND, OBJECT
from wim_fast.scene.scene import Scene
from wim_fast.scene.visual_hull import visual_hull

MOST = 6  # frames that are looked for, each way
MOMENTS = 5  # compared
OTHERS = 6  # cameras whose hull is compared with
COARSE = 56  # pixels of the masks' longer side: a voxel of the hull is about one
VOXELS = 40  # along the hull's longest side
MENDED = 0.85  # of the misfit at most is left when a camera is put into step
CONTRADICTED = (
    0.005  # share of a mask outside of the others' hull from which on the camera may be out of step
)
EXPLAINED = 0.5  # of that share at most is left when it is put into step


def late_frames(scene: Scene) -> NDArray[np.int64]:
    """(V,) how many frames later than most each camera's pictures show a moment; negative: earlier.

    A picture of frame f shows what those of the others show at f + lateness. Zero where nothing tells: fewer than three
    cameras, too few frames, or a fit that does not become much better.
    """
    late = np.zeros(scene.num_cameras, np.int64)
    most = min(MOST, (scene.num_frames - 1) // 4)
    if scene.num_cameras < 3 or most < 1 or not _contradicted(scene):
        return late
    lags = np.arange(-most, most + 1)
    for _ in range(scene.num_cameras // 2):  # the others are the majority that says what is in step
        fits = [_put_into_step(scene, v, late, lags) for v in range(scene.num_cameras)]
        worst = min(range(scene.num_cameras), key=lambda v: fits[v][0])
        left, best = fits[worst]
        if not left < MENDED:
            break
        late[worst] = best
    return late


def _contradicted(scene: Scene) -> bool:
    """Whether a mask reaches beyond the hull of all cameras: if none does, none does beyond that of the others."""
    outside, either = np.zeros((2, scene.num_cameras))
    for moment in _moments(scene, 0):
        points = visual_hull(scene.cameras, scene.mask[:, moment], VOXELS)
        for v in range(scene.num_cameras):
            _, of_either, beyond = _compared(scene, v, points, scene.mask[v, moment])
            either[v] += of_either
            outside[v] += beyond
    return bool((outside >= CONTRADICTED * np.maximum(either, 1)).any())


def _put_into_step(
    scene: Scene, camera: int, late: NDArray[np.int64], lags: NDArray[np.int64]
) -> tuple[float, int]:
    """Share of a camera's misfit that is left at the lateness that fits best, and that lateness.

    A hull may be larger than the object, so a better fit alone says little. What is impossible in step is a mask that
    reaches beyond the hull: without that, or if it stays, all of the misfit is left.
    """
    misfit, outside = _misfits(scene, camera, late, lags)
    now, best = int(np.flatnonzero(lags == late[camera])[0]), int(misfit.argmin())
    if outside[now] < CONTRADICTED or outside[best] > EXPLAINED * outside[now]:
        return 1.0, int(late[camera])
    return float(misfit[best] / max(misfit[now], 1e-9)), int(lags[best])


def _misfits(
    scene: Scene, camera: int, late: NDArray[np.int64], lags: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """If a camera ran so late, (K,): what its mask and the silhouette of the others' hull do not share, and what of
    its mask lies outside of that silhouette, both as shares of what either has."""
    others = [v for v in range(scene.num_cameras) if v != camera]
    others = [others[i] for i in np.unique(np.linspace(0, len(others) - 1, OTHERS).astype(int))]
    shared, either, outside = np.zeros((3, len(lags)))
    for moment in _moments(scene, int(np.abs(lags).max() + np.abs(late).max())):
        frames = np.clip(moment - late[others], 0, scene.num_frames - 1)
        masks = np.stack([scene.mask[v, f] for v, f in zip(others, frames, strict=True)])
        points = visual_hull(scene.cameras.select(others), masks, VOXELS)
        if not len(points):
            continue
        for k, lag in enumerate(lags):
            frame = moment - lag
            if 0 <= frame < scene.num_frames:
                found = _compared(scene, camera, points, scene.mask[camera, frame])
                shared[k], either[k], outside[k] = np.add((shared[k], either[k], outside[k]), found)
    return 1 - shared / np.maximum(either, 1), outside / np.maximum(either, 1)


def _moments(scene: Scene, margin: int) -> NDArray[np.int64]:
    """Some frames, `margin` from the ends where there are as many."""
    moments = np.linspace(margin, scene.num_frames - 1 - margin, MOMENTS).astype(int)
    return np.unique(np.clip(moments, 0, scene.num_frames - 1))


def _compared(
    scene: Scene, camera: int, points: NDArray[np.float64], mask: NDArray[np.uint8]
) -> tuple[int, int, int]:
    """Pixels, thinned out, that points (M, 3) cast into a camera share with its mask, that either has, and that the
    mask alone has farther than a pixel off."""
    from scipy.ndimage import binary_dilation

    cast, seen = _coarse(scene, camera, points, mask)
    inside = seen == OBJECT
    either = (cast & (seen == BACKGROUND)) | inside
    return int((cast & inside).sum()), int(either.sum()), int((inside & ~binary_dilation(cast)).sum())


def _coarse(
    scene: Scene, camera: int, points: NDArray[np.float64], mask: NDArray[np.uint8]
) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    """Where points (M, 3) fall in a camera's picture, and its mask, both thinned out (h, w)."""
    every = -(-max(mask.shape) // COARSE)
    seen = mask[every // 2 :: every, every // 2 :: every]
    pixels = np.floor(project(scene.cameras.select([camera]), points)[0][0] / every).astype(int)
    inside = ((pixels >= 0) & (pixels < np.array(seen.shape)[::-1])).all(1)
    cast = np.zeros(seen.shape, bool)
    cast[pixels[inside, 1], pixels[inside, 0]] = True
    return cast, seen
