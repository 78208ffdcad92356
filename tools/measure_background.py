"""How good background subtraction is: IoU of its masks with true ones, camera by camera.

    python tools/measure_background.py room SCENE      # a raw scene's object, composed over a beige room
    python tools/measure_background.py film VIDEOS MASKS

The room has a patterned wall and floor, and a soft shadow of the object; each camera is judged as the object is and in
the colour of skin, with and without a picture of the empty room. A film is judged at half its size; MASKS holds a folder
for each video.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from wim_fast.recordings.background import Background, samples_of
from wim_fast.recordings.image_files import numbered_files, read_labels, read_rgba
from wim_fast.recordings.video import Video

SIDE = 384
SKIN = np.array([225.0, 170, 140])
EVERY = 5  # frames


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="what", required=True)
    room = commands.add_parser("room")
    room.add_argument("scene", type=Path)
    room.add_argument("--cameras", type=int, nargs="+", default=[0, 2, 4])
    film = commands.add_parser("film")
    film.add_argument("videos", type=Path)
    film.add_argument("masks", type=Path)
    args = parser.parse_args()
    if args.what == "room":
        for camera in args.cameras:
            for name, color in (("as it is", None), ("as skin", SKIN)):
                images, masks, empty = composed(args.scene, camera, color)
                print(f"camera {camera}, {name}: {report(images, masks, None)}")
                print(f"camera {camera}, {name}, with the empty room: {report(images, masks, empty)}")
    else:
        for video in sorted(args.videos.iterdir()):
            print(f"{video.stem}: {report(*halved(video, args.masks / video.stem), None)}")


def report(images: NDArray, masks: NDArray, empty: NDArray | None) -> str:
    """Means over every fifth frame, the background learned from as many frames as import takes."""
    background = Background.of(images[samples_of(list(range(len(images))), images.shape[1:3])], empty)
    scores = []
    for image, true in zip(images[::EVERY], masks[::EVERY], strict=True):
        found = background.foreground(image)
        both = (found & true).sum()
        scores.append([both / (found | true).sum(), both / max(found.sum(), 1), both / true.sum()])
    iou, precision, recall = np.mean(scores, axis=0)
    return f"IoU {iou:.3f}, precision {precision:.3f}, recall {recall:.3f}"


def composed(scene: Path, camera: int, color: NDArray | None) -> tuple[NDArray, NDArray, NDArray]:
    """Images (T, SIDE, SIDE, 3), masks and a picture (1, SIDE, SIDE, 3) of the empty room."""
    rng = np.random.default_rng(camera)
    wall = room(rng)
    images, masks = [], []
    for file in sorted(scene.glob(f"frame_*_cam_{camera:03d}.png")):
        rgba = Image.fromarray(read_rgba(file)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        pixels = np.asarray(rgba, float)
        rgb, alpha = pixels[..., :3], pixels[..., 3:] / 255
        if color is not None:
            rgb = color * (0.45 + 0.65 * rgb.mean(-1, keepdims=True) / 255)
        shadow = ndimage.gaussian_filter(np.roll(alpha[..., 0], (14, 30), (0, 1)), 5)[..., None]
        images.append(filmed(rng, wall * (1 - 0.38 * shadow) * (1 - alpha) + rgb * alpha))
        masks.append(alpha[..., 0] > 0.5)
    return np.stack(images), np.stack(masks), filmed(rng, wall)[None]


def room(rng: np.random.Generator) -> NDArray:
    """A beige wall with a picture and a post, and a brown floor."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    pattern = sum(
        size * ndimage.gaussian_filter(rng.normal(size=x.shape), s) for s, size in ((3, 40), (20, 150))
    )
    wall = np.where((y > 0.72)[..., None], [150, 120, 95], [205, 185, 160]) * (0.75 + 0.3 * y)[..., None]
    wall = wall + np.asarray(pattern)[..., None]
    wall[(x > 0.1) & (x < 0.3) & (y > 0.15) & (y < 0.45)] = [90, 110, 120]
    wall[(x > 0.72) & (x < 0.77)] *= 0.8
    return wall


def filmed(rng: np.random.Generator, image: NDArray) -> NDArray[np.uint8]:
    soft = ndimage.gaussian_filter(image, (0.6, 0.6, 0))
    return np.clip(soft + 3 * rng.normal(size=image.shape), 0, 255).astype(np.uint8)


def halved(video: Path, masks: Path) -> tuple[NDArray, NDArray]:
    """Images and masks of the frames that have both, every second pixel of the masks."""
    files = numbered_files(masks, (".png",))
    film = Video(video)
    images, found = [], []
    for frame, rgb in film.frames(sorted(set(files) & set(range(len(film))))):
        size = rgb.shape[1] // 2, rgb.shape[0] // 2
        images.append(np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BOX)))
        found.append(read_labels(files[frame])[: 2 * size[1] : 2, : 2 * size[0] : 2] > 0)
    return np.stack(images), np.stack(found)


if __name__ == "__main__":
    main()
