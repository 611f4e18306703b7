"""A backbone of about a million parameters that trains on one CPU core: convolutional eyes that are told what to look for.

Each eye is a stride-4 convolutional net whose channels are scaled and shifted by the words (FiLM, Perez et al. 2018) and which
reports where its channels fire (spatial soft-max, Levine et al. 2016) and what it sees on a coarse grid.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (32, 64, 64, 64)
STRIDE = 4
POOL = 5
_GROUPS = 8
_TEMPERATURE = 4.0  # softer starts leave the key-points in the middle of the image, and training does not begin


class FiLM(nn.Module):
    """Scale and shift of every channel by the words; the identity at the start of training."""

    def __init__(self, channels: int, text: int) -> None:
        super().__init__()
        self.linear = nn.Linear(text, 2 * channels)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        """x (N, C, H, W), text (N, E) -> (N, C, H, W)."""
        gain, shift = self.linear(text)[..., None, None].chunk(2, 1)
        return x * (1 + gain) + shift


class Layer(nn.Module):
    """Convolution, group norm, FiLM, ReLU; with a skip where the shape stays."""

    def __init__(self, before: int, after: int, text: int, stride: int) -> None:
        super().__init__()
        self.skip = before == after and stride == 1
        self.convolution = nn.Conv2d(before, after, 3, stride, 1)
        self.norm = nn.GroupNorm(_GROUPS, after)
        self.film = FiLM(after, text)

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        """x (N, C, H, W), text (N, E) -> (N, C', H', W')."""
        y = F.relu(self.film(self.norm(self.convolution(x)), text))
        return x + y if self.skip else y


class Eye(nn.Module):
    """One camera. `size` is (height, width) of its images, both multiples of 20."""

    def __init__(
        self,
        size: tuple[int, int],
        text: int,
        widths: tuple[int, int, int, int] = WIDTHS,
        keypoints: int = 64,
        coarse: int = 16,
    ) -> None:
        super().__init__()
        height, width = size
        if height % (STRIDE * POOL) or width % (STRIDE * POOL):
            raise ValueError(f"images of {width}×{height} pixels: both must be multiples of {STRIDE * POOL}")
        self.see = nn.Conv2d(3, widths[0], 5, 2, 2)
        # Where a pixel is does not depend on the image: this half of the first layer is computed once for a batch.
        self.place = nn.Conv2d(2, widths[0], 5, 2, 2, bias=False)
        strides = (2, 1, 1)
        self.layers = nn.ModuleList(
            Layer(a, b, text, s) for a, b, s in zip(widths[:-1], widths[1:], strides, strict=True)
        )
        self.keypoints = nn.Conv2d(widths[-1], keypoints, 1)
        self.temperature = nn.Parameter(torch.tensor(_TEMPERATURE))
        self.coarse = nn.Conv2d(widths[-1], coarse, 1)
        cells = (height // STRIDE // POOL) * (width // STRIDE // POOL)
        self.features = 2 * keypoints + coarse * cells
        self.register_buffer("grid", _grid(height, width)[None], persistent=False)
        self.register_buffer("points", _grid(height // STRIDE, width // STRIDE).flatten(1).T, persistent=False)

    def forward(self, image: Tensor, text: Tensor) -> Tensor:
        """Normalised images (N, 3, H, W) and text (N, E) -> (N, features) float32."""
        # no norm here: it would cost a sixth of the training time, and the layers behind it normalise
        x = F.relu(self.see(image) + self.place(self.grid))
        for layer in self.layers:
            x = layer(x, text)
        attention = (self.keypoints(x).flatten(2).float() * self.temperature).softmax(-1)
        where = (attention @ self.points).flatten(1)
        what = F.avg_pool2d(self.coarse(x).float(), POOL).flatten(1)
        return torch.cat([2 * where, what], 1)


def _grid(height: int, width: int) -> Tensor:
    """x and y of every pixel from -1 to 1: (2, height, width)."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    return torch.stack([x, y])


class Words(nn.Module):
    """A sentence as one vector: a gated recurrent unit read at the last word. What stands behind it cannot matter."""

    def __init__(self, embedding: int, hidden: int) -> None:
        super().__init__()
        self.gru = nn.GRU(embedding, hidden, batch_first=True)

    def forward(self, rows: Tensor, mask: Tensor) -> Tensor:
        """Embedding rows (N, T, E) and mask (N, T), 1 for a word and 0 behind the last one -> (N, hidden)."""
        states, _ = self.gru(rows)
        last = mask - F.pad(mask[:, 1:], (0, 1))
        return (states * last[..., None]).sum(1)


class TinyBackbone(nn.Module):
    """Eyes, words and robot state fused into one feature of `width` numbers.

    The layer norms on both sides of the fusion are what lets the head learn at all at these sizes.
    """

    def __init__(self, sizes: list[tuple[int, int]], state: int, embedding: int = 128, width: int = 256) -> None:
        super().__init__()
        self.width = width
        self.words = Words(embedding, embedding)
        self.eyes = nn.ModuleList(Eye(size, embedding) for size in sizes)
        self.body = nn.Sequential(nn.Linear(state, 64), nn.LayerNorm(64))
        together = sum(eye.features for eye in self.eyes) + embedding + 64
        self.fuse = nn.Sequential(
            nn.LayerNorm(together),
            nn.Linear(together, width),
            nn.LayerNorm(width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.LayerNorm(width),
        )

    def forward(self, images: list[Tensor], text: Tensor, state: Tensor) -> Tensor:
        """Normalised images, one (N, 3, H, W) per camera, text (N, E) and state (N, S) -> (N, width)."""
        seen = [eye(image, text) for eye, image in zip(self.eyes, images, strict=True)]
        return self.fuse(torch.cat([*seen, text, self.body(state)], 1))
