"""One page with the model, its motion and a slider for each joint, that works from the disk: what one sends around."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wim_fast.drawing.annotate import part_palette
from wim_fast.export.asset import Asset
from wim_fast.export.gltf import gltf_document
from wim_fast.files import write_atomic
from wim_fast.posing.joints.motion import joint_motions

PAGE = Path(__file__).parent / "page"
LEAST_ANGLE = 30.0  # degrees that a slider goes to either side, at least; else as far again as was seen


def write_html(asset: Asset, file: Path) -> list[Path]:
    """The page as a file; three.js is in it, with its licence."""
    return [write_atomic(file, html_page(asset))]


def html_page(asset: Asset, formats: Sequence[str] = ()) -> bytes:
    """The page. `formats`: what it can ask whoever serves it to export; none where it is a file."""
    model = base64.b64encode(gltf_document(asset).glb()).decode()
    parts = {
        "title": html.escape(asset.name),
        "css": _read("page.css"),
        "facts": json.dumps(page_facts(asset) | {"formats": list(formats)}).replace("</", "<\\/"),
        "model": model,
        "three": _read("three.js"),
        "script": _read("page.js"),
        "licence": html.escape(_read("three.LICENSE")),
    }
    page = re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _read("page.html"))
    return page.encode()


def page_facts(asset: Asset) -> dict[str, Any]:
    """What the page knows beside the model: length of the film, and of each joint name, colour, axis and angles."""
    rig, palette = asset.upright_rig, part_palette(asset.rig.bones)
    turns = joint_motions(rig.moves.rotation, rig.tree, asset.frame)
    joints = []
    for bone, name in enumerate(rig.names):
        turn, axis, least, greatest = turns.get(bone), (0.0, 1.0, 0.0), -180.0, 180.0
        if turn is not None:
            axis, span = turn.axis, max(LEAST_ANGLE, turn.span)
            least, greatest = -round(span), round(span)
        color = "#" + bytes(palette[bone].astype(np.uint8)).hex()
        joints.append({"name": name, "color": color, "axis": axis, "least": least, "greatest": greatest})
    return {"seconds": float(rig.times[-1]), "joints": joints}


def _read(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")
