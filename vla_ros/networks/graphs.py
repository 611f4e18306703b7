"""Graph files: from a torch module to ONNX, with the names and types that the manifest promises."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vla_ros.policy.manifest import Graph, sha256
from vla_ros.policy.manifest import Tensor as Input

OPSET = 18
LARGE = 1_800_000_000
"""Bytes of weights from which they lie in a file of their own: a protobuf message ends at 2 GiB."""
Precision: TypeAlias = Literal["fp32", "fp16", "bf16"]
TYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def write_graph(
    module: nn.Module,
    inputs: tuple[Input, ...],
    outputs: Sequence[str],
    path: Path,
    precision: Precision = "fp32",
    opset: int = OPSET,
) -> Graph:
    """Export `module` to `path`, and what the manifest says of it."""
    examples = tuple(torch.from_numpy(example(i)) for i in inputs)
    # torchvision is named once per graph, and not needed
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            module.eval(),
            examples,
            input_names=[i.name for i in inputs],
            output_names=list(outputs),
            opset_version=opset,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    large = _bytes(module) > LARGE
    program.save(path, external_data=large)
    data = path.with_name(f"{path.name}.data")
    hashes = {data.name: sha256(data)} if large else {}
    return Graph(
        file=path.name,
        sha256=sha256(path),
        data=hashes,
        precision=precision,
        inputs=inputs,
        outputs=tuple(outputs),
    )


def example(tensor: Input) -> NDArray[Any]:
    """Zeros, as an input."""
    values: NDArray[Any] = np.zeros(tensor.shape, tensor.dtype)
    return values


def _bytes(module: nn.Module) -> int:
    return sum(x.numel() * x.element_size() for x in [*module.parameters(), *module.buffers()])
