"""The engine that the configuration names."""

from __future__ import annotations

from pathlib import Path

from vla_ros.config.schema import PolicyConfig
from vla_ros.policy.engines.engine import Engine, EngineError
from vla_ros.policy.manifest import Manifest


def open_engine(folder: Path, manifest: Manifest, config: PolicyConfig) -> Engine:
    """The engine that `config` asks for, warmed up. Raises BundleError for one that is not there: nothing is put in its place.

    `tensorrt` builds what its cache does not have, which can take minutes.
    """
    if config.engine == "tensorrt":
        from vla_ros.policy.engines.tensorrt_engine import open_tensorrt

        return open_tensorrt(folder, manifest)
    if config.engine == "torch":
        raise EngineError(
            "policy.engine: torch runs the network that a bundle was exported from, which the bundle does not carry: it is there "
            "to measure and to verify others. Set policy.engine: onnxruntime or tensorrt."
        )
    from vla_ros.policy.engines.onnx import OnnxEngine

    return OnnxEngine(folder, manifest, config.device, config.threads)
