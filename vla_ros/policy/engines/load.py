"""The engine that the configuration names."""

from __future__ import annotations

from pathlib import Path

from vla_ros.config.schema import PolicyConfig
from vla_ros.policy.engines.engine import Engine
from vla_ros.policy.manifest import BundleError, Manifest


def open_engine(folder: Path, manifest: Manifest, config: PolicyConfig) -> Engine:
    """The engine that `config` asks for, warmed up. Raises BundleError for one that is not there: nothing is put in its place."""
    if config.engine != "onnxruntime":
        raise BundleError(f"policy.engine: {config.engine} is not available here. Available: onnxruntime.")
    from vla_ros.policy.engines.onnx import OnnxEngine

    return OnnxEngine(folder, manifest, config.device, config.threads)
