"""An ONNX Runtime session on the GPU, bound once to buffers that never move (ONNX Runtime, "I/O Binding")."""

from __future__ import annotations

from typing import Any

import numpy as np

from vla_ros.policy.engines.buffers import Buffers, Port
from vla_ros.policy.engines.cuda import open_gpu
from vla_ros.policy.engines.engine import Tensors

_TYPES = {"float": np.float32, "float16": np.float16, "double": np.float64, "bool": np.bool_}
DEVICE = "cuda"


class Bound:
    """A session, its buffers and their binding. The session must have been made with the GPU's stream as its own."""

    def __init__(self, session: Any, stay: frozenset[str]) -> None:
        self._session = session
        inputs, outputs = ([_port(x) for x in many] for many in (session.get_inputs(), session.get_outputs()))
        self._buffers = Buffers(open_gpu(), inputs, outputs, stay)
        self._binding = session.io_binding()
        pointers = self._buffers.pointers
        for port in inputs:
            self._binding.bind_input(port.name, DEVICE, 0, port.dtype, port.shape, pointers[port.name])
        for port in outputs:
            self._binding.bind_output(port.name, DEVICE, 0, port.dtype, port.shape, pointers[port.name])

    def run(self, inputs: Tensors) -> dict[str, Any]:
        """The outputs: arrays, and tensors on the GPU of those that stay."""
        self._buffers.put(inputs)
        self._session.run_with_iobinding(self._binding)
        return self._buffers.take()


def _port(value: Any) -> Port:
    """Of ONNX Runtime's `tensor(float)`."""
    kind = value.type.removeprefix("tensor(").removesuffix(")")
    return Port(value.name, tuple(value.shape), np.dtype(_TYPES.get(kind, kind)))
