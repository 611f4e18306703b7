"""Which engine runs: the one that was asked for, or an error that says what is missing."""

import ctypes.util
from pathlib import Path

import pytest

from vla_ros.clock import VirtualClock
from vla_ros.config.schema import PolicyConfig
from vla_ros.policy.engines import EngineError, cuda, open_engine, tensorrt_library
from vla_ros.policy.engines.engine import resident
from vla_ros.policy.engines.tensorrt_library import find_library
from vla_ros.policy.engines.warm_up import BLOCK, RUNS, warm_up
from vla_ros.policy.manifest import load_manifest

from .engines import DEMO

NO_GPU = ctypes.util.find_library("cuda") is None
no_gpu = pytest.mark.skipif(not NO_GPU, reason="this machine has an NVIDIA driver")


@no_gpu
def test_tensorrt_without_a_gpu_says_so() -> None:
    with pytest.raises(EngineError, match=r"no GPU.*libcuda.*policy\.engine: onnxruntime"):
        open_engine(DEMO, load_manifest(DEMO), PolicyConfig(engine="tensorrt"))


def test_torch_is_for_measuring() -> None:
    with pytest.raises(EngineError, match=r"policy\.engine: torch .*does not carry.*Set policy\.engine"):
        open_engine(DEMO, load_manifest(DEMO), PolicyConfig(engine="torch"))


def test_a_driver_that_cannot_be_loaded_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "LIBRARY", "libno_such_driver.so.1")
    with pytest.raises(EngineError, match=r"libno_such_driver.*Use a machine with a GPU"):
        cuda.Gpu()


@pytest.mark.parametrize("name", [None, "tensorrt", "tensorrt_rtx"])
def test_a_library_that_is_not_there_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, name) -> None:
    missing = {"tensorrt": ("no_such_tensorrt",), "tensorrt_rtx": ("no_such_rtx",)}
    monkeypatch.setattr(tensorrt_library, "MODULES", missing)
    with pytest.raises(EngineError, match=r"not installed here.*pip install") as raised:
        find_library(name)
    assert ("tensorrt-rtx-cu13" in str(raised.value)) == (name != "tensorrt")


def test_a_library_that_does_not_load_is_not_taken_for_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "broken_trt.py").write_text("raise ImportError('libnvinfer.so.10: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(tensorrt_library, "MODULES", {"tensorrt": ("broken_trt",), "tensorrt_rtx": ("no_such_rtx",)})
    with pytest.raises(EngineError, match=r"broken_trt is installed but does not load.*libnvinfer"):
        find_library()


def test_features_and_memory_may_stay_on_a_device_and_the_chunk_does_not() -> None:
    manifest = load_manifest(DEMO)
    assert resident(manifest, "encode") == {"feature"}
    assert resident(manifest, "decide") == {"memory_next", "valid_next"}


def test_warm_up_ends_when_the_time_has_settled() -> None:
    clock = VirtualClock()
    times = iter([1000 - min(i, 100) for i in range(RUNS)])
    runs = warm_up(lambda: clock.sleep_until(clock.now() + next(times)), clock)
    assert 2 * BLOCK <= runs < RUNS
    assert runs % BLOCK == 0


def test_warm_up_ends_where_the_time_never_settles() -> None:
    clock = VirtualClock()
    times = iter([1000 * 2 ** (i // BLOCK) for i in range(RUNS)])
    assert warm_up(lambda: clock.sleep_until(clock.now() + next(times)), clock) == RUNS
