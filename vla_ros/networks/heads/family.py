"""The policy heads of the RoboVLMs family: LSTM, GPT and MLP over the action-token features of a window.

Layers, sizes and the names of parameters are those of the released checkpoints (RoboVLMs, policy_head/base_policy.py and
trajectory_gpt2.py). Each head has `forward` for a window, as it is trained, and `decide` for one frame at a time, whose memory is
in the caller's hands. Both give the same numbers: the reference keeps the last W features and runs the window again.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

LAYERS, GPT_LAYERS, GPT_HEADS = 4, 8, 8
ARM = 6
Memory = tuple[Tensor, ...]


class HeadConfig(BaseModel):
    """What a head is made of: `width` of a feature, `hidden` inside, frames of the window, steps of a chunk."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["lstm", "gpt", "mlp"]
    width: int = Field(gt=0)
    hidden: int = Field(1024, gt=0)
    window: int = Field(ge=1)
    chunk: int = Field(10, ge=1)


class Layers(nn.Module):
    """The reference's MLP in front of each output: 1024, 512, 256, and what is wanted."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        sizes = (inputs, 1024, 512, 256)
        hidden = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU())]
        self.mlp = nn.Sequential(*hidden, nn.Linear(sizes[-1], outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(…, inputs) -> (…, outputs)."""
        y: Tensor = self.mlp(x)
        return y


