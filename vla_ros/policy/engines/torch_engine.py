"""Torch as an engine, the one that the others are measured against and verified with.

A bundle does not carry its network, so no configuration names this engine: whoever has built the modules hands them in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vla_ros.clock import MonotonicClock
from vla_ros.policy.engines.engine import EngineError, Tensors, resident
from vla_ros.policy.engines.warm_up import warm_up
from vla_ros.policy.manifest import Graph, Manifest

_BEFORE_CAPTURE = 3
"""Runs before a capture: what libraries set up once must not be captured (PyTorch, "CUDA Graphs")."""


class TorchTensor:
    """A DeviceTensor."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def numpy(self) -> NDArray[Any]:
        """A copy on the host."""
        values: NDArray[Any] = self.tensor.cpu().numpy()
        return values


class TorchEngine:
    """`modules` by the name of their graph, which take its inputs in the manifest's order. They are moved to `device`.

    On the CPU they run as they are. On a GPU: static buffers, pinned inputs, and with `cuda_graph` one captured CUDA graph each,
    else eager. Raises EngineError for a graph without a module, and where there is no such device.
    """

    def __init__(
        self, modules: Mapping[str, nn.Module], manifest: Manifest, device: str = "cpu", cuda_graph: bool = True
    ) -> None:
        missing = [name for name in manifest.graphs if name not in modules]
        if missing:
            raise EngineError(f"no module for the graph {missing[0]}: the torch engine needs one for each graph")
        if device != "cpu" and not torch.cuda.is_available():
            raise EngineError(
                f"torch {torch.__version__} sees no GPU, and {device} was asked for. Use a machine with a GPU and a torch for CUDA."
            )
        self._programs: dict[str, _OnCpu | _OnGpu] = {}
        for name, graph in manifest.graphs.items():
            module = modules[name].eval().to(device)
            stay = resident(manifest, name)
            self._programs[name] = (
                _OnCpu(module, graph) if device == "cpu" else _OnGpu(module, graph, stay, device, cuda_graph)
            )

    def run(self, graph: str, inputs: Tensors) -> dict[str, Any]:
        """The outputs of `graph`, by name."""
        outputs: dict[str, Any] = self._programs[graph].run(inputs)
        return outputs


class _OnCpu:
    def __init__(self, module: nn.Module, graph: Graph) -> None:
        self._module, self._graph = module, graph

    def run(self, inputs: Tensors) -> dict[str, Any]:
        with torch.no_grad():
            outputs = _many(self._module(*(torch.from_numpy(inputs[t.name]) for t in self._graph.inputs)))
        return {name: y.numpy() for name, y in zip(self._graph.outputs, outputs, strict=True)}


class _OnGpu:
    def __init__(self, module: nn.Module, graph: Graph, stay: frozenset[str], device: str, cuda_graph: bool) -> None:
        self._module, self._graph, self._stay = module, graph, stay
        zeros = {t.name: np.zeros(t.shape, t.dtype) for t in graph.inputs}
        self._pinned = {name: torch.from_numpy(value).pin_memory() for name, value in zeros.items()}
        self._inputs = {name: value.to(device) for name, value in self._pinned.items()}
        self._stream = torch.cuda.Stream(device)
        self._outputs: tuple[Tensor, ...] = ()
        self._captured: Any = None
        if cuda_graph:
            self._capture()
        warm_up(lambda: self.run(zeros), MonotonicClock())

    def run(self, inputs: Tensors) -> dict[str, Any]:
        with torch.cuda.stream(self._stream), torch.no_grad():
            self._put(inputs)
            if self._captured is None:
                self._compute()
            else:
                self._captured.replay()
            taken = [y.clone() if n in self._stay else y.to("cpu", non_blocking=True) for n, y in self._named()]
        self._stream.synchronize()
        return {
            name: TorchTensor(y) if name in self._stay else y.numpy()
            for (name, _), y in zip(self._named(), taken, strict=True)
        }

    def _capture(self) -> None:
        with torch.cuda.stream(self._stream), torch.no_grad():
            for _ in range(_BEFORE_CAPTURE):
                self._compute()
        self._stream.synchronize()
        captured = torch.cuda.CUDAGraph()
        with torch.cuda.graph(captured, stream=self._stream), torch.no_grad():
            self._compute()
        self._captured = captured

    def _compute(self) -> None:
        self._outputs = _many(self._module(*(self._inputs[t.name] for t in self._graph.inputs)))

    def _named(self) -> list[tuple[str, Tensor]]:
        return list(zip(self._graph.outputs, self._outputs, strict=True))

    def _put(self, inputs: Tensors) -> None:
        for name, buffer in self._inputs.items():
            value = inputs[name]
            if isinstance(value, TorchTensor):
                buffer.copy_(value.tensor)
                continue
            pinned, given = self._pinned[name], torch.from_numpy(value)
            if (given.shape, given.dtype) != (pinned.shape, pinned.dtype):
                raise ValueError(
                    f"input {name} is {given.dtype} {given.shape}, the graph takes {pinned.dtype} {pinned.shape}"
                )
            pinned.copy_(given)
            buffer.copy_(pinned, non_blocking=True)


def _many(outputs: Any) -> tuple[Tensor, ...]:
    return tuple(outputs) if isinstance(outputs, tuple | list) else (outputs,)
