"""One control step of a policy, in each of the ways that are compared. Every call takes the next frame of the same endless row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from vla_ros.networks.agreement import fresh
from vla_ros.networks.recorded import Arrays, Recorded
from vla_ros.networks.speed.reference import Reference
from vla_ros.networks.verify import Run
from vla_ros.policy.manifest import Manifest

Floats = NDArray[np.float32]
Pictures = Sequence[NDArray[np.uint8]]
"""One frame: the images (1, H, W, 3) of the cameras, in their order."""


class Step(Protocol):
    """A way of making a step."""

    def __call__(self) -> Floats:
        """The chunk (chunk, 7) of the next frame, the arm normalised, the gripper a probability."""


class NewestStep:
    """As the service does it: the newest frame is encoded, the memory moves on."""

    def __init__(self, run: Run, manifest: Manifest, recorded: Recorded) -> None:
        self._run, self._memory = run, fresh(manifest)
        self._frames: Iterator[Arrays] = cycle(frame for clip in recorded.clips for frame in clip.frames)

    def __call__(self) -> Floats:
        """The chunk of the next frame."""
        outputs = self._run("decide", self._memory | self._run("encode", next(self._frames)))
        self._memory = {name: outputs[f"{name}_next"] for name in self._memory}
        chunk: Floats = outputs["chunk"][0]
        return chunk


class ReferenceStep:
    """As the reference does it: features of the window are kept, everything else is done again."""

    def __init__(self, network: Reference, frames: Sequence[Pictures], sentence: str, device: str = "cpu") -> None:
        self._network, self._device, self._sentence = network, device, sentence
        self._frames = cycle(frames)
        self._past = torch.zeros(0, network.action.shape[0], device=device)

    @torch.inference_mode()
    def __call__(self) -> Floats:
        """The chunk of the next frame."""
        images = [torch.from_numpy(image).to(self._device) for image in next(self._frames)]
        chunk, self._past = self._network.step(images, self._sentence, self._past)
        return _played(chunk)


class WindowStep:
    """As a policy does it that keeps nothing: all frames of the window go through everything."""

    def __init__(self, network: Reference, frames: Sequence[Pictures], sentence: str, device: str = "cpu") -> None:
        self._network, self._device, self._sentence = network, device, sentence
        self._pictures, self._newest = frames, -1

    @torch.inference_mode()
    def __call__(self) -> Floats:
        """The chunk of the next frame, with as many frames before it as there are."""
        self._newest += 1
        window = self._network.head.config.window
        places = range(max(0, self._newest + 1 - window), self._newest + 1)
        seen = [self._pictures[place % len(self._pictures)] for place in places]
        images = [torch.from_numpy(np.concatenate(camera)).to(self._device) for camera in zip(*seen, strict=True)]
        return _played(self._network.window(images, self._sentence))

    def skip(self, frames: int) -> None:
        """Go on as if that many frames had been answered."""
        self._newest += frames


def pictures(manifest: Manifest, recorded: Recorded) -> list[Pictures]:
    """The images (1, H, W, 3) of each frame, in the cameras' order."""
    names = [tensor.name for tensor in manifest.graphs["encode"].inputs if tensor.role == "image"]
    return [[frame[name] for name in names] for clip in recorded.clips for frame in clip.frames]


def _played(chunk: torch.Tensor) -> Floats:
    values: Floats = torch.cat([chunk[..., :6], chunk[..., 6:].sigmoid()], -1).cpu().numpy()
    return values
