"""What this machine can do at most, measured on the spot: large matrix products, and copies of what no cache holds."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import torch

from vla_ros.networks.cost import Ceiling
from vla_ros.networks.speed.timing import Stopwatch, by_clock

SIDE, LARGE_SIDE = 1024, 8192
"""Of the matrices, on a CPU and on a GPU."""
BYTES, LARGE_BYTES = 1 << 28, 1 << 30
"""Of what is copied."""
TRIES = 25
_CACHE = 32 << 20
"""Bytes that are taken to be the last cache's where the operating system does not say."""


def cpu_ceilings(threads: int, stopwatch: Stopwatch | None = None) -> dict[str, Ceiling]:
    """By precision, fp32 and int8, on that many threads; the best of several tries."""
    stopwatch = stopwatch or by_clock()
    torch.set_num_threads(threads)
    bandwidth = 2 * BYTES / _best(_copy("cpu", BYTES), stopwatch)
    operations = 2.0 * SIDE**3
    fp32 = min(_best(_product("cpu", SIDE, torch.float32), stopwatch), _best(_onnx(threads, False), stopwatch))
    int8 = _best(_onnx(threads, True), stopwatch)
    return {"fp32": Ceiling(operations / fp32, bandwidth), "int8": Ceiling(operations / int8, bandwidth)}


def cuda_ceiling(kind: torch.dtype, stopwatch: Stopwatch) -> Ceiling:
    """Of the current GPU for products in this type."""
    rate = 2.0 * LARGE_SIDE**3 / _best(_product("cuda", LARGE_SIDE, kind), stopwatch)
    return Ceiling(rate, 2 * LARGE_BYTES / _best(_copy("cuda", LARGE_BYTES), stopwatch))


def cache() -> int:
    """Bytes of the last cache: weights that fit into it need not come from memory at every step."""
    try:
        found = os.sysconf("SC_LEVEL3_CACHE_SIZE")
    except (ValueError, OSError):
        found = 0
    return found if found > 0 else _CACHE


def _best(call: Callable[[], object], stopwatch: Stopwatch) -> float:
    """Seconds."""
    call()
    return min(stopwatch(call) for _ in range(TRIES)) / 1e3


def _copy(device: str, count: int) -> Callable[[], object]:
    source = torch.ones(count, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    return lambda: target.copy_(source)


def _product(device: str, side: int, kind: torch.dtype) -> Callable[[], object]:
    a, b = (torch.randn(side, side, device=device).to(kind) for _ in range(2))
    return lambda: torch.mm(a, b)


def _onnx(threads: int, whole: bool) -> Callable[[], object]:
    """A product by ONNX Runtime: in fp32, or of unsigned and signed bytes."""
    random = np.random.default_rng(0)
    b = random.integers(-127, 128, (SIDE, SIDE)).astype(np.int8 if whole else np.float32)
    a = random.integers(0, 256, (SIDE, SIDE)).astype(np.uint8 if whole else np.float32)
    kinds = [onnx.helper.np_dtype_to_tensor_dtype(x.dtype) for x in (a, b)]
    result = onnx.TensorProto.INT32 if whole else onnx.TensorProto.FLOAT
    node = onnx.helper.make_node("MatMulInteger" if whole else "MatMul", ["a", "b"], ["y"])
    info, shape = onnx.helper.make_tensor_value_info, (SIDE, SIDE)
    graph = onnx.helper.make_graph(
        [node],
        "product",
        [info("a", kinds[0], shape)],
        [info("y", result, shape)],
        [onnx.numpy_helper.from_array(b, "b")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"a": a})
