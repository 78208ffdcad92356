"""USD with UsdSkel: the skinned mesh, its skeleton and the film's motion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from wim_fast.errors import UserError
from wim_fast.export.asset import Asset
from wim_fast.export.extra import extra
from wim_fast.export.gltf import linear, quaternions
from wim_fast.export.rig import Rig
from wim_fast.files import atomic_file

SUFFIXES = (".usd", ".usda", ".usdc")
ROUGHNESS = 0.9


def write_usd(asset: Asset, file: Path) -> list[Path]:
    """y up, the recording's units taken for metres; a frame of the film is a time code."""
    if file.suffix not in SUFFIXES:
        raise UserError(file, "is no name of a USD file", f"let it end in {', '.join(SUFFIXES)}")
    with atomic_file(file) as unfinished:
        place = unfinished.with_name(f"{unfinished.name}{file.suffix}")  # USD knows its formats by the suffix
        try:
            _stage(asset, str(place))
            place.replace(unfinished)
        finally:
            place.unlink(missing_ok=True)
    return [file]


def _stage(asset: Asset, file: str) -> None:
    Usd, UsdGeom, UsdSkel, Gf = (
        extra(f"pxr.{name}", "usd-core") for name in ("Usd", "UsdGeom", "UsdSkel", "Gf")
    )
    stage, rig = Usd.Stage.CreateNew(file), asset.upright_rig
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    codes = rig.times * asset.settings.fps
    stage.SetTimeCodesPerSecond(asset.settings.fps)
    stage.SetFramesPerSecond(asset.settings.fps)
    stage.SetStartTimeCode(codes[0])
    stage.SetEndTimeCode(codes[-1])
    root = UsdSkel.Root.Define(stage, "/model")
    stage.SetDefaultPrim(root.GetPrim())
    order = rig.tree.order  # UsdSkel wants parents before their children
    joints = _joint_paths(rig)
    skeleton = UsdSkel.Skeleton.Define(stage, "/model/skeleton")
    skeleton.CreateJointsAttr(joints)
    skeleton.CreateBindTransformsAttr([_moved(Gf, head) for head in rig.heads[order]])
    parent = rig.tree.parent
    offsets = rig.heads - np.where((parent >= 0)[:, None], rig.heads[parent], 0.0)
    skeleton.CreateRestTransformsAttr([_moved(Gf, offset) for offset in offsets[order]])
    animation = UsdSkel.Animation.Define(stage, "/model/skeleton/film")
    _animate(animation, joints, rig, codes)
    UsdSkel.BindingAPI.Apply(skeleton.GetPrim()).CreateAnimationSourceRel().SetTargets([animation.GetPath()])
    mesh = _mesh(stage, asset)
    binding = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
    ids, weights = asset.skin
    ids = np.argsort(order)[ids]
    binding.CreateJointIndicesPrimvar(False, ids.shape[1]).Set(ids.ravel().tolist())
    binding.CreateJointWeightsPrimvar(False, ids.shape[1]).Set(weights.ravel().tolist())
    binding.CreateGeomBindTransformAttr(Gf.Matrix4d(1.0))
    binding.CreateSkeletonRel().SetTargets([skeleton.GetPath()])
    root.CreateExtentAttr(_extents(asset))
    stage.GetRootLayer().Save()


def _extents(asset: Asset) -> list[tuple[float, float, float]]:
    """A box that holds the model in all frames."""
    points = np.concatenate(
        [
            asset.upright.points(asset.posed_vertices(asset.run.motion.at([frame])))
            for frame in range(len(asset.run.motion))
        ]
    )
    return [tuple(points.min(axis=0).tolist()), tuple(points.max(axis=0).tolist())]


def _joint_paths(rig: Rig) -> list[str]:
    """Each bone's name behind those of all above it, in the order of the tree."""
    paths: dict[int, str] = {}
    for bone in rig.tree.order.tolist():
        parent = int(rig.tree.parent[bone])
        paths[bone] = rig.names[bone] if parent < 0 else f"{paths[parent]}/{rig.names[bone]}"
    return list(paths.values())


def _moved(Gf: Any, offset: np.ndarray) -> Any:
    return Gf.Matrix4d(1.0).SetTranslate(Gf.Vec3d(*offset.tolist()))


def _animate(animation: Any, joints: list[str], rig: Rig, codes: np.ndarray) -> None:
    Gf, Vt = extra("pxr.Gf", "usd-core"), extra("pxr.Vt", "usd-core")
    local, order = rig.local_moves(), rig.tree.order
    turns = np.stack([quaternions(local.rotation[:, bone]) for bone in order], axis=1)
    animation.CreateJointsAttr(joints)
    animation.CreateScalesAttr([Gf.Vec3h(1, 1, 1)] * rig.bones)
    translations, rotations = animation.CreateTranslationsAttr(), animation.CreateRotationsAttr()
    for k, code in enumerate(codes.tolist()):
        translations.Set(Vt.Vec3fArray.FromNumpy(local.translation[k, order].astype(np.float32)), code)
        rotations.Set(Vt.QuatfArray([Gf.Quatf(w, x, y, z) for x, y, z, w in turns[k].tolist()]), code)


def _mesh(stage: Any, asset: Asset) -> Any:
    """The mesh at rest with its colours and a matt material that shows them."""
    UsdGeom, UsdShade, Sdf, Vt = (
        extra(f"pxr.{name}", "usd-core") for name in ("UsdGeom", "UsdShade", "Sdf", "Vt")
    )
    surface = asset.upright_surface
    mesh = UsdGeom.Mesh.Define(stage, "/model/surface")

    def vectors(values: np.ndarray) -> Any:
        return Vt.Vec3fArray.FromNumpy(values.astype(np.float32))

    mesh.CreatePointsAttr(vectors(surface.vertices))
    mesh.CreateNormalsAttr(vectors(surface.normals))
    mesh.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    mesh.CreateFaceVertexCountsAttr([3] * len(surface.faces))
    mesh.CreateFaceVertexIndicesAttr(surface.faces.ravel().tolist())
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    mesh.CreateExtentAttr(vectors(np.stack([surface.vertices.min(axis=0), surface.vertices.max(axis=0)])))
    mesh.CreateDisplayColorPrimvar(UsdGeom.Tokens.vertex).Set(vectors(linear(surface.colors)))
    material = UsdShade.Material.Define(stage, "/model/material")
    shader = UsdShade.Shader.Define(stage, "/model/material/surface")
    colors = UsdShade.Shader.Define(stage, "/model/material/colors")
    colors.CreateIdAttr("UsdPrimvarReader_float3")
    colors.CreateInput("varname", Sdf.ValueTypeNames.String).Set("displayColor")
    shader.CreateIdAttr("UsdPreviewSurface")
    shader.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(ROUGHNESS)
    shader.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).ConnectToSource(
        colors.CreateOutput("result", Sdf.ValueTypeNames.Float3)
    )
    material.CreateSurfaceOutput().ConnectToSource(shader.CreateOutput("surface", Sdf.ValueTypeNames.Token))
    UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(material)
    return mesh
