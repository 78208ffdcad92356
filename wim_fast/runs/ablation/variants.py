"""What is left out, one thing at a time."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wim_fast.errors import UserError


@dataclass(frozen=True)
class Variant:
    """A way to train.

    Attributes:
        label: for tables and pictures.
        settings: that differ from those of `ours`, by name.
    """

    name: str
    label: str
    settings: Mapping[str, Any]


OURS = Variant("ours", "ours", {})
VARIANTS = {
    variant.name: variant
    for variant in (
        OURS,
        Variant("no-silhouette", "without silhouette loss", {"silhouette_weight": 0.0}),
        Variant("no-part-centers", "without part centre loss", {"part_center_weight": 0.0}),
        Variant("no-joint", "without joint loss", {"joint_weight_start": 0.0, "joint_weight_end": 0.0}),
        Variant("no-separation", "without separation loss", {"separation_weight": 0.0}),
        Variant("no-merge", "without merge loss", {"merge_weight": 0.0}),
        Variant("no-motion", "without motion loss", {"motion_weight": 0.0}),
        Variant("no-eikonal", "without eikonal loss", {"eikonal_weight": 0.0}),
        Variant("no-volume", "without volume loss", {"volume_weight": 0.0}),
        Variant("no-fit", "without fit loss", {"fit_weight": 0.0}),
        Variant("no-hull", "without hull loss", {"hull_weight": 0.0}),
        Variant("no-void", "without void loss", {"void_weight": 0.0}),
        Variant("random-start", "parts start at random", {"hull_start": False}),
        Variant("no-light", "without light", {"lighting": False}),
        Variant("paper", "the paper's preset", {"preset": "paper"}),
    )
}


def chosen_variants(names: Sequence[str] | None) -> list[Variant]:
    """The variants of these names, in the order of `VARIANTS`; None: all. UserError for a name that is none."""
    for name in names or ():
        if name not in VARIANTS:
            close = difflib.get_close_matches(name, VARIANTS, n=1)
            remedy = f"did you mean {close[0]}?" if close else f"choose from {', '.join(VARIANTS)}"
            raise UserError("--variants", f"there is no variant {name}", remedy)
    return [variant for variant in VARIANTS.values() if names is None or variant.name in names]
