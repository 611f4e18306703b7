"""An LSTM over the features of a window, read at every frame (RoboVLMs' policy head, with a skip around the LSTM)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Cell(nn.Module):
    """One LSTM layer at one time step (Hochreiter and Schmidhuber 1997), written out so that it exports as matrix products."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.x = nn.Linear(inputs, 4 * hidden)
        self.h = nn.Linear(hidden, 4 * hidden, bias=False)
        for weight in (self.x.weight, self.x.bias, self.h.weight):
            nn.init.uniform_(weight, -(hidden**-0.5), hidden**-0.5)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, inputs), h and c (N, hidden) -> the next h and c."""
        enter, keep, new, out = (self.x(x) + self.h(h)).chunk(4, -1)
        c = keep.sigmoid() * c + enter.sigmoid() * new.tanh()
        return out.sigmoid() * c.tanh(), c


class LstmHead(nn.Module):
    """Features of a window (N, W, D) -> one chunk (N, W, chunk, 7) per frame, from the frames up to it.

    A frame that is not valid leaves the state at zero: a window that is not yet full gives exactly what training on its valid
    frames alone would.
    """

    def __init__(self, width: int, chunk: int, actions: int = 7, layers: int = 2) -> None:
        super().__init__()
        self.chunk, self.actions, self.width = chunk, actions, width
        self.cells = nn.ModuleList(Cell(width, width) for _ in range(layers))
        # the skip lets the newest frame act from the first step of training, before the LSTM has learnt anything
        self.out = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, chunk * actions))

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        """Features (N, W, D) and valid (N, W), 0 or 1 -> (N, W, chunk, actions)."""
        remembered = torch.stack(self.remember(features, valid), 1)
        return self.read(remembered, features)

    def remember(self, features: Tensor, valid: Tensor) -> list[Tensor]:
        """The LSTM's output (N, D) at each frame of the window."""
        zero = torch.zeros_like(features[:, 0])
        states = [(zero, zero) for _ in self.cells]
        outputs = []
        for step in range(features.shape[1]):
            x, exists = features[:, step], valid[:, step, None]
            for number, cell in enumerate(self.cells):
                h, c = cell(x, *states[number])
                states[number] = (h * exists, c * exists)
                x = states[number][0]
            outputs.append(x)
        return outputs

    def read(self, remembered: Tensor, features: Tensor) -> Tensor:
        """Chunks (..., chunk, actions) from what is remembered and the newest feature, both (..., D)."""
        flat = self.out(torch.cat([remembered, features], -1))
        return flat.unflatten(-1, (self.chunk, self.actions))
