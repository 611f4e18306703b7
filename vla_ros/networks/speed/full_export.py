"""The published size exported once, in bf16, where it cannot be run: how large the graph is and how much memory that takes."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from pathlib import Path

import torch

from vla_ros.clock import SECOND, Clock, MonotonicClock
from vla_ros.networks.backbones.kosmos2 import SIDE
from vla_ros.networks.backbones.kosmos2_graph import Kosmos2Graph
from vla_ros.networks.graphs import write_graph
from vla_ros.networks.speed.models import CAMERAS, TAIL, random_family
from vla_ros.policy.manifest import Graph, Tensor


@dataclass(frozen=True)
class Exported:
    """What an export took: bytes on the disk, seconds, and the most memory that this process has had (bytes)."""

    graph: Graph
    bytes: int
    seconds: float
    peak: int


def export_encoder(size: str, folder: Path, clock: Clock | None = None) -> Exported:
    """Write `encode.onnx` of random weights in bf16, with its weights beside it where they are large, into `folder`.

    Weights are made in bf16 and never exist in fp32, so that a machine with a few times the graph's size is enough.
    """
    clock = clock or MonotonicClock()
    began = clock.now()
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        network = random_family(size, 1)
    finally:
        torch.set_default_dtype(before)
    graph = Kosmos2Graph(network.eye, CAMERAS).eval()
    for name in ("first", "places", "mean", "scale"):
        setattr(graph, name, getattr(graph, name).float())
    graph.to_precision(torch.bfloat16)
    folder.mkdir(parents=True, exist_ok=True)
    written = write_graph(graph, inputs(network.eye.width), ("feature",), folder / "encode.onnx", "bf16")
    on_disk = sum((folder / name).stat().st_size for name in (written.file, *written.data))
    return Exported(written, on_disk, (clock.now() - began) / SECOND, peak_memory())


def inputs(width: int) -> tuple[Tensor, ...]:
    """Inputs of `encode` for that width of a token."""
    shape = (1, SIDE, SIDE, 3)
    images = (
        Tensor(name=f"camera_{k}", role="image", shape=shape, dtype="uint8", camera=f"{k}") for k in range(CAMERAS)
    )
    text = Tensor(name="text", role="text", shape=(1, TAIL, width))
    return (*images, text, Tensor(name="text_end", role="text_end", shape=(1,), dtype="int64"))


def peak_memory() -> int:
    """The most memory that this process has had at a time, bytes (man 2 getrusage: KiB on Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
