"""ONNX Runtime, on the CPU or with CUDA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from vla_ros.policy.engines.engine import Tensors
from vla_ros.policy.manifest import BundleError, Graph, Manifest

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_WARM_UP = 3


class OnnxEngine:
    """One session per graph. `threads` are used inside an operator; operators run one after the other."""

    def __init__(self, folder: Path, manifest: Manifest, device: str = "cpu", threads: int = 1) -> None:
        provider = _provider(device)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # a waiting worker that spins takes a core from the servo
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._sessions = {
            name: _open(folder / graph.file, options, provider) for name, graph in manifest.graphs.items()
        }
        for name, graph in manifest.graphs.items():
            _check_inputs(name, self._sessions[name], graph)
            for _ in range(_WARM_UP):
                self.run(name, {t.name: np.zeros(t.shape, t.dtype) for t in graph.inputs})

    def run(self, graph: str, inputs: Tensors) -> dict[str, NDArray[Any]]:
        """The outputs of `graph`, by name, for its inputs by name."""
        session = self._sessions[graph]
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def _provider(device: str) -> str:
    provider = _PROVIDERS[device]
    if device == "cuda" and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # CUDA's libraries where pip put them
    available = onnxruntime.get_available_providers()
    if provider not in available:
        raise BundleError(
            f"policy.device: {device} needs {provider}, this ONNX Runtime has {', '.join(available)}. "
            "Install onnxruntime-gpu (`pip install .[gpu]`) or set policy.device: cpu."
        )
    return provider


def _open(path: Path, options: Any, provider: str) -> Any:
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=[provider])
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        raise BundleError(f"{path} does not load: {error}. Export the policy again.") from error
    if session.get_providers()[0] != provider:
        raise BundleError(
            f"policy.device: {provider} did not start for {path}; see ONNX Runtime's log, or set policy.device: cpu."
        )
    return session


def _check_inputs(name: str, session: Any, graph: Graph) -> None:
    given = {i.name: tuple(i.shape) for i in session.get_inputs()}
    wanted = {tensor.name: tensor.shape for tensor in graph.inputs}
    if given != wanted:
        raise BundleError(
            f"graphs.{name}.inputs: the manifest says {wanted}, the graph takes {given}. Export the policy again."
        )
