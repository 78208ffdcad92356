"""Writes a film (see filmed_scene) as people have their recordings, sharing no code with the package.

Pixel centres: the film's K has them at whole numbers, as OpenCV; COLMAP and transforms.json have them at +0.5.
"""

from __future__ import annotations

import copy
import json
import struct
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from filmed_scene import Film, opencv_yaml, rotation_vector, write_video


def turned(film: Film, R: np.ndarray, scale: float, shift: np.ndarray) -> Film:
    """The same film in a world y = scale * R x + shift: only the cameras' poses change."""
    other = copy.copy(film)
    other.R = [r @ R.T for r in film.R]
    other.t = [scale * t - r @ R.T @ shift for r, t in zip(film.R, film.t, strict=True)]
    return other


def write_folders(path: Path, film: Film, names: list[str], masks: Path | None, alpha: bool = False) -> None:
    """A folder of pictures for each camera; masks alike."""
    for v, name in enumerate(names):
        (path / name).mkdir(parents=True, exist_ok=True)
        if masks:
            (masks / name).mkdir(parents=True, exist_ok=True)
        for t in range(len(film.centers)):
            mask = 255 * film.mask(v, t).astype(np.uint8)
            image = film.image(v, t)
            if alpha:
                image = np.concatenate([image, mask[..., None]], -1)
            iio.imwrite(path / name / f"{t:04d}.png", image)
            if masks:
                iio.imwrite(masks / name / f"{t:04d}.png", mask)


def write_flat(path: Path, film: Film) -> None:
    """RGBA pictures of all cameras in one folder: shot_cam2_0003.png."""
    path.mkdir(parents=True, exist_ok=True)
    for v in range(len(film.eyes)):
        for t in range(len(film.centers)):
            mask = 255 * film.mask(v, t).astype(np.uint8)
            rgba = np.concatenate([film.image(v, t), mask[..., None]], -1)
            iio.imwrite(path / f"shot_cam{v}_{t:04d}.png", rgba)


def write_videos(path: Path, film: Film, names: list[str], masks: Path) -> None:
    """A video for each camera; masks as videos too."""
    for v, name in enumerate(names):
        frames = range(len(film.centers))
        write_video(path / f"{name}.mp4", [film.image(v, t) for t in frames])
        mask = [np.repeat(255 * film.mask(v, t).astype(np.uint8)[..., None], 3, -1) for t in frames]
        write_video(masks / f"{name}.mp4", mask)


def quaternion(R: np.ndarray) -> np.ndarray:
    """w x y z, by the axis and angle."""
    vector = rotation_vector(R)
    angle = np.linalg.norm(vector)
    return np.array([np.cos(angle / 2), *(np.sin(angle / 2) * vector / angle)])


def colmap_parameters(film: Film, model: str) -> list[float]:
    """The film's camera in a model's own order of parameters."""
    fx, fy, cx, cy = film.K[0, 0], film.K[1, 1], film.K[0, 2] + 0.5, film.K[1, 2] + 0.5
    k1, k2, p1, p2, k3 = [*film.lens, 0.0][:5]
    return {
        "SIMPLE_PINHOLE": [fx, cx, cy],
        "PINHOLE": [fx, fy, cx, cy],
        "SIMPLE_RADIAL": [fx, cx, cy, k1],
        "RADIAL": [fx, cx, cy, k1, k2],
        "OPENCV": [fx, fy, cx, cy, k1, k2, p1, p2],
        "FULL_OPENCV": [fx, fy, cx, cy, k1, k2, p1, p2, k3, 0.0, 0.0, 0.0],
        "OPENCV_FISHEYE": [fx, fy, cx, cy, *film.lens[:4]],
        "RAD_TAN_THIN_PRISM_FISHEYE": [fx, fy, cx, cy, *film.lens[:4], *[0.0] * 8],
    }[model]


COLMAP_NUMBERS = {
    "SIMPLE_PINHOLE": 0,
    "PINHOLE": 1,
    "SIMPLE_RADIAL": 2,
    "RADIAL": 3,
    "OPENCV": 4,
    "OPENCV_FISHEYE": 5,
    "FULL_OPENCV": 6,
    "RAD_TAN_THIN_PRISM_FISHEYE": 11,
}


