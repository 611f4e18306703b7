"""Torch as an engine, on the CPU: modules with the inputs of models/demo."""

import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from vla_ros.policy.engines import EngineError  # noqa: E402
from vla_ros.policy.engines.onnx import OnnxEngine  # noqa: E402
from vla_ros.policy.engines.torch_engine import TorchEngine  # noqa: E402
from vla_ros.policy.manifest import Manifest, load_manifest  # noqa: E402

from .engines import DEMO, frames, rehash, rolled  # noqa: E402


class Encode(torch.nn.Module):
    """What each input is tells in the first five numbers of the feature."""

    def forward(self, static, wrist, text, text_mask, robot_state):
        inputs = (static, wrist, text, text_mask, robot_state)
        told = torch.stack([x.to(torch.float32).mean() for x in inputs])
        return torch.nn.functional.pad(told, (0, 251))[None]


class Decide(torch.nn.Module):
    """The chunk is what is remembered and what is seen."""

    def forward(self, memory, valid, feature):
        seen = torch.cat([memory, feature[:, None]], 1)
        chunk = seen.mean(1)[:, :70].reshape(1, 10, 7) + valid.sum()
        return chunk, seen[:, 1:], torch.clamp(valid + 0.25, max=1.0)


MODULES = {"encode": Encode(), "decide": Decide()}


@pytest.fixture
def manifest() -> Manifest:
    return load_manifest(DEMO)


def test_modules_take_the_inputs_in_the_manifests_order(manifest: Manifest) -> None:
    inputs = {t.name: np.zeros(t.shape, t.dtype) for t in reversed(manifest.graphs["encode"].inputs)}
    for number, name in enumerate(["static", "wrist", "text", "text_mask", "robot_state"]):
        inputs[name] += inputs[name].dtype.type(number + 1)
    feature = TorchEngine(MODULES, manifest).run("encode", inputs)["feature"]
    np.testing.assert_array_equal(feature[0, :6], [1, 2, 3, 4, 5, 0])


def test_it_agrees_with_onnx_runtime_over_frames_and_resets(tmp_path: Path) -> None:
    from vla_ros.networks.graphs import write_graph

    folder = Path(shutil.copytree(DEMO, tmp_path / "made"))
    for name, graph in load_manifest(DEMO).graphs.items():
        write_graph(MODULES[name], graph.inputs, graph.outputs, folder / graph.file)
    rehash(folder)
    manifest = load_manifest(folder)
    inputs = frames(manifest, 25)
    chunks = [
        rolled(engine, manifest, inputs) for engine in (TorchEngine(MODULES, manifest), OnnxEngine(folder, manifest))
    ]
    np.testing.assert_allclose(*chunks, rtol=1e-4, atol=1e-5)
    assert np.ptp(chunks[0], axis=0).max() > 1e-3


def test_a_graph_without_a_module(manifest: Manifest) -> None:
    with pytest.raises(EngineError, match="no module for the graph decide"):
        TorchEngine({"encode": Encode()}, manifest)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this torch has CUDA")
def test_cuda_is_never_replaced_by_the_cpu(manifest: Manifest) -> None:
    with pytest.raises(EngineError, match="sees no GPU, and cuda was asked for"):
        TorchEngine(MODULES, manifest, "cuda")
