"""What runs a policy's graphs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from vla_ros.config.schema import PolicyConfig
from vla_ros.policy.manifest import BundleError, Manifest

Tensors = Mapping[str, NDArray[Any]]


class Engine(Protocol):
    """Runs a graph of the bundle by its name in the manifest."""

    def run(self, graph: str, inputs: Tensors) -> dict[str, NDArray[Any]]:
        """The outputs of `graph`, by name, for its inputs by name."""


def open_engine(folder: Path, manifest: Manifest, config: PolicyConfig) -> Engine:
    """The engine that `config` asks for, warmed up. Raises BundleError for one that is not there: nothing is put in its place."""
    if config.engine != "onnxruntime":
        raise BundleError(f"policy.engine: {config.engine} is not available here. Available: onnxruntime.")
    from vla_ros.policy.engines.onnx import OnnxEngine

    return OnnxEngine(folder, manifest, config.device, config.threads)
