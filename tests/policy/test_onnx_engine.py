"""ONNX Runtime with a graph of one node."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import yaml

from vla_ros.policy.engines.onnx import OnnxEngine
from vla_ros.policy.manifest import BundleError, Manifest, load_manifest

from .engines import DEMO, frames, rehash, rolled
from .fake_bundle import manifest_values

onnx = pytest.importorskip("onnx")


def write_graph(path: Path, inputs: list[dict[str, Any]], outputs: list[str]) -> None:
    """A graph that gives back its last input under every output name."""
    helper, kinds = onnx.helper, {"uint8": onnx.TensorProto.UINT8}
    given = [
        helper.make_tensor_value_info(i["name"], kinds.get(i.get("dtype"), onnx.TensorProto.FLOAT), i["shape"])
        for i in inputs
    ]
    made = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, inputs[-1]["shape"]) for name in outputs]
    nodes = [helper.make_node("Identity", [inputs[-1]["name"]], [name]) for name in outputs]
    model = helper.make_model(
        helper.make_graph(nodes, "test", given, made), opset_imports=[helper.make_opsetid("", 18)], ir_version=9
    )
    onnx.save(model, path)


def with_graphs(bundle: Path) -> dict[str, Any]:
    """The bundle with graphs that load, and the values of its manifest."""
    values = manifest_values(bundle)
    for graph in values["graphs"].values():
        write_graph(bundle / graph["file"], graph["inputs"], graph["outputs"])
    values = manifest_values(bundle)
    (bundle / "manifest.yaml").write_text(yaml.safe_dump(values))
    return values


def test_outputs_come_by_name(bundle: Path) -> None:
    manifest = Manifest.model_validate(with_graphs(bundle))
    inputs = {t.name: np.zeros(t.shape, t.dtype) for t in manifest.graphs["encode"].inputs}
    inputs["robot_state"] = np.arange(8, dtype=np.float32)[None]
    outputs = OnnxEngine(bundle, manifest).run("encode", inputs)
    assert list(outputs) == ["feature"]
    np.testing.assert_array_equal(outputs["feature"], inputs["robot_state"])


def test_a_graph_with_other_inputs_than_the_manifest_says(bundle: Path) -> None:
    values = with_graphs(bundle)
    values["graphs"]["decide"]["inputs"][2]["shape"] = [1, 99]
    with pytest.raises(BundleError, match=r"graphs\.decide\.inputs: .*99"):
        OnnxEngine(bundle, Manifest.model_validate(values))


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this ONNX Runtime has CUDA"
)
def test_cuda_is_never_replaced_by_the_cpu(bundle: Path) -> None:
    manifest = Manifest.model_validate(with_graphs(bundle))
    with pytest.raises(BundleError, match=r"policy\.device: cuda needs CUDAExecutionProvider.*onnxruntime-gpu"):
        OnnxEngine(bundle, manifest, "cuda")


def test_weights_beside_a_graph_are_the_same_policy(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(DEMO, tmp_path / "demo"))
    for name in ("encode", "decide"):
        model = onnx.load(folder / f"{name}.onnx")
        onnx.save(model, folder / f"{name}.onnx", save_as_external_data=True, location=f"{name}.onnx.data")
    rehash(folder, {name: f"{name}.onnx.data" for name in ("encode", "decide")})
    manifest = load_manifest(folder)
    assert (folder / "encode.onnx").stat().st_size < (DEMO / "encode.onnx").stat().st_size / 10
    inputs = frames(manifest, 8)
    engines = OnnxEngine(folder, manifest), OnnxEngine(DEMO, load_manifest(DEMO))
    np.testing.assert_array_equal(*(rolled(engine, manifest, inputs) for engine in engines))
    (folder / "decide.onnx.data").unlink()
    with pytest.raises(BundleError, match=r"decide\.onnx.* does not load"):
        OnnxEngine(folder, manifest)


def test_a_graph_of_eight_bits_is_smaller_and_nearly_the_same(tmp_path: Path) -> None:
    from onnxruntime.quantization import quantize_dynamic

    folder = Path(shutil.copytree(DEMO, tmp_path / "demo"))
    model = onnx.load(folder / "encode.onnx")
    del model.graph.value_info[:]  # shapes that the quantiser would find out by itself, and otherwise
    onnx.save(model, folder / "plain.onnx")
    quantize_dynamic(folder / "plain.onnx", folder / "encode.onnx", op_types_to_quantize=["MatMul", "Gemm"])
    rehash(folder)
    manifest = load_manifest(folder)
    assert (folder / "encode.onnx").stat().st_size < (DEMO / "encode.onnx").stat().st_size
    inputs = frames(manifest, 8)
    exact = rolled(OnnxEngine(DEMO, load_manifest(DEMO)), manifest, inputs)
    difference = np.abs(rolled(OnnxEngine(folder, manifest), manifest, inputs) - exact).max()
    assert 0 < difference < 0.1 * np.abs(exact).max()


def test_bf16_is_for_another_engine(bundle: Path) -> None:
    values = with_graphs(bundle)
    values["graphs"]["encode"]["precision"] = "bf16"
    (bundle / "encode.onnx").write_bytes(b"what ONNX Runtime cannot take")
    with pytest.raises(BundleError, match=r"does not load.*bf16.*policy\.engine: tensorrt.*fp32 or fp16"):
        OnnxEngine(bundle, Manifest.model_validate(values))
