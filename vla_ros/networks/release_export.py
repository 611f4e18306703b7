"""From a released checkpoint to a bundle that the service runs: graphs, words and manifest, proven to compute the same."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from vla_ros.folders import replacing
from vla_ros.networks.backbones.kosmos2 import PIXEL_MEAN, PIXEL_STD, PROMPT, SIDE, Kosmos2Backbone
from vla_ros.networks.backbones.kosmos2_graph import Kosmos2Graph, positions, tail
from vla_ros.networks.graphs import TYPES, Precision, write_graph
from vla_ros.networks.heads.family import ARM, Head
from vla_ros.networks.release_facts import ReleaseFacts, read_facts
from vla_ros.networks.release_file import ReleaseError
from vla_ros.networks.released import Family, Release, load_release
from vla_ros.networks.verify import VerificationError, verify
from vla_ros.policy import tail as text
from vla_ros.policy.manifest import (
    MANIFEST,
    Action,
    Camera,
    Chunk,
    Graph,
    History,
    Manifest,
    Words,
    save_manifest,
    sha256,
)
from vla_ros.policy.manifest import Tensor as Input

TOKENIZER = "tokenizer.json"
_COPY = "Copy that of microsoft/kosmos-2-patch14-224"
AGREEMENT = 1e-4
"""Largest difference between the graph's feature and the network's, as a share of its magnitude, in fp32."""


class DecideGraph(nn.Module):
    """`decide` of a head: the feature and the memory -> chunk, memory'. The gripper is a probability."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Feature, memory … -> chunk (1, n, 7), memory' …."""
        chunk, *memory = self.head.decide(*inputs)
        return torch.cat([chunk[..., :ARM], chunk[..., ARM:].sigmoid()], -1), *memory


def import_release(
    checkpoint: Path, config: Path, backbone: Path, facts: Path | None, folder: Path, precision: Precision = "fp32"
) -> Manifest:
    """Write the bundle of a released checkpoint to `folder`, in the place of one that was there, and return its manifest.

    `backbone` is a folder with config.json and tokenizer.json of the backbone. Raises ReleaseError for what cannot be used, before
    anything is written, and VerificationError unless the graphs compute what the network does.
    """
    network, release = load_release(checkpoint, config, backbone)
    given = read_facts(facts, release)
    tokenizer = _tokenizer(backbone, network.eye)
    with replacing(folder, MANIFEST) as fresh:
        written = write_bundle(network, release, given, tokenizer, fresh, precision, _training(release, checkpoint))
        record = verify(written.modules, fresh, written.manifest, written.lowered)
        manifest = written.manifest.model_copy(update={"verification": record})
        save_manifest(manifest, fresh)
    return manifest


@dataclass(frozen=True)
class Written:
    """A bundle but for its file manifest.yaml: the manifest, and the modules of its graphs, in fp32 and as they were exported."""

    manifest: Manifest
    modules: Mapping[str, nn.Module]
    lowered: Mapping[str, nn.Module]


def write_bundle(
    network: Family,
    release: Release,
    facts: ReleaseFacts,
    tokenizer: Path,
    folder: Path,
    precision: Precision,
    training: dict[str, Any],
) -> Written:
    """Write graphs and words of a network. Raises VerificationError unless the static graph is what the network is."""
    modules, lowered = graph_modules(network, release, facts.text_length, precision)
    folder.mkdir(parents=True, exist_ok=True)
    words = _write_words(network.eye, tokenizer, release, facts, folder)
    graphs = _write_graphs(lowered, network, facts, folder, precision)
    return Written(_manifest(release, facts, graphs, words, folder.name, training), modules, lowered)


def graph_modules(
    network: Family, release: Release, length: int, precision: Precision = "fp32"
) -> tuple[dict[str, nn.Module], dict[str, nn.Module]]:
    """The modules of a bundle's graphs, in fp32 and in `precision`; `length` is that of the text.

    Raises ReleaseError for a text that is too long, and VerificationError unless the static graph is what the network is.
    """
    eye = _graph(network.eye, release)
    places = len(positions(network.eye, 1 + release.cameras * network.eye.queries, length))
    if places < length:
        raise ReleaseError(f"text_length is {length}: behind the images the backbone has places for {places} pieces")
    _check_feature(network.eye, eye, release, length)
    modules: dict[str, nn.Module] = {"encode": eye, "decide": DecideGraph(network.head)}
    return modules, modules | {"encode": _at(eye, precision)}


def _graph(eye: Kosmos2Backbone, release: Release) -> Kosmos2Graph:
    mean, std = (_colours(release, key, usual) for key, usual in (("image_mean", PIXEL_MEAN), ("image_std", PIXEL_STD)))
    if min(std) <= 0:
        raise ReleaseError(f"the configuration's image_std is {list(std)}: a colour cannot be divided by that")
    if release.settings.get("image_size", SIDE) != SIDE:
        raise ReleaseError(f"image_size is {release.settings['image_size']}: KosMos-2 sees {SIDE}×{SIDE} pixels")
    return Kosmos2Graph(eye, release.cameras, mean, std).eval()


def _colours(release: Release, key: str, usual: tuple[float, float, float]) -> tuple[float, float, float]:
    """Three numbers of the configuration. Raises ReleaseError."""
    given = release.settings.get(key) or usual
    try:
        red, green, blue = (float(value) for value in given)
    except (TypeError, ValueError):
        raise ReleaseError(f"the configuration's {key} is {given!r}: a number for each of red, green, blue") from None
    return red, green, blue


def _tokenizer(backbone: Path, eye: Kosmos2Backbone) -> Path:
    """The tokenizer's file, which must belong to the backbone. Raises ReleaseError."""
    path = backbone / TOKENIZER
    if not path.is_file():
        raise ReleaseError(f"{path} is not there. {_COPY}")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises nothing more exact
        raise ReleaseError(f"{path} is no tokenizer ({error}). {_COPY}") from None
    config = eye.backbone.config.text_config
    count = tokenizer.get_vocab_size()
    if count > config.vocab_size:
        raise ReleaseError(
            f"{path} has {count} pieces, the checkpoint has rows for {config.vocab_size}: another tokenizer. {_COPY}"
        )
    for name, number in ((text.START, config.bos_token_id), (text.END, config.eos_token_id)):
        if tokenizer.token_to_id(name) != number:
            raise ReleaseError(
                f"{path}: {name} is piece {tokenizer.token_to_id(name)}, the backbone's is {number}: another tokenizer. {_COPY}"
            )
    if tokenizer.token_to_id("<grounding>") is None:
        raise ReleaseError(
            f"{path} does not know <grounding>: save the tokenizer after building transformers' Kosmos2Processor, which adds it"
        )
    return path


