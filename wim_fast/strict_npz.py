"""Arrays from .npz files that anyone may have written: no pickles, and none that unpacks to more than there can be."""

from __future__ import annotations

import zipfile
from collections.abc import Collection
from pathlib import Path

import numpy as np

from wim_fast.errors import UserError
from wim_fast.files import amount, check_regular

LARGEST = 4 * 2**30  # bytes of all arrays together


def read(path: Path, names: Collection[str], remedy: str) -> dict[str, np.ndarray]:
    """Those of the arrays `names` that the file holds.

    UserError, with this remedy, if it is no .npz file, damaged (its checksums are compared) or far too large;
    FileNotFoundError if it is not there.
    """
    try:
        check_regular(path)
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
            if size > LARGEST:
                raise UserError(path, f"unpacks to {amount(size)}, more than {amount(LARGEST)}", remedy)
        with np.load(path, allow_pickle=False) as data:
            return {name: np.asarray(data[name]) for name in names if name in data}
    except (FileNotFoundError, UserError):
        raise
    except Exception as error:  # numpy, zipfile and zlib raise many kinds on a malformed archive
        raise UserError(
            path, f"cannot be read as an npz file ({' '.join(str(error).split())})", remedy
        ) from None
