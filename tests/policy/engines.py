"""What the tests of several engines need: bundles, and how a bundle is run over frames."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from vla_ros.policy.engines import Engine
from vla_ros.policy.manifest import MANIFEST, Graph, Manifest, Tensor, sha256

DEMO = Path(__file__).resolve().parents[2] / "models/demo"
KINDS = {"float32": 1, "uint8": 2, "int64": 7, "float16": 10}  # onnx.TensorProto's numbers


def save_graph(
    path: Path, nodes: list[Any], graph: Graph, opset: int = 18, constants: list[Any] | None = None
) -> Graph:
    """Write ONNX nodes as a file with the graph's inputs; its outputs are float32 and shaped by the nodes."""
    import onnx

    helper = onnx.helper
    given = [helper.make_tensor_value_info(t.name, KINDS[t.dtype], t.shape) for t in graph.inputs]
    made = [helper.make_empty_tensor_value_info(name) for name in graph.outputs]
    body = helper.make_graph(nodes, "test", given, made, constants or [])
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    onnx.save(onnx.shape_inference.infer_shapes(model, strict_mode=True), path)
    return graph.model_copy(update={"file": path.name, "sha256": sha256(path)})


def graph_of(inputs: Mapping[str, tuple[int, ...]], outputs: tuple[str, ...], dtype: str = "float32") -> Graph:
    """The manifest's word on a graph, for `save_graph`."""
    tensors = tuple(Tensor(name=n, role="memory", shape=s, dtype=dtype) for n, s in inputs.items())
    return Graph(file="graph.onnx", sha256="0" * 64, inputs=tensors, outputs=outputs)


def rehash(folder: Path, data: Mapping[str, str] | None = None) -> None:
    """Write the graphs' hashes as they are now into the manifest; `data` names what lies beside a graph."""
    values = yaml.safe_load((folder / MANIFEST).read_text())
    for name, graph in values["graphs"].items():
        graph["sha256"] = sha256(folder / graph["file"])
        if data and name in data:
            graph["data"] = {data[name]: sha256(folder / data[name])}
    (folder / MANIFEST).write_text(yaml.safe_dump(values, sort_keys=False))


def frames(manifest: Manifest, count: int) -> list[dict[str, Any]]:
    """Random inputs of `encode`, always the same ones."""
    random = np.random.default_rng(0)
    return [{t.name: _drawn(t, random) for t in manifest.graphs["encode"].inputs} for _ in range(count)]


def rolled(engine: Engine, manifest: Manifest, inputs: list[dict[str, Any]], reset: int = 20) -> np.ndarray:
    """The chunks of frames one after the other, memory and all; every third one is decided twice, as for a missed frame."""
    chunks, kept = [], None
    for number, frame in enumerate(inputs):
        if number % reset == 0:
            memory = {
                t.name: np.zeros(t.shape, t.dtype) for t in manifest.graphs["decide"].inputs if t.role == "memory"
            }
        features = engine.run("encode", frame)
        for seen in (
            [kept, features] if kept and number % 3 == 0 else [features]
        ):  # the old feature is still what it was
            outputs = engine.run("decide", memory | seen)
            memory = {name: outputs[f"{name}_next"] for name in memory}
        kept = features
        chunks.append(outputs["chunk"][0])
    return np.stack(chunks)


def _drawn(tensor: Tensor, random: np.random.Generator) -> np.ndarray:
    if tensor.role == "image":
        return random.integers(0, 256, tensor.shape, np.uint8)
    if tensor.role == "text_end":
        return np.array([4], np.int64)
    return random.normal(size=tensor.shape).astype(tensor.dtype)
