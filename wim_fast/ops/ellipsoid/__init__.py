"""Signed distance of a point to an ellipsoid (supplement A.2)."""

from wim_fast.ops.ellipsoid.reference import NEWTON_STEPS, closest_point, ellipsoid_sdf, inflated_semi_axes

__all__ = ["NEWTON_STEPS", "closest_point", "ellipsoid_sdf", "inflated_semi_axes"]
