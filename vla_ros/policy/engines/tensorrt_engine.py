"""TensorRT on the GPU: static buffers, pinned host memory, a stream of its own, one CUDA graph per graph of the policy.

Inputs go up from pinned memory, the work is launched as one captured CUDA graph, the chunk comes down; memory stays on the GPU
(vla_ros.policy.engines.buffers). TensorRT-RTX captures by itself, and what it compiles on the device is kept in a runtime cache.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np

from vla_ros.clock import Clock, MonotonicClock
from vla_ros.policy.engines import cache
from vla_ros.policy.engines.buffers import Buffers, Port
from vla_ros.policy.engines.cuda import Gpu, open_gpu
from vla_ros.policy.engines.engine import Engine, EngineError, Tensors, resident
from vla_ros.policy.engines.tensorrt_bundle import bundle_engines
from vla_ros.policy.engines.tensorrt_library import Library, find_library, make_log
from vla_ros.policy.engines.warm_up import warm_up
from vla_ros.policy.manifest import Graph, Manifest

SURFACE = {
    "Runtime": ("deserialize_cuda_engine",),
    "ICudaEngine": (
        "num_io_tensors",
        "get_tensor_name",
        "get_tensor_shape",
        "get_tensor_dtype",
        "get_tensor_mode",
        "create_execution_context",
    ),
    "IExecutionContext": ("set_tensor_address", "execute_async_v3"),
    "TensorIOMode": ("INPUT", "OUTPUT"),
}
"""What of TensorRT 10, 11 and RTX runs an engine, by class."""
AHEAD_SURFACE = {
    "Runtime": ("get_engine_validity",),
    "EngineValidity": ("INVALID",),
    "ICudaEngine": ("create_runtime_config",),
    "IRuntimeConfig": ("cuda_graph_strategy", "create_runtime_cache", "set_runtime_cache"),
    "IRuntimeCache": ("serialize", "deserialize"),
    "CudaGraphStrategy": ("WHOLE_GRAPH_CAPTURE",),
}
"""What of RTX does so beside that."""
log = logging.getLogger(__name__)


def open_tensorrt(folder: Path, manifest: Manifest) -> Engine:
    """The bundle's engines on this machine's GPU, built where the cache has none. Raises EngineError where there is no GPU."""
    gpu, library = open_gpu(), find_library()
    plans = {engine.graph: engine.path for engine in bundle_engines(folder, manifest, library)}
    return TensorRtEngine(plans, manifest, library, gpu, MonotonicClock())


class TensorRtEngine:
    """Engines of a bundle's graphs, by name, warmed up. To be used by the thread that opened it. Raises EngineError."""

    def __init__(self, plans: dict[str, Path], manifest: Manifest, library: Library, gpu: Gpu, clock: Clock) -> None:
        self._programs = {
            name: _Program(library, gpu, plans[name], graph, resident(manifest, name))
            for name, graph in manifest.graphs.items()
        }
        for name, graph in manifest.graphs.items():
            zeros = {t.name: np.zeros(t.shape, t.dtype) for t in graph.inputs}
            program = self._programs[name]
            runs = warm_up(lambda p=program, z=zeros: p.run(z), clock)  # type: ignore[misc]
            log.info("%s.%s is warm after %d runs", manifest.name, name, runs)
            program.save()

    def run(self, graph: str, inputs: Tensors) -> dict[str, Any]:
        """The outputs of `graph`, by name: arrays, and tensors on the GPU of what only another run wants."""
        return self._programs[graph].run(inputs)


class _Program:
    """One engine, ready to run."""

    def __init__(self, library: Library, gpu: Gpu, path: Path, graph: Graph, stay: frozenset[str]) -> None:
        trt, self._gpu, self._path, self._log = library.module, gpu, path, make_log(library.module)
        self._runtime = trt.Runtime(self._log)
        self._engine = self._load(library, path)
        inputs, outputs = self._ports(trt)
        _check(path, graph, inputs, outputs)
        self._jit: Any = None
        self._context = self._ahead_context(trt) if library.ahead else self._engine.create_execution_context()
        if self._context is None:
            raise self._error("has no context here")
        self._buffers = Buffers(gpu, inputs, outputs, stay)
        for name, pointer in self._buffers.pointers.items():
            self._context.set_tensor_address(name, pointer)
        self._enqueue()  # what TensorRT does once must not be captured
        gpu.wait()
        self._recording = None if library.ahead else gpu.record(self._enqueue)

    def run(self, inputs: Tensors) -> dict[str, Any]:
        """The outputs for these inputs."""
        self._buffers.put(inputs)
        if self._recording is None:
            self._enqueue()
        else:
            self._gpu.launch(self._recording)
        return self._buffers.take()

    def save(self) -> None:
        """Keep what was compiled on the device for the next start."""
        if self._jit is not None:
            cache.write_whole(self._jit_file, memoryview(self._jit.serialize()))

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(self._gpu.stream):
            raise self._error("did not run")

    def _load(self, library: Library, path: Path) -> Any:
        plan = cache.read(path)
        if library.ahead:
            validity, why = self._runtime.get_engine_validity(plan)
            if validity == library.module.EngineValidity.INVALID:
                raise self._error(f"is not for {self._gpu.name} ({self._gpu.target}): {why}")
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise self._error("does not load")
        return engine

    def _ahead_context(self, trt: Any) -> Any:
        config = self._engine.create_runtime_config()
        config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        self._jit = config.create_runtime_cache()
        if self._jit_file.is_file():
            self._jit.deserialize(self._jit_file.read_bytes())
        config.set_runtime_cache(self._jit)
        return self._engine.create_execution_context(config)

    @property
    def _jit_file(self) -> Path:
        """In the user's cache, since a bundle's folder need not be writable; the device's code belongs to GPU and driver."""
        machine = re.sub(r"\W+", "-", f"{self._gpu.name} {self._gpu.driver}")
        return cache.cache_folder() / f"{self._path.stem}-{machine}.jit"

    def _ports(self, trt: Any) -> tuple[list[Port], list[Port]]:
        engine = self._engine
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        ports = [
            Port(n, tuple(engine.get_tensor_shape(n)), np.dtype(trt.nptype(engine.get_tensor_dtype(n)))) for n in names
        ]
        takes = {n for n in names if engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT}
        return [p for p in ports if p.name in takes], [p for p in ports if p.name not in takes]

    def _error(self, what: str) -> EngineError:
        said = f" TensorRT says: {self._log.errors[-1]}." if self._log.errors else ""
        return EngineError(f"the engine {self._path} {what}.{said} Delete it: it is built again at the next start.")


def _check(path: Path, graph: Graph, inputs: list[Port], outputs: list[Port]) -> None:
    given = {(p.name, p.shape, p.dtype.name) for p in inputs}
    wanted = {(t.name, t.shape, t.dtype) for t in graph.inputs}
    if given != wanted or {p.name for p in outputs} != set(graph.outputs):
        raise EngineError(f"the engine {path} takes {sorted(given)}, the manifest says {sorted(wanted)}: delete it.")
