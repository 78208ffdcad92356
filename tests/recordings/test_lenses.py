"""Lenses against the numbers of OpenCV and COLMAP, and what they say of themselves."""

import numpy as np
import pytest

from wim_fast.errors import UserError
from wim_fast.recordings.calibration.colmap import MODELS
from wim_fast.recordings.lenses import NO_LENS, Lens, brown, fisheye

POINTS = np.array([[0.3, -0.4], [1.2, 0.5], [-2.0, 3.0]])
K4 = (0.05, -0.02, 0.01, -0.003)

# cv2.fisheye.distortPoints (opencv-python-headless 5.0.0) of POINTS by K4, and by (-0.1, 0.03, 0, 0)
OPENCV = {
    K4: [
        [0.28094740460248, -0.37459653946998],
        [0.87194382574757, 0.36330992739482],
        [-0.75816093328609, 1.13724139992914],
    ],
    (-0.1, 0.03): [
        [0.27259403783013, -0.36345871710684],
        [0.79174233897168, 0.32989264123820],
        [-0.66115554205293, 0.99173331307939],
    ],
}
# Camera.img_from_cam (pycolmap 4.2.1) of POINTS, focal length 1, centre 0
COLMAP = {
    ("SIMPLE_RADIAL_FISHEYE", (0.05,)): [
        [0.28117866275137, -0.37490488366850],
        [0.88007666958307, 0.36669861232628],
        [-0.78221551816251, 1.17332327724377],
    ],
    ("RADIAL_FISHEYE", (0.05, -0.02)): [
        [0.28092155133042, -0.37456206844057],
        [0.86822956210252, 0.36176231754272],
        [-0.74098518075740, 1.11147777113610],
    ],
    ("OPENCV_FISHEYE", K4): OPENCV[K4],
    ("FOV", (0.9,)): [[0.3, -0.4], [0.92140303806633, 0.38391793252764], [-0.79583160464878, 1.19374740697317]],
    ("THIN_PRISM_FISHEYE", (0.05, -0.02, 0.004, -0.003, 0.01, -0.003, 0.002, -0.001)): [
        [0.27944262086516, -0.37223187931132],
        [0.86920366398093, 0.36502934174025],
        [-0.76921512526847, 1.15635864959278],
    ],
}  # fmt: skip


@pytest.mark.parametrize("numbers", OPENCV)
def test_opencvs_fisheye(numbers):
    lens = fisheye("f", "it", numbers)
    np.testing.assert_allclose(lens.distort(POINTS), OPENCV[numbers], atol=1e-12)
    np.testing.assert_array_equal(lens.distort(np.zeros((1, 2))), [[0, 0]])


@pytest.mark.parametrize("case", COLMAP, ids=lambda case: case[0])
def test_colmaps_lenses(case):
    name, numbers = case
    (model,) = (model for model in MODELS.values() if model.name == name)
    assert model.coefficients == len(numbers)
    np.testing.assert_allclose(model.lens("f", "it", list(numbers)).distort(POINTS), COLMAP[case], atol=1e-12)


def test_colmaps_plain_fisheye():
    """pycolmap 4.2.1, SIMPLE_FISHEYE."""
    found = fisheye("f", "it", []).distort(np.array([1.2, 0.5]))
    np.testing.assert_allclose(found, [0.84470834, 0.35196181], atol=1e-8)


def test_a_fisheye_reaches_as_far_as_it_grows():
    """theta (1 - 0.2 theta^2) grows up to theta = sqrt(1 / 0.6) = 74 degrees."""
    assert np.arctan(fisheye("f", "it", [-0.2]).reach(1e3)) == pytest.approx(np.sqrt(1 / 0.6), abs=1e-3)
    assert fisheye("f", "it", [0.1]).reach(1e3) == np.inf
    assert Lens(projection="fov", omega=1.0).reach(1e3) == np.inf


def test_what_is_ideal():
    assert NO_LENS.ideal
    assert brown("f", "it", np.zeros(5)).ideal
    assert not brown("f", "it", [0, 0, 1e-3, 0]).ideal
    assert not fisheye("f", "it", None).ideal


@pytest.mark.parametrize("wrong", [[0] * 5, [np.nan]])
def test_wrong_numbers_of_a_fisheye(wrong):
    with pytest.raises(UserError, match=f"it holds {len(wrong)} numbers"):
        fisheye("f", "it", wrong)
