"""Pictures and masks in files, and folders of numbered ones."""

from __future__ import annotations

import io
import os
import re
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wim_fast.errors import UserError
from wim_fast.files import read_bytes

PICTURES = (".png", ".jpg", ".jpeg")
MAX_PIXELS = 1 << 26  # of one image: 8192 x 8192
TOO_LARGE = "write it with 8192 x 8192 at most"
MAX_BYTES = 1 << 29  # of a file; without compression 8192 x 8192 take half of it
_JPEG = b"\xff\xd8"
_NUMBERS = re.compile(r"\d+")


def read_rgb(file: Path) -> NDArray[np.uint8]:
    """Colours (H, W, 3) of a JPEG or PNG; an alpha channel is left out."""
    return _read(file, "RGB")


def read_rgba(file: Path) -> NDArray[np.uint8]:
    """Colours and straight alpha (H, W, 4) of a PNG; UserError for a picture without alpha."""
    return _read(file, "RGBA", alpha=True)


def read_labels(file: Path) -> NDArray[np.uint8]:
    """Values (H, W) of a PNG (or JPEG) that is a mask: of its palette's index, its grey or its first channel."""
    return _read(file, None)


def _read(file: Path, mode: str | None, alpha: bool = False) -> NDArray[np.uint8]:
    from PIL import Image, UnidentifiedImageError

    try:
        content = read_bytes(file, MAX_BYTES)
        if not content.startswith(_JPEG) and b"IEND" not in content:  # pillow forgives a missing end
            raise EOFError("the image is truncated")
        with Image.open(io.BytesIO(content), formats=["PNG", "JPEG"]) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UserError(file, f"has {image.width} x {image.height} pixels, too many", TOO_LARGE)
            if alpha and image.mode not in ("RGBA", "LA", "PA") and "transparency" not in image.info:
                raise UserError(
                    file, "has no alpha channel", "write RGBA pictures, or give masks in a folder"
                )
            if mode is None and image.mode == "1":
                mode = "L"
            pixels = np.asarray(image.convert(mode) if mode else image)
    except FileNotFoundError:
        raise UserError(file, "is missing", "add it, or give --allow-missing to go on without it") from None
    except UnidentifiedImageError:
        problem = "cannot be read as an image (it is neither a PNG nor a JPEG)"
        raise UserError(file, problem, "write it again, or delete it") from None
    except Image.DecompressionBombError:
        raise UserError(file, "would unpack to far too many pixels", TOO_LARGE) from None
    except (OSError, SyntaxError, ValueError, EOFError, zlib.error) as error:
        detail = " ".join(str(error).split())
        raise UserError(
            file, f"cannot be read as an image ({detail})", "write it again, or delete it"
        ) from None
    if pixels.ndim == 3 and mode is None:
        pixels = pixels[..., 0]
    if pixels.dtype != np.uint8:
        raise UserError(file, f"has pixels of {pixels.dtype}", "write it with 8 bits")
    return pixels


def numbered_files(
    folder: Path, endings: tuple[str, ...], pattern: re.Pattern[str] = _NUMBERS
) -> dict[int, Path]:
    """Files by the number in their names, `000012.jpg` is 12; a folder that is not there holds none.

    It is the last match of the pattern (of its group, if it has one).
    """
    found: dict[int, Path] = {}
    try:
        names = sorted(os.listdir(folder)) if folder.is_dir() else []
    except OSError as error:
        raise UserError(folder, f"cannot be read ({error.strerror})", "check the folder") from None
    for name in names:
        numbers = pattern.findall(Path(name).stem)
        if Path(name).suffix.lower() not in endings or not numbers:
            continue
        number = int(numbers[-1])
        if number in found:
            raise UserError(
                folder, f"{found[number].name} and {name} have the same number", "remove one of them"
            )
        found[number] = folder / name
    return found
