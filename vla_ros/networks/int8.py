"""Int8 graphs by ONNX Runtime's quantisation, in three ways:

    dynamic       matrix products; a scale per output channel of the weights, and one per call for what comes in
    static        matrix products and convolutions; scales of what comes in from recorded observations, what goes out in fp32
    convolutions  convolutions alone; scales of both sides from recorded observations

Activations are unsigned, weights signed and symmetric: the form that x86 (VNNI) and ARM (dot product) have instructions for.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from vla_ros.networks.recorded import Arrays

PRODUCTS = ["MatMul", "Gemm"]
CONVOLUTIONS = ["Conv"]
METHODS = {"dynamic": PRODUCTS, "static": [*PRODUCTS, *CONVOLUTIONS], "convolutions": CONVOLUTIONS}
"""The operators that each way quantises."""


def written(
    graph: Path, large: bool, folder: Path, frames: Sequence[Arrays], methods: Sequence[str] = tuple(METHODS)
) -> dict[str, Path]:
    """Write `graph` in each of the `methods` that has something to do in it, as `folder`/METHOD/NAME: the files by method.

    `frames` are recorded inputs of the graph. `large`: its weights lie in a file of their own, and so will the new ones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch, _quiet():
        prepared = _prepared(graph, large, Path(scratch))
        kinds = {node.op_type for node in onnx.load(prepared, load_external_data=False).graph.node}
        methods = [m for m in methods if kinds & set(METHODS[m]) and not _same(m, kinds)]
        return {method: _write(prepared, large, folder / method / graph.name, method, frames) for method in methods}


def _same(method: str, kinds: set[str]) -> bool:
    """Whether the way is another one's in a graph of these operators: static without products, but with rougher convolutions."""
    return method == "static" and not kinds & set(PRODUCTS)


def _prepared(graph: Path, large: bool, scratch: Path) -> Path:
    """The graph with its constants folded and its shapes inferred, as the quantisation wants it."""
    model = onnx.load(graph)
    del model.graph.value_info[:]  # the exporter's shapes contradict those that the next step infers
    _unshare(model)
    plain, prepared = scratch / "plain.onnx", scratch / "prepared.onnx"
    onnx.save(model, plain, save_as_external_data=large, location="plain.onnx.data")
    quant_pre_process(
        str(plain),
        str(prepared),
        skip_symbolic_shape=True,  # shapes are static
        save_as_external_data=large,
        all_tensors_to_one_file=large,
        external_data_location="prepared.onnx.data" if large else None,
    )
    return prepared


def _unshare(model: onnx.ModelProto) -> None:
    """Make plain products of those Gemm whose weight others use too.

    The quantiser transposes the weight of a Gemm in place, once for each: of two that share it, as the steps of an LSTM do, every
    second one would compute with the transpose of its weight.
    """
    weights = {weight.name: weight for weight in model.graph.initializer}
    uses = Counter(name for node in model.graph.node for name in node.input)
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        shared = node.op_type == "Gemm" and node.input[1] in weights and uses[node.input[1]] > 1
        nodes += _product(node, weights, model) if shared and _plain(node) else [node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    for name, weight in weights.items():
        if name not in used:
            model.graph.initializer.remove(weight)


def _product(node: onnx.NodeProto, weights: dict[str, Any], model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """A Gemm as product and sum; the transposed weight is made once."""
    name = node.input[1]
    if _attribute(node, "transB", 0):
        name = f"{node.input[1]}_transposed"
        if name not in weights:
            values = onnx.numpy_helper.to_array(weights[node.input[1]]).T
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.ascontiguousarray(values), name))
            weights[name] = model.graph.initializer[-1]
    if len(node.input) < 3:
        return [onnx.helper.make_node("MatMul", [node.input[0], name], node.output, f"{node.name}_product")]
    between = f"{node.output[0]}_product"
    product = onnx.helper.make_node("MatMul", [node.input[0], name], [between], f"{node.name}_product")
    return [product, onnx.helper.make_node("Add", [between, node.input[2]], node.output, f"{node.name}_sum")]


def _plain(node: onnx.NodeProto) -> bool:
    return (_attribute(node, "alpha", 1), _attribute(node, "beta", 1), _attribute(node, "transA", 0)) == (1, 1, 0)


def _attribute(node: onnx.NodeProto, name: str, default: float) -> float:
    found = (onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == name)
    return float(next(found, default))


def _write(prepared: Path, large: bool, path: Path, method: str, frames: Sequence[Arrays]) -> Path:
    path.parent.mkdir()
    settings: dict[str, Any] = {
        "op_types_to_quantize": METHODS[method],
        "per_channel": True,
        "weight_type": QuantType.QInt8,
        "use_external_data_format": large,
    }
    # attention's products of two activations stay in fp32; a type that the inference does not know is that of the graph
    options: dict[str, Any] = {"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT}
    if method == "dynamic":
        quantize_dynamic(prepared, path, extra_options=options, **settings)
        return path
    if (
        method == "static"
    ):  # rounding what goes out as well cost a hundred times the error in a transformer, and no time
        options["OpTypesToExcludeOutputQuantization"] = PRODUCTS
    quantize_static(
        prepared, path, _Frames(frames), activation_type=QuantType.QUInt8, extra_options=options, **settings
    )
    return path


class _Frames(CalibrationDataReader):
    """Recorded inputs, one after the other."""

    def __init__(self, frames: Sequence[Arrays]) -> None:
        self._next = iter(frames)

    def get_next(self) -> Arrays | None:
        """The next ones; None behind the last."""
        return next(self._next, None)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the quantiser's advice to do what has been done."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
