"""From a checkpoint to a bundle: graphs, words and manifest, proven to compute what the network does."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import Tensor, nn

from vla_ros.networks.checkpoints import Checkpoint, load_checkpoint
from vla_ros.networks.formulations import NetworkConfig, PolicyHead
from vla_ros.networks.verify import verify
from vla_ros.policy.manifest import STATE_NAMES, Graph, Manifest, Words, save_manifest, sha256
from vla_ros.policy.manifest import Tensor as Input
from vla_ros.policy.words import ROWS

OPSET = 18


class EncodeGraph(nn.Module):
    """`encode` with one argument per input."""

    def __init__(self, network: PolicyHead) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> Tensor:
        """Images …, text, text mask, robot state -> feature."""
        *images, text, mask, state = inputs
        return self.network.encode(images, text, mask, state)


class DecideGraph(nn.Module):
    """`decide`."""

    def __init__(self, network: PolicyHead) -> None:
        super().__init__()
        self.network = network

    def forward(self, memory: Tensor, valid: Tensor, feature: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Memory, valid, feature -> chunk, memory', valid'."""
        return self.network.decide(memory, valid, feature)


def export(checkpoint: Path | Checkpoint, folder: Path, name: str = "") -> Manifest:
    """Write the bundle of `checkpoint` into `folder` and return its manifest; `name` defaults to the folder's.

    Raises VerificationError unless ONNX Runtime computes what torch does, and every input matters.
    """
    if isinstance(checkpoint, Path):
        checkpoint = load_checkpoint(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    network = checkpoint.build().eval()
    graphs = {
        "encode": _write(EncodeGraph(network), encode_inputs(checkpoint), ("feature",), folder / "encode.onnx"),
        "decide": _write(
            DecideGraph(network),
            decide_inputs(checkpoint.network),
            ("chunk", "memory_next", "valid_next"),
            folder / "decide.onnx",
        ),
    }
    words = _write_words(checkpoint, network, folder)
    manifest = _manifest(checkpoint, graphs, words, name or folder.name)
    record = verify(network, folder, manifest)
    manifest = manifest.model_copy(update={"verification": record})
    save_manifest(manifest, folder)
    return manifest


def encode_inputs(checkpoint: Checkpoint) -> tuple[Input, ...]:
    """Inputs of `encode`: the cameras in their order, the words, the robot state."""
    network = checkpoint.network
    images = (
        Input(name=camera.name, role="image", shape=(1, *size, 3), dtype="uint8", camera=camera.name)
        for camera, size in zip(checkpoint.facts.cameras, network.sizes, strict=True)
    )
    return (
        *images,
        Input(name="text", role="text", shape=(1, network.words, network.embedding)),
        Input(name="text_mask", role="text_mask", shape=(1, network.words)),
        Input(name="robot_state", role="robot_state", shape=(1, network.state)),
    )


def decide_inputs(network: NetworkConfig) -> tuple[Input, ...]:
    """Inputs of `decide`: the features of the frames before, which of them exist, and the newest feature."""
    past = network.window - 1
    return (
        Input(name="memory", role="memory", shape=(1, past, network.width)),
        Input(name="valid", role="memory", shape=(1, past)),
        Input(name="feature", role="feature", shape=(1, network.width)),
    )


def _write(module: nn.Module, inputs: tuple[Input, ...], outputs: tuple[str, ...], path: Path) -> Graph:
    examples = tuple(torch.from_numpy(_example(i)) for i in inputs)
    # torchvision is named once per graph, and not needed
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            module.eval(),
            examples,
            input_names=[i.name for i in inputs],
            output_names=list(outputs),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    program.save(path, external_data=False)
    return Graph(file=path.name, sha256=sha256(path), inputs=inputs, outputs=outputs)


def _example(tensor: Input) -> NDArray[Any]:
    values: NDArray[Any] = np.zeros(tensor.shape, tensor.dtype)
    return values


def _write_words(checkpoint: Checkpoint, network: PolicyHead, folder: Path) -> Words:
    tokenizer, rows = folder / "tokenizer.json", folder / "text.safetensors"
    tokenizer.write_text(checkpoint.tokenizer)
    save_file({ROWS: network.embedding.weight.detach().numpy().copy()}, rows)
    rows.chmod(0o644)  # safetensors makes files that only their owner reads
    hashes = {path.name: sha256(path) for path in (tokenizer, rows)}
    return Words(sha256=hashes, length=checkpoint.network.words)


def _manifest(checkpoint: Checkpoint, graphs: dict[str, Graph], words: Words, name: str) -> Manifest:
    facts = checkpoint.facts
    return Manifest(
        name=name,
        graphs=graphs,
        cameras=facts.cameras,
        robot_state=STATE_NAMES,
        words=words,
        history=facts.history,
        action=facts.action,
        chunk=facts.chunk,
        on_instruction=facts.on_instruction,
        robot=facts.robot,
        training=checkpoint.training,
        verification={},
    )
