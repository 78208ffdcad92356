"""How dm_control's dog moves, as joint values: a walk that turns into a trot, a canter and a stand.

Kinematics only. Paws follow stance and swing paths in a frame that travels with the dog; legs reach them by
least squares over the joints of each leg; spine, neck, head and tail follow the stride. The dog goes on a
treadmill, as it were: its body moves a little to and fro and turns, so that it stays in sight.
Angles in radians, lengths in metres, time in seconds; x forward, y left, z up.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Gait:
    """One manner of going.

    cadence: strides per second. phases: share of the stride at which each paw lands: left hind, left fore,
    right hind, right fore. duty: share of the stride that a paw is on the ground. stride: how far it goes
    back on it. lift: how high it swings. bounce: of the trunk, twice a stride. rock, flex: pitch of trunk and
    spine, once a stride. sway: sideways bending of the spine. crouch: of the trunk. neck: its
    lowering.
    """

    cadence: float
    phases: tuple[float, float, float, float]
    duty: float
    stride: float
    lift: float
    bounce: float
    rock: float
    flex: float
    sway: float
    crouch: float
    neck: float


_FOUR_BEATS, _TWO_BEATS = (0.0, 0.25, 0.5, 0.75), (0.0, 0.5, 0.5, 1.0)
_THREE_BEATS = (0.0, 0.35, 0.35, 0.7)
WALK = Gait(0.8, _FOUR_BEATS, 0.64, 0.27, 0.07, 0.006, 0.0, 0.0, 0.06, 0.035, 0.22)
TROT = Gait(1.05, _TWO_BEATS, 0.48, 0.28, 0.08, 0.014, 0.0, 0.01, 0.03, 0.04, 0.05)
CANTER = Gait(1.3, _THREE_BEATS, 0.42, 0.34, 0.10, 0.008, 0.09, 0.09, 0.02, 0.05, 0.12)
STAND = Gait(0.3, _FOUR_BEATS, 0.64, 0.0, 0.0, 0.0, 0.0, 0.0, 0.02, 0.015, -0.05)

# (time, gait): between two entries the gait changes smoothly; after the last it starts again.
SCRIPT = (
    (0.0, WALK),
    (1.6, WALK),
    (2.4, TROT),
    (6.0, TROT),
    (7.0, CANTER),
    (10.0, CANTER),
    (11.0, TROT),
    (13.0, TROT),
    (14.0, WALK),
    (16.0, WALK),
    (17.0, STAND),
    (19.0, STAND),
    (20.0, WALK),
)


def gait_at(times: Array) -> tuple[list[Gait], Array]:
    """The gait at each of the times (T), and the strides gone by then (T)."""
    keys = np.array([t for t, _ in SCRIPT])
    rows = np.array([np.hstack(astuple(g)) for _, g in SCRIPT])

    def blend(t: Array) -> Array:
        t = np.mod(t, keys[-1])
        k = np.clip(np.searchsorted(keys, t, side="right") - 1, 0, len(keys) - 2)
        x = (t - keys[k]) / (keys[k + 1] - keys[k])
        return rows[k] + (x * x * (3 - 2 * x))[:, None] * (rows[k + 1] - rows[k])

    step = 0.005
    fine = np.arange(0.0, float(times.max()) + 2 * step, step)
    strides = np.concatenate([[0.0], np.cumsum(blend(fine)[:-1, 0] * step)])
    values = blend(times)
    gaits = [Gait(v[0], tuple(v[1:5]), *v[5:]) for v in values]
    return gaits, np.interp(times, fine, strides)


def paw_path(phase: float, gait: Gait) -> tuple[float, float, float]:
    """Forward and upward offset of a paw from where it stands, and its share of the swing (0, 1, 0)."""
    u = phase % 1.0
    if u < gait.duty:
        return gait.stride * (0.5 - u / gait.duty), 0.0, 0.0
    v = (u - gait.duty) / (1 - gait.duty)
    slope = -gait.stride / gait.duty * (1 - gait.duty)  # leaves and meets the ground at the ground's speed
    hermite = v * v * (3 - 2 * v)
    forward = gait.stride * (hermite - 0.5) + slope * (v * (1 - v) ** 2 - v * v * (1 - v))
    swing = float(np.sin(np.pi * v) ** 2)
    return forward, gait.lift * swing, swing


@dataclass(frozen=True)
class _Leg:
    """joints: what least squares may move, the toes last. phase: its index. stand: where, against rest."""

    joints: tuple[str, ...]
    paw: str
    phase: int
    stand: tuple[float, float]
    lift: float


def _legs() -> list[_Leg]:
    legs = []
    for k, (side, sign) in enumerate((("L", 1.0), ("R", -1.0))):
        hind = tuple(f"{j}_{side}{e}" for j, e in _HIND)
        fore = tuple(f"{j}_{side}{e}" for j, e in _FORE)
        legs.append(_Leg(hind, f"toe_{side}", 2 * k, (0.09, -0.02 * sign), 1.0))
        legs.append(_Leg(fore, f"finger_{side}", 2 * k + 1, (-0.02, -0.01 * sign), 0.75))
    return legs


_HIND = (("hip", "_abduct"), ("hip", "_extend"), ("knee", ""), ("ankle", ""), ("toe", ""))
_FORE = (
    ("scapula", "_abduct"),
    ("scapula", "_extend"),
    ("shoulder", "_extend"),
    ("elbow", ""),
    ("wrist", ""),
)
_FORE = (*_FORE, ("finger", ""))


class Animator:
    """Poses the dog at a time. Call in order of time: each leg's search starts from its last pose."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self.model, self.data = model, mujoco.MjData(model)
        mujoco.mj_kinematics(model, self.data)
        self.rest = self.data.qpos.copy()
        self.legs = _legs()
        self.rest_paws = [self.data.joint(leg.paw).xanchor.copy() for leg in self.legs]
        self.rest_toes = [self._toe_axes(leg).copy() for leg in self.legs]
        self.last = [np.zeros(len(leg.joints)) for leg in self.legs]

    def _toe_axes(self, leg: _Leg) -> Array:
        return np.asarray(self.data.body(leg.paw).xmat).reshape(3, 3)

    def _turn(self, qpos: Array, joint: str, angle: float) -> None:
        qpos[self.model.joint(joint).qposadr[0]] += angle

    def pose(self, time: float, gait: Gait, strides: float) -> Array:
        """Joint values (nq) at a time, after so many strides."""
        wave = 2 * np.pi * strides
        heading = 0.30 * np.sin(2 * np.pi * time / 9.0)
        ground = np.array([0.10 * np.sin(2 * np.pi * time / 7.0), 0.05 * np.sin(2 * np.pi * time / 5.0), 0.0])
        qpos = self.rest.copy()
        lift = gait.bounce * np.cos(2 * wave) - gait.crouch
        pitch = gait.rock * np.sin(wave)
        roll = 0.5 * gait.sway * np.sin(wave)
        yaw = _quaternion(2, heading)
        turn = np.array(
            [[np.cos(heading), -np.sin(heading), 0], [np.sin(heading), np.cos(heading), 0], [0, 0, 1]]
        )
        qpos[:3] = ground + turn @ (self.rest[:3] + np.array([0.0, 0.0, lift]))
        qpos[3:7] = _product(
            _product(yaw, _quaternion(1, pitch)), _product(_quaternion(0, roll), self.rest[3:7])
        )
        self._bend_trunk(qpos, time, gait, wave)
        for k, leg in enumerate(self.legs):
            forward, up, swing = paw_path(strides - gait.phases[leg.phase], gait)
            paw = self.rest_paws[k] + [leg.stand[0] + forward, leg.stand[1], leg.lift * up]
            self.last[k] = self._reach(qpos, k, ground + turn @ paw, turn, swing)
        return qpos

    def _bend_trunk(self, qpos: Array, time: float, gait: Gait, wave: float) -> None:
        for n in (1, 3, 5, 7):
            self._turn(qpos, f"L_{n}_extend", gait.flex * np.sin(wave + 1.0))
            self._turn(qpos, f"L_{n}_bend", gait.sway * np.sin(wave))
        for n in (2, 4, 6):
            self._turn(qpos, f"L_{n}_twist", 0.5 * gait.sway * np.cos(wave))
        nod = 0.6 * gait.sway * np.cos(2 * wave) + 0.5 * gait.rock * np.cos(wave)
        look = np.sin(2 * np.pi * time / 3.5)
        tilt = np.sin(2 * np.pi * time / 2.7 + 1.0)
        for n, share in ((7, 0.5), (5, 0.9), (3, 0.6), (1, -0.9)):
            self._turn(qpos, f"C_{n}_extend", share * gait.neck + nod + 0.04 * tilt)
        self._turn(qpos, "C_7_bend", 0.20 * look)
        self._turn(qpos, "C_4_twist", 0.30 * look)
        self._turn(qpos, "C_2_twist", 0.35 * look)
        self._turn(qpos, "atlas", 0.5 * gait.neck - nod)
        self._turn(qpos, "mandible", -0.08 + 0.10 * np.sin(2 * np.pi * 1.1 * time))
        beat = 2 * np.pi * 1.3 * time
        for n in range(1, 22):
            if n % 2:
                self._turn(qpos, f"Ca_{n}_extend", 0.07 + 0.03 * np.sin(beat / 2 - 0.2 * n))
            else:
                self._turn(qpos, f"Ca_{n}_bend", 0.085 * np.sin(beat - 0.12 * n))

    def _reach(self, qpos: Array, k: int, target: Array, turn: Array, swing: float) -> Array:
        """Bend leg k in `qpos` so that its paw comes to the target; toes level, but hanging in the swing."""
        leg = self.legs[k]
        joints = [self.model.joint(name) for name in leg.joints]
        address = np.array([j.qposadr[0] for j in joints])
        low, high = np.array([j.range for j in joints]).T
        fore = len(joints) == len(_FORE)
        # What the leg would rather do: fold in the swing; stiff sideways, soft in the joints that fold.
        if fore:
            wish, stiff = (
                np.array([0, 0, 0, -0.1, -0.9, 0]) * swing,
                np.array([3.0, 1.2, 0.5, 0.3, 0.6, 0.05]),
            )
        else:
            wish, stiff = np.array([0, 0, -0.3, -0.3, 0]) * swing, np.array([1.5, 0.3, 0.5, 0.7, 0.05])
        hang = np.sin((0.7 if fore else 0.5) * swing)
        level = turn @ self.rest_toes[k]

        def residual(angles: Array) -> Array:
            qpos[address] = angles
            self.data.qpos[:] = qpos
            mujoco.mj_kinematics(self.model, self.data)
            gap = self.data.joint(leg.paw).xanchor - target
            tilt = (self._toe_axes(leg) @ level.T)[2, 0:2] @ turn[:2, 0]
            return np.concatenate([gap / 0.01, [(tilt + hang) / 0.15], stiff * (angles - wish)])

        start = np.clip(self.last[k], low + 1e-6, high - 1e-6)
        found = least_squares(residual, start, bounds=(low, high), xtol=1e-6, ftol=1e-6).x
        qpos[address] = found
        return np.asarray(found)


def _quaternion(axis: int, angle: float) -> Array:
    q = np.zeros(4)
    q[0], q[1 + axis] = np.cos(angle / 2), np.sin(angle / 2)
    return q


def _product(a: Array, b: Array) -> Array:
    q = np.empty(4)
    mujoco.mju_mulQuat(q, a, b)
    return q


def animate(model: mujoco.MjModel, frames: int, seconds: float) -> Array:
    """Joint values (T,nq) of frames spread evenly over so many seconds."""
    times = np.arange(frames) * seconds / frames
    animator = Animator(model)
    return np.array([animator.pose(t, g, s) for t, g, s in zip(times, *gait_at(times), strict=True)])
