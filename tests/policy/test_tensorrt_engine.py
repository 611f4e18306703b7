"""TensorRT engines, really built, ahead of time and without a GPU: TensorRT-RTX needs none."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

rtx = pytest.importorskip("tensorrt_rtx_bindings", reason="tensorrt-rtx is not installed")
onnx = pytest.importorskip("onnx")

from vla_ros.policy.engines import EngineError, cache, tensorrt_bundle, tensorrt_engine  # noqa: E402
from vla_ros.policy.engines.tensorrt_build import build  # noqa: E402
from vla_ros.policy.engines.tensorrt_bundle import bundle_engines, check_precision, check_targets  # noqa: E402
from vla_ros.policy.engines.tensorrt_library import find_library  # noqa: E402
from vla_ros.policy.manifest import Graph, Manifest, load_manifest, sha256  # noqa: E402

from .engines import DEMO, KINDS, graph_of, rehash, save_graph  # noqa: E402

TARGETS = ("sm_80", "sm_86", "sm_89", "sm_120")
LIBRARY = find_library("tensorrt_rtx")
node = onnx.helper.make_node


def built(path: Path, graph: Graph, *targets: str) -> memoryview:
    return build(LIBRARY, path, "test", graph, targets or ("sm_89",))


def small(tmp_path: Path, nodes: list[Any], outputs: tuple[str, ...] = ("y",), dtype: str = "float32", opset: int = 18):
    """A graph of these nodes from x (1, 4)."""
    graph = graph_of({"x": (1, 4)}, outputs, dtype)
    return tmp_path / "graph.onnx", save_graph(tmp_path / "graph.onnx", nodes, graph, opset)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle whose graphs are small enough to be built in no time."""
    folder = Path(shutil.copytree(DEMO, tmp_path / "bundle"))
    for graph in load_manifest(DEMO).graphs.values():
        make_small(folder, graph)
    rehash(folder)
    return folder