@torch.inference_mode()
def _check_feature(eye: Kosmos2Backbone, graph: Kosmos2Graph, release: Release, length: int) -> None:
    """The static graph gives the network's own feature, whatever the tail's length. Raises VerificationError."""
    random = torch.Generator().manual_seed(0)
    images = [
        torch.randint(0, 256, (1, SIDE, SIDE, 3), dtype=torch.uint8, generator=random) for _ in range(release.cameras)
    ]
    words = torch.randint(5, min(300, eye.backbone.config.text_config.vocab_size), (6,), generator=random)
    first = torch.tensor([eye.backbone.config.text_config.bos_token_id])
    pixels = [(image.permute(0, 3, 1, 2) - graph.mean) * graph.scale for image in images]
    wanted = eye(pixels, torch.cat([first, words])[None])
    for size in (length, length + 7):
        rows, end = tail(eye, words, release.cameras, size)
        error = float((graph(*images, rows, end) - wanted).abs().max() / wanted.abs().max())
        if not error <= AGREEMENT:
            raise VerificationError(f"the static graph's feature is off by {error:.1e} with a tail of {size}")


def _write_words(eye: Kosmos2Backbone, tokenizer: Path, release: Release, facts: ReleaseFacts, folder: Path) -> Words:
    rows, model = folder / "text.safetensors", eye.backbone.text_model.model
    shutil.copyfile(tokenizer, folder / TOKENIZER)
    places = positions(eye, 1 + release.cameras * eye.queries, facts.text_length)
    text.save_rows(
        rows,
        {
            text.EMBEDDING: model.embed_tokens.weight.detach().numpy(),
            text.POSITIONS: places.detach().numpy(),
            text.ACTION: eye.action_token.detach().numpy(),
            text.SCALE: np.array([model.embed_scale], np.float32),
        },
    )
    hashes = {path.name: sha256(path) for path in (folder / TOKENIZER, rows)}
    return Words(kind="tail", prompt=PROMPT, sha256=hashes, length=facts.text_length)


