"""Int8 where it is worth it, with what it costs."""
# ruff: noqa: E402 (what needs torch is imported once it is known to be there)

import numpy as np
import pytest

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("mujoco")

import onnxruntime

from vla_ros.config import load
from vla_ros.networks.agreement import agreements, play
from vla_ros.networks.int8 import written
from vla_ros.networks.quantise import ABOUT, Candidate, choose, quantise
from vla_ros.networks.recorded import Clip, Observer, Recorded, from_twin, twin_config
from vla_ros.networks.verify import VerificationError
from vla_ros.policy.engines.onnx import OnnxEngine
from vla_ros.policy.manifest import BundleError, load_manifest, save_manifest
from vla_ros.policy.policy import find_bundle, load_policy

DEMO = find_bundle("demo")
MANIFEST = load_manifest(DEMO)


@pytest.fixture(scope="module")
def recorded():
    config = twin_config(load(), MANIFEST)
    return from_twin(Observer(DEMO, MANIFEST, config), config, 12)


def gains(work):
    """Int8 is twice as fast."""
    return {method: 2.0 if method == "fp32" else 1.0 for method in work}


@pytest.fixture(scope="module")
def small(recorded, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "demo_int8"
    quantise(DEMO, folder, recorded, gains)
    return folder


def test_the_bundle_is_whole_and_says_what_it_costs(small, recorded):
    manifest = load_manifest(small)
    assert manifest.name == "demo_int8"
    assert {graph.precision for graph in manifest.graphs.values()} == {"int8"}
    old, new = ((folder / "decide.onnx").stat().st_size for folder in (DEMO, small))
    assert new < 0.4 * old
    record = manifest.verification
    assert record["int8"]["made_of"]["encode"] == MANIFEST.graphs["encode"].sha256
    assert record["int8"]["kept"]["encode"] == "convolutions"  # as fast as the others here, and nearest
    assert set(record["int8"]["ways"]["encode"]) == {"fp32", "dynamic", "static", "convolutions"}
    assert set(record["int8"]["ways"]["decide"]) == {"fp32", "dynamic", "static"}
    said = record["recorded"]["onnxruntime_int8"]["chunk"]
    wanted = play(OnnxEngine(DEMO, MANIFEST).run, MANIFEST, recorded)
    found = agreements(play(OnnxEngine(small, manifest).run, manifest, recorded), wanted, 0.1)
    chunk = next(a for a in found if a.output == "chunk")
    assert said == chunk.record()
    assert 0 < chunk.largest < 0.1


def test_the_service_plays_it(small):
    policy = load_policy(str(small), load())
    policy.set_instruction("pick up the red cube")
    assert policy.manifest.name == "demo_int8"


def test_a_way_that_is_slower_is_not_kept(recorded, tmp_path):
    def only_decide(work):
        faster = dict.fromkeys(work, 1.0) | {"fp32": 2.0}
        return dict.fromkeys(work, 3.0) | {"fp32": 1.0} if "convolutions" in work else faster

    manifest = quantise(DEMO, tmp_path / "half", recorded, only_decide)
    assert manifest.graphs["encode"].precision == "fp32"
    assert manifest.graphs["encode"].sha256 == MANIFEST.graphs["encode"].sha256
    assert manifest.graphs["decide"].precision == "int8"


def test_nothing_is_written_where_nothing_gains(recorded, tmp_path):
    with pytest.raises(VerificationError, match=r"no graph of .* gains"):
        quantise(DEMO, tmp_path / "none", recorded, lambda work: dict.fromkeys(work, 1.0))
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_where_int8_is_too_far_off(recorded, tmp_path):
    with pytest.raises(VerificationError, match="gains"):
        quantise(DEMO, tmp_path / "none", recorded, gains, limit=1e-6)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("precision", "said"), [("int8", "int8 already"), ("fp16", "--precision fp32")])
def test_only_fp32_is_quantised(recorded, tmp_path, precision, said):
    folder = copied(tmp_path, graphs=precision)
    with pytest.raises(BundleError, match=said):
        quantise(folder, tmp_path / "out", recorded, gains)


def test_a_bundle_must_be_verified_and_the_place_free(recorded, tmp_path):
    with pytest.raises(BundleError, match="never verified"):
        quantise(copied(tmp_path), tmp_path / "out", recorded, gains)
    with pytest.raises(BundleError, match="there already"):
        quantise(DEMO, tmp_path, recorded, gains)


def copied(tmp_path, graphs=None):
    """The demo, unverified, or with its graphs said to be of another precision."""
    import shutil

    folder = shutil.copytree(DEMO, tmp_path / "copy")
    update = {"verification": {}}
    if graphs:
        update = {"graphs": {n: g.model_copy(update={"precision": graphs}) for n, g in MANIFEST.graphs.items()}}
    save_manifest(MANIFEST.model_copy(update=update), folder)
    return folder


def candidate(method, milliseconds, error):
    from vla_ros.networks.agreement import Agreement

    return Candidate(method, milliseconds, Agreement("chunk", 1 - error, error, 0.1))


def test_the_choice():
    fp32, rough, fine = candidate("fp32", 3.0, 0.0), candidate("dynamic", 1.0, 0.05), candidate("static", 1.1, 0.01)
    assert choose([fp32, rough, fine], 0.1) is fine
    assert choose([fp32, rough, candidate("static", 1.0 * ABOUT + 0.01, 0.01)], 0.1) is rough
    assert choose([fp32, rough], 0.02) is fp32
    assert choose([candidate("fp32", 1.0, 0.0), rough], 0.1).method == "fp32"


def test_a_weight_that_two_products_share_is_not_transposed_twice(tmp_path):
    """Two Gemm in a row with the same square weight: the steps of an unrolled LSTM."""
    random = np.random.default_rng(0)
    weight, bias = random.normal(size=(8, 8)).astype(np.float32), random.normal(size=8).astype(np.float32)
    make, info, shape = onnx.helper.make_node, onnx.helper.make_tensor_value_info, [1, 8]
    nodes = [
        make("Gemm", ["x", "w", "b"], ["h"], "first", transB=1),
        make("Gemm", ["h", "w", "b"], ["y"], "second", transB=1),
    ]
    values = [onnx.numpy_helper.from_array(v, n) for n, v in (("w", weight), ("b", bias))]
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(nodes, "g", [info("x", kind, shape)], [info("y", kind, shape)], values)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "g.onnx")
    frames = [{"x": random.normal(size=(1, 8)).astype(np.float32)} for _ in range(8)]
    for large in (False, True):
        files = written(tmp_path / "g.onnx", large, tmp_path / f"large_{large}", frames)
        assert set(files) == {"dynamic", "static"}
        for path in files.values():
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
            for frame in frames:
                wanted = (frame["x"] @ weight.T + bias) @ weight.T + bias
                np.testing.assert_allclose(session.run(None, frame)[0], wanted, atol=0.1 * np.abs(wanted).max())


def test_without_observations_nothing_is_quantised(tmp_path):
    with pytest.raises(BundleError, match="no recorded observations"):
        quantise(DEMO, tmp_path / "out", Recorded("nothing", (Clip("", ()), Clip("", ()))), gains)
