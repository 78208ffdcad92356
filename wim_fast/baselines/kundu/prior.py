"""SMPLify's prior of poses, from its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from wim_fast import strict_npz
from wim_fast.baselines.kundu.losses import PosePrior
from wim_fast.errors import UserError
from wim_fast.recordings.numpy_pickle import load_pickle_file

PRIOR_REMEDY = (
    "give gmm_08.pkl of SMPLify's code (https://smplify.is.tue.mpg.de), "
    "or numpy.savez of its means, covars and weights"
)


def load_pose_prior(file: Path, numbers: int) -> PosePrior:
    """K Gaussians over the angles of a body. UserError if the file is missing, something else, or of another body.

    Args:
        numbers: D of the body; a prior of fewer joints is of the first ones.
    """
    if not file.is_file():
        raise UserError(file, "there is no such file", PRIOR_REMEDY)
    names = "means", "covars", "weights"
    try:
        is_npz = file.suffix == ".npz"
        content: Any = strict_npz.read(file, names, PRIOR_REMEDY) if is_npz else load_pickle_file(file)
        means, covariances, weights = (np.array(content[name], float) for name in names)
    except UserError:
        raise
    except Exception as error:  # numpy and zipfile raise many kinds on a malformed archive
        problem = f"is no prior of poses ({' '.join(str(error).split())})"
        raise UserError(file, problem, PRIOR_REMEDY) from None
    K, D = len(weights), means.shape[-1]
    if means.shape != (K, D) or covariances.shape != (K, D, D):
        raise UserError(file, "means, covars and weights do not fit each other", PRIOR_REMEDY)
    if numbers < D:
        raise UserError(file, f"is a prior of {D} angles, and the body has {numbers}", PRIOR_REMEDY)
    tensors = [torch.from_numpy(array) for array in (means, covariances, weights)]
    finite = all(bool(torch.isfinite(x).all()) for x in tensors)
    if not finite or (weights <= 0).any() or torch.linalg.cholesky_ex(tensors[1]).info.any():
        raise UserError(file, "is no mixture of Gaussians", PRIOR_REMEDY)
    return PosePrior.of(*tensors)