def _write_graphs(
    modules: dict[str, nn.Module], network: Family, facts: ReleaseFacts, folder: Path, precision: Precision
) -> dict[str, Graph]:
    width, memory = network.eye.width, network.head.fresh()
    images = [
        Input(name=c.name, role="image", shape=(1, SIDE, SIDE, 3), dtype="uint8", camera=c.name) for c in facts.cameras
    ]
    encode = (
        *images,
        Input(name="text", role="text", shape=(1, facts.text_length, width)),
        Input(name="text_end", role="text_end", shape=(1,), dtype="int64"),
    )
    decide = (Input(name="feature", role="feature", shape=(1, width)), *(_memory(i, m) for i, m in enumerate(memory)))
    outputs = ("chunk", *(f"memory_{i}_next" for i in range(len(memory))))
    return {
        "encode": write_graph(modules["encode"], encode, ("feature",), folder / "encode.onnx", precision),
        # the head stays in fp32: a fortieth of the weights, and the only part whose errors add up over a window
        "decide": write_graph(modules["decide"], decide, outputs, folder / "decide.onnx"),
    }


def _at(graph: Kosmos2Graph, precision: Precision) -> Kosmos2Graph:
    """A copy of the graph that computes in this precision; in fp32 the graph itself."""
    return graph if precision == "fp32" else graph.in_precision(TYPES[precision])


def _memory(number: int, tensor: Tensor) -> Input:
    whole = tensor.dtype == torch.int64
    return Input(
        name=f"memory_{number}", role="memory", shape=tuple(tensor.shape), dtype="int64" if whole else "float32"
    )


def _manifest(
    release: Release,
    facts: ReleaseFacts,
    graphs: dict[str, Graph],
    words: Words,
    name: str,
    training: dict[str, Any],
) -> Manifest:
    cameras = [
        Camera(
            name=c.name, sensor=c.sensor, roi=c.roi, binning=1, size=(SIDE, SIDE),
            mean=_colours(release, "image_mean", PIXEL_MEAN), std=_colours(release, "image_std", PIXEL_STD),
        )
        for c in facts.cameras
    ]  # fmt: skip
    action = facts.action
    return Manifest(
        name=name,
        graphs=graphs,
        cameras=tuple(cameras),
        robot_state=(),
        words=words,
        history=History(window=release.window, stride_ms=facts.stride_ms),
        action=Action(
            frame=action.frame,
            codec=facts.codec(release),
            sequential=action.sequential,
            label=action.label,
            anchor="measured",
        ),
        chunk=Chunk(length=release.chunk, step_ms=facts.step_ms, execute=facts.execute),
        on_instruction=facts.on_instruction,
        robot=facts.robot,
        training=training,
        verification={},
    )


def _training(release: Release, checkpoint: Path) -> dict[str, Any]:
    """What is known of the training: the checkpoint's hash and the configuration's own words."""
    kept = ("robovlm_name", "model", "seed", "batch_size", "learning_rate", "optimizer", "norm_min", "norm_max")
    known = {key: release.settings[key] for key in kept if key in release.settings}
    return {"checkpoint": checkpoint.name, "checkpoint_sha256": sha256(checkpoint), "head": release.head, **known}
