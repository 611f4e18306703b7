"""From a checkpoint to a bundle: graphs, words and manifest, proven to compute what the network does."""

from __future__ import annotations

from pathlib import Path

from safetensors.numpy import save_file
from torch import Tensor, nn

from vla_ros.folders import replacing
from vla_ros.networks.checkpoints import Checkpoint, load_checkpoint
from vla_ros.networks.formulations import NetworkConfig, PolicyHead
from vla_ros.networks.graphs import write_graph
from vla_ros.networks.verify import verify
from vla_ros.policy.manifest import MANIFEST, STATE_NAMES, Graph, Manifest, Words, save_manifest, sha256
from vla_ros.policy.manifest import Tensor as Input
from vla_ros.policy.words import ROWS


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
    """Write the bundle of `checkpoint` to `folder`, in the place of one that was there, and return its manifest.

    `name` defaults to the folder's. Raises VerificationError unless ONNX Runtime computes what torch does, and every input matters.
    """
    if isinstance(checkpoint, Path):
        checkpoint = load_checkpoint(checkpoint)
    network = checkpoint.build().eval()
    modules = {"encode": EncodeGraph(network), "decide": DecideGraph(network)}
    with replacing(folder, MANIFEST) as fresh:
        graphs = _write_graphs(checkpoint, modules, fresh)
        words = _write_words(checkpoint, network, fresh)
        manifest = _manifest(checkpoint, graphs, words, name or folder.name)
        record = verify(modules, fresh, manifest)
        manifest = manifest.model_copy(update={"verification": record})
        save_manifest(manifest, fresh)
    return manifest


def _write_graphs(checkpoint: Checkpoint, modules: dict[str, nn.Module], folder: Path) -> dict[str, Graph]:
    encode, decide = encode_inputs(checkpoint), decide_inputs(checkpoint.network)
    outputs = ("chunk", "memory_next", "valid_next")
    return {
        "encode": write_graph(modules["encode"], encode, ("feature",), folder / "encode.onnx"),
        "decide": write_graph(modules["decide"], decide, outputs, folder / "decide.onnx"),
    }


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
