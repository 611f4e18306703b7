"""The engines on a GPU: they give what ONNX Runtime gives on the CPU, whatever stays on the device. Skipped where there is none."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from vla_ros.config.schema import PolicyConfig
from vla_ros.policy.engines import Engine, EngineError, open_engine
from vla_ros.policy.engines.cuda import find_gpu
from vla_ros.policy.engines.onnx import OnnxEngine
from vla_ros.policy.engines.tensorrt_library import find_library
from vla_ros.policy.manifest import load_manifest

from .engines import DEMO, frames, rolled

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(find_gpu() is None, reason="no NVIDIA GPU here")]

MANIFEST = load_manifest(DEMO)
FRAMES = frames(MANIFEST, 40)
CONFIGS = [PolicyConfig(engine="tensorrt"), PolicyConfig(engine="onnxruntime", device="cuda")]


@pytest.fixture(params=CONFIGS, ids=lambda config: config.engine)
def engine(request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if request.param.engine == "tensorrt":
        try:
            library = find_library()
        except EngineError as error:
            pytest.skip(str(error))
        gpu = find_gpu()
        if library.ahead and gpu is not None and gpu.target not in library.targets:
            pytest.skip(f"{library.name} is not for {gpu.target}")
    elif "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has no CUDA")
    return open_engine(Path(shutil.copytree(DEMO, tmp_path / "demo")), MANIFEST, request.param)


def test_it_agrees_with_the_cpu_over_frames_and_resets(engine: Engine) -> None:
    wanted = rolled(OnnxEngine(DEMO, MANIFEST), MANIFEST, FRAMES)
    np.testing.assert_allclose(rolled(engine, MANIFEST, FRAMES), wanted, atol=5e-3)  # TF32 may be used


def test_a_tensor_on_the_device_is_a_value(engine: Engine) -> None:
    first = engine.run("encode", FRAMES[0])["feature"]
    before = first.numpy()
    others = [engine.run("encode", frame)["feature"] for frame in FRAMES[1:10]]
    np.testing.assert_array_equal(first.numpy(), before)
    assert all(np.abs(other.numpy() - before).max() > 0 for other in others)


def test_an_input_of_another_shape_is_refused(engine: Engine) -> None:
    with pytest.raises(ValueError, match=r"input robot_state is float32 \(1, 7\), the graph takes float32 \(1, 8\)"):
        engine.run("encode", FRAMES[0] | {"robot_state": np.zeros((1, 7), np.float32)})


def test_torch_with_a_captured_graph_is_torch_without() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this torch has no CUDA")
    from vla_ros.policy.engines.torch_engine import TorchEngine

    from .test_torch_engine import MODULES

    on_cpu = rolled(TorchEngine(MODULES, MANIFEST), MANIFEST, FRAMES)
    for captured in (True, False):
        on_gpu = rolled(TorchEngine(MODULES, MANIFEST, "cuda", captured), MANIFEST, FRAMES)
        np.testing.assert_allclose(on_gpu, on_cpu, atol=1e-4)
