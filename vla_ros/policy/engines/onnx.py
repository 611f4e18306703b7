"""ONNX Runtime, on the CPU or with CUDA."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from vla_ros.clock import MonotonicClock
from vla_ros.policy.engines.engine import EngineError, Tensors, resident
from vla_ros.policy.engines.warm_up import warm_up
from vla_ros.policy.manifest import BundleError, Graph, Manifest

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_WARM_UP = 3

Run = Callable[[Tensors], dict[str, Any]]


class OnnxEngine:
    """One session per graph. `threads` are used inside an operator; operators run one after the other.

    On the CPU, arrays in and out. With CUDA, buffers that were made once, and memory that stays on the GPU.
    """

    def __init__(self, folder: Path, manifest: Manifest, device: str = "cpu", threads: int = 1) -> None:
        _check_provider(device)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors; it warns of every constant in fp16 that it does not fold
        # a waiting worker that spins takes a core from the servo
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._runs: dict[str, Run] = {}
        for name, graph in manifest.graphs.items():
            session = _open(folder / graph.file, options, device, graph)
            _check_inputs(name, session, graph)
            self._runs[name] = _on_cpu(session) if device == "cpu" else _on_gpu(session, resident(manifest, name))
            self._warm_up(name, graph, device)

    def run(self, graph: str, inputs: Tensors) -> dict[str, Any]:
        """The outputs of `graph`, by name, for its inputs by name."""
        return self._runs[graph](inputs)

    def _warm_up(self, name: str, graph: Graph, device: str) -> None:
        zeros = {t.name: np.zeros(t.shape, t.dtype) for t in graph.inputs}
        if device == "cuda":
            warm_up(lambda: self.run(name, zeros), MonotonicClock())
            return
        for _ in range(_WARM_UP):
            self.run(name, zeros)


def _on_cpu(session: Any) -> Run:
    names = [output.name for output in session.get_outputs()]

    def run(inputs: Tensors) -> dict[str, Any]:
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))

    return run


def _on_gpu(session: Any, stay: frozenset[str]) -> Run:
    from vla_ros.policy.engines.onnx_binding import Bound

    return Bound(session, stay).run


def _check_provider(device: str) -> None:
    provider = _PROVIDERS[device]
    if device == "cuda" and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # CUDA's libraries where pip put them
    available = onnxruntime.get_available_providers()
    if provider not in available:
        raise EngineError(
            f"policy.device: {device} needs {provider}, this ONNX Runtime has {', '.join(available)}. "
            "Install onnxruntime-gpu (`pip install .[gpu]`) or set policy.device: cpu."
        )


def _open(path: Path, options: Any, device: str, graph: Graph) -> Any:
    provider = _PROVIDERS[device]
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=[(provider, _settings(device))])
    except EngineError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        raise BundleError(f"{path} does not load: {error}. {_remedy(graph)}") from error
    if session.get_providers()[0] != provider:
        raise EngineError(
            f"policy.device: {provider} did not start for {path}; see ONNX Runtime's log, or set policy.device: cpu."
        )
    return session


def _settings(device: str) -> dict[str, str]:
    if device == "cpu":
        return {}
    from vla_ros.policy.engines.cuda import open_gpu

    return {"device_id": "0", "user_compute_stream": str(open_gpu().stream)}


def _remedy(graph: Graph) -> str:
    if graph.precision == "bf16":
        return "It computes in bf16, which is for policy.engine: tensorrt; set that, or import the policy again in fp32 or fp16."
    return "Export the policy again."


def _check_inputs(name: str, session: Any, graph: Graph) -> None:
    given = {i.name: tuple(i.shape) for i in session.get_inputs()}
    wanted = {tensor.name: tensor.shape for tensor in graph.inputs}
    if given != wanted:
        raise BundleError(
            f"graphs.{name}.inputs: the manifest says {wanted}, the graph takes {given}. Export the policy again."
        )