def make_small(folder: Path, graph: Graph, factor: float = 1.0) -> None:
    """Every output is the last input times a number; the other inputs are there."""
    scale = onnx.helper.make_tensor("scale", 1, [], [factor])
    nodes = [node("Cast", [t.name], [f"cast_{t.name}"], to=1) for t in graph.inputs]
    nodes += [node("Mul", [f"cast_{graph.inputs[-1].name}", "scale"], [name]) for name in graph.outputs]
    save_graph(folder / graph.file, nodes, graph, constants=[scale])


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The graphs that are built, as they are."""
    seen: list[str] = []

    def count(library: Any, path: Path, name: str, *rest: Any) -> memoryview:
        seen.append(name)
        return build(library, path, name, *rest)

    monkeypatch.setattr(tensorrt_bundle, "build", count)
    return seen


def made(folder: Path, *targets: str, output: Path | None = None) -> list[Any]:
    return list(bundle_engines(folder, load_manifest(folder), LIBRARY, targets or TARGETS, output))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/vla_ros/engines"


def test_the_demo_builds_for_every_target(tmp_path: Path) -> None:
    engines = made(DEMO, output=tmp_path)
    assert [(e.graph, e.built, e.key.targets) for e in engines] == [
        ("encode", True, TARGETS),
        ("decide", True, TARGETS),
    ]
    assert all(len(cache.read(e.path)) > 1_000_000 for e in engines)


def test_pictures_go_straight_into_a_cast(tmp_path: Path) -> None:
    graph = graph_of({"image": (1, 224, 224, 3)}, ("y",), "uint8")
    graph = save_graph(tmp_path / "graph.onnx", [node("Cast", ["image"], ["y"], to=1)], graph)
    assert len(built(tmp_path / "graph.onnx", graph, *TARGETS)) > 0


def test_a_node_that_cannot_be_taken_is_named(tmp_path: Path) -> None:
    nodes = [node("Relu", ["x"], ["r"], name="sound"), node("NonZero", ["r"], ["y"], name="culprit")]
    path, graph = small(tmp_path, nodes)
    with pytest.raises(
        EngineError, match=r"graphs\.test: tensorrt_rtx .*graph\.onnx: node culprit \(NonZero\): \w+.*policy\.engine"
    ):
        built(path, graph)


def test_of_many_such_nodes_three_are_named(tmp_path: Path) -> None:
    nodes = [node("DynamicQuantizeLinear", ["x"], [f"{i}", f"s{i}", f"z{i}"], name=f"n{i}") for i in range(5)]
    path, graph = small(tmp_path, [*nodes, node("Cast", ["0"], ["y"], to=1)])
    with pytest.raises(EngineError, match=r"node n0 \(Dynamic.*node n2 .* and 2 nodes more") as raised:
        built(path, graph)
    assert "n3" not in str(raised.value)


def test_a_file_that_is_no_graph(tmp_path: Path) -> None:
    path, graph = small(tmp_path, [node("Relu", ["x"], ["y"])])
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(EngineError, match=r"cannot take graph\.onnx: \w+"):
        built(path, graph)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"inputs": graph_of({"x": (1, 5)}, ("y",)).inputs}, r"graphs\.test\.inputs: .*\(1, 5\).*\(1, 4\)"),
        ({"inputs": graph_of({"x": (1, 4)}, ("y",), "float16").inputs}, r"inputs: .*HALF.*FLOAT"),
        ({"inputs": graph_of({"z": (1, 4)}, ("y",)).inputs}, "inputs: .*'z'.*'x'"),
        ({"outputs": ("other",)}, r"graphs\.test\.outputs: .*other.*'y'"),
    ],
)
def test_a_graph_that_is_not_the_manifests(tmp_path: Path, changed: dict[str, Any], told: str) -> None:
    path, graph = small(tmp_path, [node("Relu", ["x"], ["y"])])
    with pytest.raises(EngineError, match=told):
        built(path, graph.model_copy(update=changed))


def eight_bits(tmp_path: Path) -> tuple[Path, Graph]:
    """A graph in float8 e4m3."""
    scale, zero = onnx.helper.make_tensor("s", 1, [], [0.1]), onnx.helper.make_tensor("z", 17, [], [0.0])
    nodes = [node("QuantizeLinear", ["x", "s", "z"], ["q"]), node("DequantizeLinear", ["q", "s", "z"], ["y"])]
    graph = graph_of({"x": (1, 4)}, ("y",))
    return tmp_path / "graph.onnx", save_graph(tmp_path / "graph.onnx", nodes, graph, 19, [scale, zero])


def test_fp8_begins_with_sm_89(tmp_path: Path) -> None:
    path, graph = eight_bits(tmp_path)
    assert len(built(path, graph, "sm_89", "sm_120")) > 0
    with pytest.raises(EngineError, match=r"computes in fp8, which sm_80, sm_86 cannot: it begins with sm_89"):
        built(path, graph, *TARGETS)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_attention_as_one_operator_builds_in_full_and_in_half_precision(tmp_path: Path, dtype: str) -> None:
    graph = graph_of(dict.fromkeys("qkv", (1, 2, 16, 32)), ("y",), dtype)
    path = tmp_path / "graph.onnx"
    attention = node("Attention", ["q", "k", "v"], ["a"])
    graph = save_graph(path, [attention, node("Cast", ["a"], ["y"], to=KINDS["float32"])], graph, 23)
    assert len(built(path, graph)) > 0


def test_weights_beside_the_graph(tmp_path: Path) -> None:
    path, graph = small(tmp_path, [node("Relu", ["x"], ["y"])])
    weights = onnx.numpy_helper.from_array(np.ones((4, 64), np.float32), "w")
    graph = save_graph(path, [node("MatMul", ["x", "w"], ["y"])], graph, constants=[weights])
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="graph.onnx.data", size_threshold=0)
    assert (tmp_path / "graph.onnx.data").stat().st_size >= weights.ByteSize() - 100
    assert len(built(path, graph)) > 0
    (tmp_path / "graph.onnx.data").unlink()
    with pytest.raises(EngineError, match=r"cannot take graph\.onnx"):
        built(path, graph)


def test_what_the_cache_has_is_not_built_again(bundle: Path, counted: list[str], own_cache: Path) -> None:
    first = made(bundle)
    assert counted == ["encode", "decide"]
    assert [e.path.parent for e in first] == [own_cache] * 2
    again = made(bundle, "sm_120", "sm_89")
    assert counted == ["encode", "decide"]
    assert [(e.path, e.built) for e in again] == [(e.path, False) for e in first]


def test_engines_that_a_bundle_brings_are_taken(bundle: Path, counted: list[str], own_cache: Path) -> None:
    made(bundle, output=bundle / "engines")
    assert not own_cache.exists()
    assert [e.path.parent for e in made(bundle, "sm_86")] == [bundle / "engines"] * 2
    assert counted == ["encode", "decide"]


def test_a_changed_graph_is_built_again(bundle: Path, counted: list[str]) -> None:
    made(bundle)
    make_small(bundle, load_manifest(bundle).graphs["decide"], factor=2.0)
    rehash(bundle)
    assert [e.built for e in made(bundle)] == [False, True]
    assert counted == ["encode", "decide", "decide"]


def test_changed_weights_beside_a_graph_are_another_graph(bundle: Path) -> None:
    manifest = load_manifest(bundle)
    graph = manifest.graphs["decide"]
    keys = {
        tensorrt_bundle.key_of(graph.model_copy(update={"data": data}), LIBRARY, TARGETS)
        for data in ({}, {"decide.onnx.data": "a" * 64}, {"decide.onnx.data": "b" * 64})
    }
    assert len(keys) == 3


def test_another_target_is_built(bundle: Path, counted: list[str]) -> None:
    made(bundle, "sm_86")
    assert [e.built for e in made(bundle, "sm_86", "sm_89")] == [True, True]


def test_a_damaged_engine_is_built_again(bundle: Path, counted: list[str]) -> None:
    encode, decide = made(bundle)
    content = bytearray(decide.path.read_bytes())
    content[-1] ^= 1
    decide.path.write_bytes(content)
    assert [e.built for e in made(bundle)] == [False, True]
    assert [e.built for e in made(bundle)] == [False, False]
    assert encode.path.read_bytes() != decide.path.read_bytes()


def test_an_interrupted_build_leaves_nothing(bundle: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(number: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cache.os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            made(bundle)
    assert list(own_cache.iterdir()) == []
    assert all(e.built for e in made(bundle))


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_another_precision_than_the_graphs_is_refused(precision: str) -> None:
    with pytest.raises(
        EngineError, match=rf"--precision {precision}: the graphs of demo compute in fp32.*Import .* {precision}"
    ):
        check_precision(load_manifest(DEMO), precision)


def test_fp32_is_all_graphs_or_none() -> None:
    manifest: Manifest = load_manifest(DEMO)
    check_precision(manifest, "fp32")
    half = manifest.graphs["encode"].model_copy(update={"precision": "fp16"})
    mixed = manifest.model_copy(update={"graphs": manifest.graphs | {"encode": half}})
    check_precision(mixed, "fp16")
    with pytest.raises(EngineError, match="compute in fp16 and fp32"):
        check_precision(mixed, "fp32")


def test_targets_are_put_in_order_and_unknown_ones_refused() -> None:
    assert check_targets(LIBRARY, ["sm_120", "sm_89", "sm_89"]) == ("sm_89", "sm_120")
    for target in ("sm_90", "89", "SM89", "sm_banana"):
        with pytest.raises(EngineError, match=rf"does not build for {target}, only for sm_75, .*Install tensorrt"):
            check_targets(LIBRARY, ["sm_89", target])


def test_no_target_means_the_gpu_that_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt_bundle, "find_gpu", lambda: None)
    with pytest.raises(EngineError, match=r"no GPU here.*name --target, of sm_75"):
        check_targets(LIBRARY, [])


def test_what_runs_an_engine_is_there() -> None:
    for surface in (tensorrt_engine.SURFACE, tensorrt_engine.AHEAD_SURFACE):
        missing = [
            f"{c}.{name}" for c, names in surface.items() for name in names if not hasattr(getattr(rtx, c), name)
        ]
        assert missing == []


def test_hashes_are_of_the_files(bundle: Path) -> None:
    graphs = load_manifest(bundle).graphs
    assert {g.sha256 for g in graphs.values()} == {sha256(bundle / g.file) for g in graphs.values()}
