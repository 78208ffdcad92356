"""Linear blend skinning of a template (Loper et al. 2015, eq. 2 to 10) in torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wim_fast.baselines.template import Template
from wim_fast.model.camera_corrections import rotation_about


class Skin(nn.Module):
    """The arrays of a template on a device; nothing of it is learned, or saved with a run."""

    vertices: Tensor
    weights: Tensor
    joints: Tensor
    shape_directions: Tensor
    joint_directions: Tensor
    pose_directions: Tensor | None

    def __init__(self, template: Template) -> None:
        super().__init__()
        self.parents = template.parents.tolist()
        for name in (
            "vertices",
            "weights",
            "joints",
            "shape_directions",
            "joint_directions",
            "pose_directions",
        ):
            array = getattr(template, name)
            value = None if array is None else torch.from_numpy(array).float()
            self.register_buffer(name, value, persistent=False)

    def forward(
        self, turn: Tensor, place: Tensor, pose: Tensor, size: Tensor, shape: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Vertices (F, V, 3) and joints (F, J, 3) in the world.

        Args:
            turn: (F, 3, 3) of the whole body about its root joint.
            place: (F, 3) of the root joint, world units.
            pose: (F, J - 1, 3) axis-angle of every other joint in its parent.
            size: () world units per unit of the template.
            shape: (S,).
        """
        rest = self.joints + self.joint_directions @ shape
        local = rotation_about(pose.reshape(-1, 3)).view(*pose.shape[:2], 3, 3)
        rotation, joint = [torch.eye(3).to(pose).expand_as(turn)], [rest[0].expand_as(place)]
        for j, parent in enumerate(self.parents[1:], 1):
            rotation.append(rotation[parent] @ local[:, j - 1])
            joint.append(joint[parent] + rotation[parent] @ (rest[j] - rest[parent]))
        R, joints = torch.stack(rotation, 1), torch.stack(joint, 1)  # (F, J, 3, 3), (F, J, 3)
        vertices = (self.vertices + self.shape_directions @ shape).expand(len(pose), -1, -1)
        if self.pose_directions is not None:
            bend = (local - torch.eye(3).to(local)).flatten(1)
            vertices = vertices + torch.einsum("vdk,fk->fvd", self.pose_directions, bend)
        shift = joints - (R @ rest[:, :, None])[..., 0]
        blended = torch.einsum("vj,fjab->fvab", self.weights, R)
        vertices = (blended @ vertices[..., None])[..., 0] + self.weights @ shift

        def in_world(points: Tensor) -> Tensor:
            return size * (points - rest[0]) @ turn.transpose(1, 2) + place[:, None]

        return in_world(vertices), in_world(joints)
