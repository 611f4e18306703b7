"""Losses of chunks of actions. Targets are normalised; every mean is over valid frames only."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

BETA = 0.1
GRIPPER_WEIGHT = 0.05
FAMILY_GRIPPER_WEIGHT = 0.01


def chunk_loss(chunk: Tensor, target: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, and its parts for the arm and for the gripper.

    chunk and target (N, W, n, 7): six arm numbers in [-1, 1] and the gripper, a logit in `chunk` and 0 or 1 in `target`;
    valid (N, W). The arm is smooth L1 and the gripper binary cross-entropy at a twentieth: at equal weight it drowns the arm.
    """
    chunk = chunk.float()
    arm = F.smooth_l1_loss(chunk[..., :6], target[..., :6], reduction="none", beta=BETA).mean((-1, -2))
    gripper = F.binary_cross_entropy_with_logits(chunk[..., 6], target[..., 6], reduction="none").mean(-1)
    count = valid.sum().clamp(min=1)
    arm_mean, gripper_mean = torch.sum(arm * valid) / count, torch.sum(gripper * valid) / count
    return arm_mean + GRIPPER_WEIGHT * gripper_mean, arm_mean.detach(), gripper_mean.detach()


def family_loss(
    chunk: Tensor, target: Tensor, valid: Tensor, arm: Literal["huber", "mse"] = "huber"
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss of the RoboVLMs family, and its parts for the arm and for the gripper.

    chunk and target (N, W, n, 7) as in `chunk_loss`; valid (N, W, n). The arm is Huber (delta 1) or squared error, the gripper binary
    cross-entropy of its logit at a hundredth (RoboVLMs, policy_head/base_policy.py and arm_gripper_loss_ratio of its configurations).
    """
    error = F.huber_loss if arm == "huber" else F.mse_loss
    count = valid.sum().clamp(min=1)
    arms = error(chunk[..., :6], target[..., :6], reduction="none").mean(-1)
    grips = F.binary_cross_entropy_with_logits(chunk[..., 6], target[..., 6], reduction="none")
    arm_mean, gripper_mean = (arms * valid).sum() / count, (grips * valid).sum() / count
    return arm_mean + FAMILY_GRIPPER_WEIGHT * gripper_mean, arm_mean.detach(), gripper_mean.detach()