def write_colmap_text(path: Path, film: Film, names: list[str], model: str) -> None:
    """cameras.txt and images.txt; each image has a line of points, one of them empty."""
    path.mkdir(parents=True, exist_ok=True)
    numbers = " ".join(repr(float(p)) for p in colmap_parameters(film, model))
    (path / "cameras.txt").write_text(
        f"# Camera list\n# Number of cameras: 1\n7 {model} {film.width} {film.height} {numbers}\n"
    )
    text = "# Image list with two lines of data per image:\n"
    for v, name in enumerate(names):
        pose = " ".join(repr(float(p)) for p in (*quaternion(film.R[v]), *film.t[v]))
        text += f"{v + 1} {pose} 7 {name}\n" + ("\n" if v == 0 else "1.5 2.5 -1 3.0 4.0 17\n")
    (path / "images.txt").write_text(text)


def write_colmap_binary(path: Path, film: Film, names: list[str], model: str) -> None:
    """cameras.bin and images.bin."""
    path.mkdir(parents=True, exist_ok=True)
    values = colmap_parameters(film, model)
    cameras = struct.pack("<Q", 1) + struct.pack("<IiQQ", 7, COLMAP_NUMBERS[model], film.width, film.height)
    (path / "cameras.bin").write_bytes(cameras + struct.pack(f"<{len(values)}d", *values))
    images = struct.pack("<Q", len(names))
    for v, name in enumerate(names):
        images += struct.pack("<I", v + 1) + struct.pack("<4d", *quaternion(film.R[v]))
        images += struct.pack("<3d", *film.t[v]) + struct.pack("<I", 7) + name.encode() + b"\0"
        images += struct.pack("<Q", v) + v * struct.pack("<ddq", 1.5, 2.5, -1)
    (path / "images.bin").write_bytes(images)


def transforms(film: Film, names: list[str], *, each: bool = False, frames: int = 1) -> dict:
    """What nerfstudio writes; `each`: intrinsics in every frame. Names may hold a {t} for the frame."""
    inner = {"fl_x": film.K[0, 0], "fl_y": film.K[1, 1], "cx": film.K[0, 2] + 0.5, "cy": film.K[1, 2] + 0.5}
    names_of_numbers = ("k1", "k2", "k3", "k4") if film.fisheye else ("k1", "k2", "p1", "p2", "k3")
    inner |= {"w": film.width, "h": film.height, **dict(zip(names_of_numbers, film.lens, strict=True))}
    listed = []
    for v, name in enumerate(names):
        M = np.eye(4)
        M[:3, :3] = film.R[v].T @ np.diag([1, -1, -1])
        M[:3, 3] = -film.R[v].T @ film.t[v]
        for t in range(frames):
            listed.append({"file_path": name.format(t=t), "transform_matrix": M.tolist()})
            if each:
                listed[-1].update(inner)
    return {
        "camera_model": "OPENCV_FISHEYE" if film.fisheye else "OPENCV",
        **({} if each else inner),
        "frames": listed,
    }


def write_transforms(file: Path, data: dict) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(data))


def write_opencv(path: Path, film: Film, names: list[str], *, vectors: bool) -> None:
    """One file for each camera."""
    path.mkdir(parents=True, exist_ok=True)
    for v, name in enumerate(names):
        matrices = {"camera_matrix": film.K, "distortion_coefficients": np.array([film.lens])}
        if vectors:
            matrices |= {"rvec": rotation_vector(film.R[v])[:, None], "tvec": film.t[v][:, None]}
        else:
            matrices |= {"R": film.R[v], "T": film.t[v][:, None]}
        head = f"image_width: {film.width}\nimage_height: {film.height}\n"
        head += "fisheye_model: 1\n" if film.fisheye else ""
        (path / f"{name}.yml").write_text(opencv_yaml(matrices).replace("names:\n", head))
