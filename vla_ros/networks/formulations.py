"""How backbone and head become a policy: which graphs there are, and what is remembered between two frames.

Every formulation offers `forward` for training on windows, and `encode` and `decide` for one frame at a time. A new one is a
class with these three and an entry in FORMULATIONS.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from vla_ros.networks.backbones.tiny import TinyBackbone
from vla_ros.networks.heads.lstm import LstmHead

PIXEL_MEAN = (0.5, 0.5, 0.5)
PIXEL_STD = (0.25, 0.25, 0.25)


class NetworkConfig(BaseModel):
    """What a network is made of. `sizes` are (height, width) of the cameras' images, in their order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    formulation: Literal["policy_head"] = "policy_head"
    sizes: tuple[tuple[int, int], ...]
    vocabulary: int = Field(gt=0)
    words: int = Field(12, gt=0, description="longest instruction, in words")
    embedding: int = 128
    width: int = 256
    layers: int = 2
    window: int = Field(6, ge=2, description="frames that the head sees, the newest included")
    chunk: int = 10
    state: int = 8
    actions: int = 7
    state_mean: tuple[float, ...]
    state_std: tuple[float, ...]


class PolicyHead(nn.Module):
    """Each frame is encoded alone; an LSTM fuses the features of a window (RoboVLMs' "policy head")."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.embedding)
        self.backbone = TinyBackbone(list(config.sizes), config.state, config.embedding, config.width)
        self.head = LstmHead(config.width, config.chunk, config.actions, config.layers)
        self.register_buffer("state_mean", torch.tensor(config.state_mean), persistent=False)
        self.register_buffer("state_std", torch.tensor(config.state_std), persistent=False)

    def forward(
        self,
        images: list[Tensor],
        words: Tensor,
        mask: Tensor,
        state: Tensor,
        valid: Tensor,
        gains: list[Tensor] | None = None,
    ) -> Tensor:
        """Windows -> chunks (N, W, chunk, 7), normalised, the gripper as a logit.

        images: one (N, W, H, W', 3) uint8 per camera; words (N, T) word numbers; mask (N, T); state (N, W, 8); valid (N, W);
        gains: one (N, 3) per camera, the colour augmentation.
        """
        frames = state.shape[1]
        text = self.backbone.words(self.embedding(words), mask).repeat_interleave(frames, 0)
        pixels = [normalised(i.flatten(0, 1), None if gains is None else gains[k].repeat_interleave(frames, 0))
                  for k, i in enumerate(images)]  # fmt: skip
        features = self.backbone(pixels, text, self.normalised_state(state.flatten(0, 1)))
        return self.head(features.float().unflatten(0, (-1, frames)), valid)

    def normalised_state(self, state: Tensor) -> Tensor:
        """Robot state (N, 8) in SI units -> about unit size."""
        return (state - self.state_mean) / self.state_std

    def encode(self, images: list[Tensor], text: Tensor, mask: Tensor, state: Tensor) -> Tensor:
        """One frame: images (1, H, W, 3) uint8, embedding rows (1, T, E), mask (1, T), state (1, 8) -> feature (1, D)."""
        sentence = self.backbone.words(text, mask)
        return self.backbone([normalised(i) for i in images], sentence, self.normalised_state(state))

    def decide(self, memory: Tensor, valid: Tensor, feature: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Memory (1, W-1, D), valid (1, W-1) and the newest feature (1, D) -> chunk (1, n, 7), memory', valid'.

        The chunk's arm is in [-1, 1] and its gripper in 0 … 1.
        """
        features = torch.cat([memory, feature[:, None]], 1)
        exists = torch.cat([valid, torch.ones_like(valid[:, :1])], 1)
        newest = self.head.remember(features, exists)[-1]
        chunk = self.head.read(newest, feature)
        played = torch.cat([chunk[..., :6].clamp(-1, 1), chunk[..., 6:].sigmoid()], -1)
        return played, features[:, 1:], exists[:, 1:]


def normalised(image: Tensor, gain: Tensor | None = None) -> Tensor:
    """Pixels (N, H, W, 3) uint8 -> (N, 3, H, W) float about zero, each colour times `gain` (N, 3); memory stays channels-last."""
    mean, std = image.new_tensor(PIXEL_MEAN, dtype=torch.float32), image.new_tensor(PIXEL_STD, dtype=torch.float32)
    scale = 1 / (255 * std)
    if gain is not None:
        scale = (scale * gain)[:, None, None]
    return (image.float() * scale - mean / std).permute(0, 3, 1, 2)


FORMULATIONS = {"policy_head": PolicyHead}


def build(config: NetworkConfig) -> PolicyHead:
    """A network with fresh weights."""
    return FORMULATIONS[config.formulation](config).to(memory_format=torch.channels_last)
