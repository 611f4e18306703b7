"""Buffers of a graph on the GPU: made once, filled before each run and read after it, so that nothing is allocated in between.

What only the next run wants stays on the GPU. It is copied there from the output's buffer into one of its own, and from that into
the input's buffer: half a megabyte is a microsecond, the graph's addresses never change, and whoever holds the tensor holds a value.
"""

from __future__ import annotations

import ctypes
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.policy.engines.cuda import Gpu, Memory
from vla_ros.policy.engines.engine import Tensors

_SPARE = 3
"""Buffers of an output that stays: of this frame, of the last one, and the one that is being written."""


@dataclass(frozen=True)
class Port:
    """An input or output of a graph: name, shape, numpy dtype."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """Bytes; at least one, since an address is wanted of an empty tensor as well."""
        return max(1, int(np.prod(self.shape)) * self.dtype.itemsize)


class GpuTensor:
    """A DeviceTensor: its memory goes back to where it came from when nobody holds it."""

    def __init__(self, gpu: Gpu, port: Port, home: list[Memory]) -> None:
        self._gpu, self.port, self._home = gpu, port, home
        self.memory = home.pop() if home else gpu.allocate(port.size)

    def __del__(self) -> None:
        self._home.append(self.memory)

    def numpy(self) -> NDArray[Any]:
        """A copy on the host."""
        host = _Host(self._gpu, self.port)
        self._gpu.download(self.memory, host.memory)
        self._gpu.wait()
        values: NDArray[Any] = host.array.copy()
        return values


class _Host:
    """Pinned memory as an array."""

    def __init__(self, gpu: Gpu, port: Port) -> None:
        self.memory = gpu.pin(port.size)
        raw: Any = (ctypes.c_uint8 * port.size).from_address(self.memory.pointer)
        self.array: NDArray[Any] = np.ndarray(port.shape, port.dtype, raw)
        self.array[...] = 0


class _Buffer:
    """One port on both sides."""

    def __init__(self, gpu: Gpu, port: Port) -> None:
        self.port, self.host, self.memory = port, _Host(gpu, port), gpu.allocate(port.size)
        gpu.upload(self.host.memory, self.memory)  # zeros: what runs before the first input is sound
        gpu.wait()


class Buffers:
    """The buffers of one graph; `stay` are the outputs that only another run wants."""

    def __init__(self, gpu: Gpu, inputs: Sequence[Port], outputs: Sequence[Port], stay: Collection[str]) -> None:
        self._gpu = gpu
        self._inputs = {port.name: _Buffer(gpu, port) for port in inputs}
        self._outputs = {port.name: _Buffer(gpu, port) for port in outputs}
        self._homes = {p.name: [gpu.allocate(p.size) for _ in range(_SPARE)] for p in outputs if p.name in stay}

    @property
    def pointers(self) -> dict[str, int]:
        """Addresses on the GPU, by name, which never change."""
        return {name: buffer.memory.pointer for name, buffer in (self._inputs | self._outputs).items()}

    @property
    def inputs(self) -> tuple[Port, ...]:
        """In the graph's order."""
        return tuple(buffer.port for buffer in self._inputs.values())

    @property
    def outputs(self) -> tuple[Port, ...]:
        """In the graph's order."""
        return tuple(buffer.port for buffer in self._outputs.values())

    def put(self, inputs: Tensors) -> None:
        """Bring the inputs to the GPU. Raises ValueError for one of another shape or dtype than the graph's."""
        for name, buffer in self._inputs.items():
            value = inputs[name]
            if isinstance(value, GpuTensor):
                _match(buffer.port, value.port.shape, value.port.dtype)
                self._gpu.copy(value.memory, buffer.memory)
            else:
                _match(buffer.port, value.shape, value.dtype)
                np.copyto(buffer.host.array, value)
                self._gpu.upload(buffer.host.memory, buffer.memory)

    def take(self) -> dict[str, Any]:
        """The outputs once the stream is done: arrays, and GpuTensors of those that stay."""
        taken = {name: self._leave(name, buffer) for name, buffer in self._outputs.items()}
        self._gpu.wait()
        return {name: self._outputs[name].host.array.copy() if kept is None else kept for name, kept in taken.items()}

    def _leave(self, name: str, buffer: _Buffer) -> GpuTensor | None:
        if name not in self._homes:
            self._gpu.download(buffer.memory, buffer.host.memory)
            return None
        kept = GpuTensor(self._gpu, buffer.port, self._homes[name])
        self._gpu.copy(buffer.memory, kept.memory)
        return kept


def _match(port: Port, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if (shape, dtype) != (port.shape, port.dtype):
        raise ValueError(f"input {port.name} is {dtype} {shape}, the graph takes {port.dtype} {port.shape}")
