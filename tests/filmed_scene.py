"""Writes tiny recordings as ZJU-MoCap and RGBD-Dog lie on disk, sharing no code with the package.

A box that moves along x (see tiny_scene), ray-traced through lenses that distort; its colour tells the frame.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe
from tiny_scene import ring, trace, view_matrix

HALF = np.array([0.3, 0.4, 0.5])
LENS = (-0.12, 0.05, 0.004, -0.003, 0.01)  # k1 k2 p1 p2 k3


class Film:
    """Cameras (OpenCV axes, whole-numbered pixel centres) and what they see; `fisheye`: the lens is k1 to k4 of one."""

    def __init__(
        self,
        *,
        eyes=None,
        frames=6,
        width=64,
        height=64,
        lens=LENS,
        unit=1.0,
        aim=(0.0, 0.0, 0.0),
        fisheye=False,
    ):
        self.fisheye = fisheye
        self.eyes = ring(4) if eyes is None else eyes
        self.centers = np.array([[0.05 * t, 0.1, 0.2] for t in range(frames)])
        self.width, self.height, self.lens, self.unit = width, height, lens, unit
        focal = 1.6 * min(width, height)
        self.K = np.array([[focal, 0, width / 2 + 1.2], [0, focal, height / 2 - 2.1], [0, 0, 1]])
        views = [view_matrix(eye, np.array(aim)) for eye in self.eyes]
        self.R = [(M[:3, :3] * [1, -1, -1]).T for M in views]
        self.t = [unit * M[3, :3] * [1, -1, -1] for M in views]
        self._rays: dict[tuple, np.ndarray] = {}

    def rays(self, scale: int = 1) -> np.ndarray:
        """Directions (H, W, 3) in camera axes of the pixels of images `scale` times larger: the lens undone."""
        kept = (scale, self.K.tobytes(), tuple(self.lens))  # a test may change the camera
        if kept not in self._rays:
            self._rays[kept] = self._undone(scale)
        return self._rays[kept]

    def _undone(self, scale: int) -> np.ndarray:
        y, x = np.mgrid[: scale * self.height, : scale * self.width].astype(float)
        x, y = (x + 0.5) / scale - 0.5, (y + 0.5) / scale - 0.5
        drawn = np.stack([(x - self.K[0, 2]) / self.K[0, 0], (y - self.K[1, 2]) / self.K[1, 1]], -1)
        if self.fisheye:
            return self._fisheye_rays(drawn)
        k1, k2, p1, p2, k3 = self.lens
        ideal = drawn.copy()
        for _ in range(60):
            x, y = ideal[..., 0], ideal[..., 1]
            r = x**2 + y**2
            bend = np.stack([2 * p1 * x * y + p2 * (r + 2 * x**2), p1 * (r + 2 * y**2) + 2 * p2 * x * y], -1)
            ideal = (drawn - bend) / (1 + k1 * r + k2 * r**2 + k3 * r**3)[..., None]
        return np.concatenate([ideal, np.ones_like(ideal[..., :1])], -1)

    def _fisheye_rays(self, drawn: np.ndarray) -> np.ndarray:
        """By the angle from the axis, whose fisheye's polynomial is looked up backwards."""
        angle = np.linspace(0, 1.5, 100_000)
        grown = angle * (1 + sum(k * angle ** (2 * n + 2) for n, k in enumerate(self.lens)))
        assert (np.diff(grown) > 0).all()
        far = np.linalg.norm(drawn, axis=-1, keepdims=True)
        theta = np.interp(far, grown, angle)
        return np.concatenate([drawn / np.maximum(far, 1e-12) * np.sin(theta), np.cos(theta)], -1)

    def mask(self, camera: int, frame: int, scale: int = 1) -> np.ndarray:
        directions = self.rays(scale) @ self.R[camera]
        return trace(self.eyes[camera], directions, self.centers[frame], HALF, "box")

    def color(self, frame: int) -> np.ndarray:
        return np.array([40 + 20 * frame, 120, 220 - 20 * frame], np.uint8)

    def image(self, camera: int, frame: int) -> np.ndarray:
        """Opaque, on a busy background."""
        y, x = np.mgrid[: self.height, : self.width]
        image = np.repeat((90 + 60 * ((x // 8 + y // 8) % 2))[..., None], 3, -1).astype(np.uint8)
        image[self.mask(camera, frame)] = self.color(frame)
        return image

    def corners(self, frame: int) -> np.ndarray:
        signs = np.array([[i, j, k] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)])
        return (self.centers[frame] + signs * HALF) * self.unit


def write_video(file: Path, images: list[np.ndarray], *options: str) -> None:
    """H.264 with B-frames and a key frame every 10."""
    file.parent.mkdir(parents=True, exist_ok=True)
    height, width = images[0].shape[:2]
    command = [get_ffmpeg_exe(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-r", "25"]
    command += ["-s", f"{width}x{height}", "-i", "-", "-c:v", "libx264", "-crf", "4", "-bf", "3", "-g", "10"]
    command += ["-pix_fmt", "yuv444p", "-threads", "1", *options, str(file)]
    subprocess.run(command, input=b"".join(i.tobytes() for i in images), check=True)


def opencv_yaml(matrices: dict[str, np.ndarray]) -> str:
    """What FileStorage writes."""
    text = "%YAML:1.0\n---\nnames:\n" + "".join(f'   - "{k[-2:]}"\n' for k in matrices if k.startswith("K_"))
    for name, matrix in matrices.items():
        rows, columns = np.atleast_2d(matrix).shape
        numbers = ",\n       ".join(f"{v:.12e}" if v != int(v) else f"{int(v)}." for v in np.ravel(matrix))
        text += f"{name}: !!opencv-matrix\n   rows: {rows}\n   cols: {columns}\n   dt: d\n   data: [ {numbers} ]\n"
    return text


def rotation_vector(R: np.ndarray) -> np.ndarray:
    angle = np.arccos((np.trace(R) - 1) / 2)
    axis = np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]])
    return axis / np.linalg.norm(axis) * angle


def write_easymocap(path: Path, film: Film, *, video: bool = False, vectors: bool = False) -> Path:
    """Cameras 01, 02, ... in EasyMocap's layout."""
    path.mkdir(parents=True, exist_ok=True)
    inner, outer = {}, {}
    for v in range(len(film.eyes)):
        name = f"{v + 1:02d}"
        inner[f"K_{name}"], inner[f"dist_{name}"] = film.K, np.array([film.lens])
        if vectors:
            outer[f"R_{name}"] = rotation_vector(film.R[v])[:, None]
        else:
            outer[f"Rot_{name}"] = film.R[v]
        outer[f"T_{name}"] = film.t[v][:, None]
        images = [film.image(v, t) for t in range(len(film.centers))]
        if video:
            write_video(path / "videos" / f"{name}.mp4", images)
        for t in range(len(film.centers)):
            if not video:
                (path / "images" / name).mkdir(parents=True, exist_ok=True)
                iio.imwrite(path / "images" / name / f"{t:06d}.jpg", images[t], quality=98)
            (path / "masks" / name).mkdir(parents=True, exist_ok=True)
            iio.imwrite(path / "masks" / name / f"{t:06d}.png", 255 * film.mask(v, t).astype(np.uint8))
    (path / "intri.yml").write_text(opencv_yaml(inner))
    (path / "extri.yml").write_text(opencv_yaml(outer))
    return path


def write_neural_body(path: Path, film: Film) -> Path:
    """Cameras B1, B2, ... as Neural Body released them; T in millimetres, masks of body parts."""
    names = [f"Camera_B{v + 1}" for v in range(len(film.eyes))]
    frames = []
    for t in range(len(film.centers)):
        frames.append({"ims": [f"{name}/{t:06d}.jpg" for name in names], "kpts2d": np.zeros((4, 25, 3))})
        for v, name in enumerate(names):
            for folder in (path / name, path / "mask_cihp" / name):
                folder.mkdir(parents=True, exist_ok=True)
            iio.imwrite(path / name / f"{t:06d}.jpg", film.image(v, t), quality=98)
            parts = film.mask(v, t).astype(np.uint8) * (1 + np.arange(film.width, dtype=np.uint8) % 19)
            iio.imwrite(path / "mask_cihp" / name / f"{t:06d}.png", parts)
        for folder in ("new_vertices", "new_params"):
            (path / folder).mkdir(exist_ok=True)
        np.save(path / "new_vertices" / f"{t}.npy", film.corners(t).astype(np.float32))
    cams = {"K": [film.K] * len(names), "D": [np.array(film.lens)[:, None]] * len(names)}
    cams |= {"R": film.R, "T": [1000 * t[:, None] for t in film.t]}
    np.save(path / "annots.npy", {"cams": cams, "ims": frames}, allow_pickle=True)
    return path


def write_rgbd_dog(dog: Path, film: Film, *, motion: str = "motion_testSeq", mask_scale: int = 2) -> Path:
    """Calibrated for images twice as large as the videos; the film's unit is 1000: millimetres."""
    (dog / "calibration" / "sony").mkdir(parents=True)
    for v in range(len(film.eyes)):
        folder = dog / motion / "sony" / f"camera{v:02d}"
        (folder / "masks").mkdir(parents=True)
        write_video(folder / f"camera{v:02d}_2K.mp4", [film.image(v, t) for t in range(len(film.centers))])
        for t in range(len(film.centers)):
            mask = 255 * film.mask(v, t, mask_scale).astype(np.uint8)
            iio.imwrite(folder / "masks" / f"{v:02d}_{t:08d}_4K.png", mask)
        K = film.K.copy()
        K[:2, 2] = (K[:2, 2] + 0.5) * 2 - 0.5
        K[:2, :2] *= 2
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = film.R[v], film.t[v]
        lines = [
            str(2 * film.width),
            str(2 * film.height),
            *(" ".join(map(repr, row)) for row in K.tolist()),
            "",
        ]
        lines += [*(" ".join(map(repr, row)) for row in T.tolist()), "", " ".join(map(repr, film.lens)), ""]
        (dog / "calibration" / "sony" / f"calibFile{v:02d}").write_text("\n".join(lines))
    return dog / motion


def write_body_model(file: Path, kind: str, vertices: int = 40) -> dict[str, np.ndarray]:
    """A body of random numbers in the arrays of the releases."""
    rng = np.random.default_rng(3)
    J = {"smpl": 24, "smplx": 55}[kind]
    S = {"smpl": 10, "smplx": 20}[kind]
    parents = np.array([2**32 - 1, *(rng.integers(0, j) for j in range(1, J))])
    weights = rng.random((vertices, J)) ** 8
    regressor = rng.random((J, vertices))
    arrays = {
        "v_template": rng.normal(size=(vertices, 3)),
        "shapedirs": 0.05 * rng.normal(size=(vertices, 3, S)),
        "posedirs": 0.02 * rng.normal(size=(vertices, 3, 9 * (J - 1))),
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.stack([parents, np.arange(J)]).astype(np.uint32),
    }
    if kind == "smplx":
        for side in "lr":
            arrays[f"hands_components{side}"] = rng.normal(size=(45, 45))
            arrays[f"hands_mean{side}"] = 0.1 * rng.normal(size=45)
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, joint2num=np.array({"pelvis": 0}, dtype=object), **arrays)
    return arrays


def write_parameters(path: Path, kind: str, frames: int, poses: int) -> list[dict]:
    """smplx/000000.json or smpl/..., as EasyMocap writes them."""
    rng = np.random.default_rng(5)
    found = []
    (path / kind).mkdir(parents=True)
    for t in range(frames):
        person = {"id": 0, "Rh": rng.normal(size=(1, 3)), "Th": rng.normal(size=(1, 3))}
        person |= {"poses": 0.5 * rng.normal(size=(1, poses)), "shapes": rng.normal(size=(1, 10))}
        if kind == "smplx":
            person["expression"] = rng.normal(size=(1, 10))
        found.append(person)
        listed = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in person.items()}
        (path / kind / f"{t:06d}.json").write_text(json.dumps([listed]))
    return found