class Head(nn.Module):
    """What all heads share: from the fused state of a frame to its chunk."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.config = config
        self.actions = Layers(config.hidden, config.chunk * ARM)
        self.gripper = Layers(config.hidden, config.chunk)

    def read(self, states: Tensor) -> Tensor:
        """Chunks (…, chunk, 7) of fused states (…, H): the arm in -1 … 1, and the gripper as a logit."""
        arm = self.actions(states).tanh().unflatten(-1, (self.config.chunk, ARM))
        return torch.cat([arm, self.gripper(states)[..., None]], -1)

    def fresh(self) -> Memory:
        """The memory before the first frame."""
        raise NotImplementedError

    def forward(self, features: Tensor) -> Tensor:
        """Features of windows (N, W, D) -> chunks (N, W, chunk, 7), each from the frames up to it."""
        raise NotImplementedError

    def decide(self, feature: Tensor, *memory: Tensor) -> tuple[Tensor, ...]:
        """The newest feature (1, D) and the memory -> chunk (1, chunk, 7) and the next memory."""
        raise NotImplementedError


class LstmDecoder(Head):
    """Four LSTM layers. One frame at a time it keeps W states: state k is that of the window begun k frames ago.

    So a window that slides is exact and costs one step: the feature goes to all states at once, and the oldest is read.
    """

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        self.rnn = nn.LSTM(config.width, config.hidden, LAYERS, batch_first=True)

    def forward(self, features: Tensor) -> Tensor:
        return self.read(self.rnn(features)[0])

    def fresh(self) -> Memory:
        """h and c (layers, W, H), and how many frames were seen, at most W - 1."""
        states = torch.zeros(LAYERS, self.config.window, self.config.hidden)
        return states, states.clone(), torch.zeros(1, dtype=torch.int64)

    def decide(self, feature: Tensor, *memory: Tensor) -> tuple[Tensor, ...]:
        h, c, seen = memory
        h, c = (torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1) for x in (h, c))
        x = feature.expand(self.config.window, -1)
        states = []
        for layer in range(LAYERS):
            states.append(self._cell(layer, x, h[layer], c[layer]))
            x = states[-1][0]
        chunk = self.read(x.index_select(0, seen))
        following = torch.clamp(seen + 1, max=self.config.window - 1)
        return chunk, torch.stack([s[0] for s in states]), torch.stack([s[1] for s in states]), following

    def _cell(self, layer: int, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """One layer at one step (Hochreiter and Schmidhuber 1997; gates in torch's order)."""
        w = self.rnn
        gates = F.linear(x, getattr(w, f"weight_ih_l{layer}"), getattr(w, f"bias_ih_l{layer}"))
        gates = gates + F.linear(h, getattr(w, f"weight_hh_l{layer}"), getattr(w, f"bias_hh_l{layer}"))
        enter, keep, new, out = gates.chunk(4, -1)
        c = keep.sigmoid() * c + enter.sigmoid() * new.tanh()
        return out.sigmoid() * c.tanh(), c


class Conv1D(nn.Module):
    """A linear layer whose weight is (inputs, outputs), as GPT-2 has it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs) * 0.02)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(…, inputs) -> (…, outputs)."""
        return x @ self.weight + self.bias


class Block(nn.Module):
    """One layer of GPT-2 (Radford et al. 2019)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.ModuleDict({"c_attn": Conv1D(width, 3 * width), "c_proj": Conv1D(width, width)})
        self.mlp = nn.ModuleDict({"c_fc": Conv1D(width, 4 * width), "c_proj": Conv1D(4 * width, width)})

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, D) -> (N, T, D); a token sees those before it."""
        heads = self.attn["c_attn"](self.ln_1(x)).unflatten(-1, (3, GPT_HEADS, -1))
        q, k, v = heads.permute(2, 0, 3, 1, 4).unbind(0)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        x = x + self.attn["c_proj"](seen)
        inner = F.gelu(self.mlp["c_fc"](self.ln_2(x)), approximate="tanh")
        y: Tensor = x + self.mlp["c_proj"](inner)
        return y


class Gpt(nn.Module):
    """GPT-2 over features, with learned positions in the window."""

    def __init__(self, width: int, window: int) -> None:
        super().__init__()
        self.wpe = nn.Embedding(window, width)
        self.h = nn.ModuleList(Block(width) for _ in range(GPT_LAYERS))
        self.ln_f = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, D), T at most the window -> (N, T, D)."""
        x = x + self.wpe.weight[: x.shape[1]]
        for block in self.h:
            x = block(x)
        y: Tensor = self.ln_f(x)
        return y


class GptDecoder(Head):
    """GPT-2 over the window. Positions slide with it, so nothing but the features can be kept between frames."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        self.gpt = Gpt(config.hidden, config.window)
        self.fc = nn.Identity() if config.hidden == config.width else nn.Linear(config.width, config.hidden)

    def forward(self, features: Tensor) -> Tensor:
        return self.read(self.gpt(self.fc(features)))

    def fresh(self) -> Memory:
        """The features so far (1, W, H), the first ones first, and how many were seen, at most W."""
        return torch.zeros(1, self.config.window, self.config.hidden), torch.zeros(1, dtype=torch.int64)

    def decide(self, feature: Tensor, *memory: Tensor) -> tuple[Tensor, ...]:
        features, seen = memory
        window, newest = self.config.window, self.fc(feature)[:, None]
        slid = torch.cat([features[:, 1:], newest], 1)
        here = (torch.arange(window) == seen)[None, :, None]
        filled = torch.where(here, newest, features)
        features = torch.where(seen[:, None, None] >= window, slid, filled)
        last = torch.clamp(seen, max=window - 1)
        states = self.gpt(features)  # what stands behind the newest cannot be seen by it
        return self.read(states.index_select(1, last)[:, 0]), features, torch.clamp(seen + 1, max=window)


class MlpDecoder(Head):
    """No history: the chunk of a frame is that of its feature alone."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        half = config.width // 2
        self.mlp = nn.Sequential(nn.Linear(config.width, half), nn.ReLU(), nn.Linear(half, config.hidden))

    def forward(self, features: Tensor) -> Tensor:
        return self.read(self.mlp(features))

    def fresh(self) -> Memory:
        """Nothing is remembered."""
        return ()

    def decide(self, feature: Tensor, *memory: Tensor) -> tuple[Tensor, ...]:
        return (self.forward(feature),)


HEADS: dict[str, type[Head]] = {"lstm": LstmDecoder, "gpt": GptDecoder, "mlp": MlpDecoder}


def build_head(config: HeadConfig) -> Head:
    """A head with fresh weights."""
    return HEADS[config.kind](config)
