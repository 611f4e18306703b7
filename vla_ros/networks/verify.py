"""Proof that a bundle's graphs compute what the network does, and that the network uses what it is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vla_ros.networks.formulations import PolicyHead
from vla_ros.policy.engines.onnx import OnnxEngine
from vla_ros.policy.manifest import Manifest, Tensor

STEPS = 40
RESET = 20
TOLERANCE = 1e-4
DEPENDENCE = 1e-4
"""Least change of the normalised chunk when an input is replaced: less is a network that does not look."""

Arrays = dict[str, NDArray[Any]]


class VerificationError(Exception):
    """A bundle that does not compute what its network does, or a network that ignores an input."""


def verify(network: PolicyHead, folder: Path, manifest: Manifest) -> dict[str, Any]:
    """The verification record of the manifest. Raises VerificationError.

    Torch and ONNX Runtime run the same 40 frames, memory and all, with a reset after 20; then each image and the words are
    replaced in turn.
    """
    random = np.random.default_rng(0)
    engine = OnnxEngine(folder, manifest)
    inputs = [_frame(manifest, random) for _ in range(STEPS)]
    difference = float(np.abs(_by_onnx(engine, manifest, inputs) - _by_torch(network, manifest, inputs)).max())
    if not difference <= TOLERANCE:
        raise VerificationError(f"ONNX Runtime differs from torch by {difference:.1e}, more than {TOLERANCE:.0e}")
    return {
        "torch_onnxruntime_difference": float(f"{difference:.1e}"),
        "steps": STEPS,
        "depends_on": _dependence(engine, manifest, inputs, random),
    }


def _frame(manifest: Manifest, random: np.random.Generator) -> Arrays:
    return {tensor.name: _random_input(tensor, random) for tensor in manifest.graphs["encode"].inputs}


def _random_input(tensor: Tensor, random: np.random.Generator) -> NDArray[Any]:
    if tensor.role == "image":  # blocks of colour: independent pixels average to the same grey everywhere
        height, width = tensor.shape[1:3]
        blocks = random.integers(0, 256, (1, -(-height // 10), -(-width // 10), 3), np.uint8)
        return blocks.repeat(10, 1).repeat(10, 2)[:, :height, :width]
    if tensor.role == "text_mask":
        return (np.arange(tensor.shape[1]) < 5).astype(np.float32)[None]
    values: NDArray[Any] = random.normal(size=tensor.shape).astype(tensor.dtype)
    return values


def _by_onnx(engine: OnnxEngine, manifest: Manifest, frames: list[Arrays]) -> NDArray[Any]:
    chunks = []
    memory = _fresh(manifest)
    for number, frame in enumerate(frames):
        if number == RESET:
            memory = _fresh(manifest)
        feature = engine.run("encode", frame)
        outputs = engine.run("decide", memory | feature)
        memory = {name: outputs[f"{name}_next"] for name in memory}
        chunks.append(outputs["chunk"][0])
    return np.stack(chunks)


def _fresh(manifest: Manifest) -> Arrays:
    memory = [t for t in manifest.graphs["decide"].inputs if t.role == "memory"]
    return {tensor.name: np.zeros(tensor.shape, tensor.dtype) for tensor in memory}


@torch.no_grad()
def _by_torch(network: PolicyHead, manifest: Manifest, frames: list[Arrays]) -> NDArray[Any]:
    chunks = []
    memory, valid = _tensors(_fresh(manifest))
    for number, frame in enumerate(frames):
        if number == RESET:
            memory, valid = _tensors(_fresh(manifest))
        *images, text, mask, state = _tensors(frame)
        chunk, memory, valid = network.decide(memory, valid, network.encode(images, text, mask, state))
        chunks.append(chunk[0].numpy())
    return np.stack(chunks)


def _tensors(arrays: Arrays) -> list[torch.Tensor]:
    return [torch.from_numpy(array) for array in arrays.values()]


def _dependence(
    engine: OnnxEngine, manifest: Manifest, frames: list[Arrays], random: np.random.Generator
) -> dict[str, float]:
    """Change of the chunk when an input is another one, for each image and for the words."""
    reference = _by_onnx(engine, manifest, frames[:2])
    changes = {}
    for tensor in manifest.graphs["encode"].inputs:
        if tensor.role not in ("image", "text"):
            continue
        other = [frame | {tensor.name: _random_input(tensor, random)} for frame in frames[:2]]
        change = float(np.abs(_by_onnx(engine, manifest, other) - reference).max())
        if not change >= DEPENDENCE:
            raise VerificationError(f"the network ignores its input {tensor.name}: another one changes {change:.1e}")
        changes[tensor.name] = float(f"{change:.1e}")
    return changes
