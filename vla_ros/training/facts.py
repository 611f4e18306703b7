"""What a network is told about its data: scales of states and actions, words, cameras."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from vla_ros.config import Config
from vla_ros.networks.checkpoints import Facts
from vla_ros.networks.formulations import PIXEL_MEAN, PIXEL_STD, NetworkConfig
from vla_ros.policy import words
from vla_ros.policy.manifest import Action, Camera, Chunk, History, Robot
from vla_ros.training.dataset import Recording

QUANTILES = (0.01, 0.99)
LEAST_SHIFT, LEAST_TURN = 0.010, 0.020
"""m and rad a step. Without a floor, rotations that the task never uses would have their noise learnt as motion."""
LEAST_STD = (0.05, 0.05, 0.05, 0.10, 0.10, 0.10, 0.5, 0.5)
THINNED = 10_000
"""About so many frames are enough for quantiles."""


def action_scale(recordings: Sequence[Recording]) -> tuple[float, ...]:
    """What 1 stands for, (6,) in m and rad a step: of the steps of a chunk the widest by its quantiles.

    The same for x, y and z, and for the three rotations: clipping one of them alone would bend the way.
    """
    labels = np.concatenate([r.labels for r in recordings])
    labels = labels[:: max(1, len(labels) // THINNED), :, :6]
    low, high = np.quantile(labels, QUANTILES, axis=0)
    widest = np.maximum(np.abs(low), np.abs(high)).max(0)
    shift, turn = max(*widest[:3], LEAST_SHIFT), max(*widest[3:], LEAST_TURN)
    return (float(f"{shift:.4g}"),) * 3 + (float(f"{turn:.4g}"),) * 3


def state_scale(recordings: Sequence[Recording]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the robot state, (8,) each, the latter at least LEAST_STD."""
    states = np.concatenate([r.states for r in recordings]).astype(np.float64)
    std = np.maximum(states.std(0), LEAST_STD)
    return tuple(states.mean(0).round(5).tolist()), tuple(std.round(5).tolist())


def cameras_of(config: Config, names: Sequence[str]) -> tuple[Camera, ...]:
    """The cameras of the configuration as a manifest names them."""
    chosen = [(name, config.cameras[name]) for name in names]
    return tuple(
        Camera(name=n, sensor=(c.width, c.height), roi=c.roi, binning=c.binning, mean=PIXEL_MEAN, std=PIXEL_STD)
        for n, c in chosen
    )


def facts_of(
    recordings: Sequence[Recording], config: Config, cameras: Sequence[str], window: int, execute: int
) -> Facts:
    """What the manifest will say, from the data and from the configuration that it was recorded with."""
    scale = action_scale(recordings)
    return Facts(
        cameras=cameras_of(config, cameras),
        action=Action(
            low=tuple(-s for s in scale), high=scale, quantiles=QUANTILES, label="commanded", anchor="measured"
        ),
        chunk=Chunk(length=recordings[0].labels.shape[1], step_ms=100.0, execute=execute),
        history=History(window=window, stride_ms=100.0),
        robot=Robot(name=config.robot, control_rate=config.servo.rate),
    )


def network_of(facts: Facts, recordings: Sequence[Recording], vocabulary: int) -> NetworkConfig:
    """The network for these facts. Raises ValueError when the recorded images are not those of the configuration."""
    for camera, images in zip(facts.cameras, recordings[0].images, strict=True):
        if images.shape[1:3] != camera.image_shape:
            raise ValueError(
                f"camera {camera.name} was recorded as {images.shape[1:3]}, the configuration delivers "
                f"{camera.image_shape}: name the configuration that the dataset was recorded with"
            )
    mean, std = state_scale(recordings)
    return NetworkConfig(
        sizes=tuple(camera.image_shape for camera in facts.cameras),
        vocabulary=vocabulary,
        window=facts.history.window,
        chunk=facts.chunk.length,
        state_mean=mean,
        state_std=std,
    )


def word_encoder(tokenizer: Tokenizer, length: int) -> Callable[[str], tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """A function from an instruction to its word numbers and mask, (length,) each. Raises InstructionError as service does."""

    def encode(task: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        ids = words.encode(tokenizer, task, length)
        numbers, mask = np.zeros(length, np.int64), np.zeros(length, np.float32)
        numbers[: len(ids)], mask[: len(ids)] = ids, 1
        return numbers, mask

    return encode
