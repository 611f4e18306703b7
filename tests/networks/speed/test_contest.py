"""The ways that are timed against each other compute one policy; what they are measured by."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnxscript")

from vla_ros.clock import MILLISECOND, VirtualClock  # noqa: E402
from vla_ros.networks.cost import Ceiling  # noqa: E402
from vla_ros.networks.speed.bundle import made_up, write_random_bundle  # noqa: E402
from vla_ros.networks.speed.contest import (  # noqa: E402
    INT8,
    ORT,
    REFERENCE,
    WINDOW,
    Rounds,
    check_same,
    compared,
    on_cpu,
)
from vla_ros.networks.speed.full_export import export_encoder  # noqa: E402
from vla_ros.networks.speed.models import OTHER, SENTENCE, make_tokenizer, pieces, random_family  # noqa: E402
from vla_ros.networks.speed.reference import Reference  # noqa: E402
from vla_ros.networks.speed.steps import NewestStep, ReferenceStep, WindowStep, pictures  # noqa: E402
from vla_ros.networks.verify import VerificationError  # noqa: E402
from vla_ros.policy.engines.onnx import OnnxEngine  # noqa: E402
from vla_ros.policy.manifest import load_manifest  # noqa: E402

WIDTH = 3


@pytest.fixture(scope="module")
def network():
    torch.set_num_threads(1)
    return random_family("tiny", WIDTH)


@pytest.fixture(scope="module")
def bundle(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("random") / "fp32"
    return folder, write_random_bundle(network, make_tokenizer(), folder)


def test_the_weights_follow_from_the_seed_and_every_input_matters(network):
    same, other = random_family("tiny", WIDTH), random_family("tiny", WIDTH, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), same.parameters(), strict=True))
    assert not torch.equal(network.head.rnn.weight_hh_l0, other.head.rnn.weight_hh_l0)


def test_all_ways_give_the_chunks_of_the_reference(network, bundle):
    folder, manifest = bundle
    recorded = made_up(folder, manifest, 2 * WIDTH)
    authors, frames = Reference(network, make_tokenizer()), pictures(manifest, recorded)
    steps = {
        ORT: NewestStep(OnnxEngine(folder, manifest).run, manifest, recorded),
        REFERENCE: ReferenceStep(authors, frames, SENTENCE),
    }
    # beyond one window: the frames before have left it
    for _ in range(WIDTH):
        for step in steps.values():
            step()
    whole = WindowStep(authors, frames, SENTENCE)
    whole.skip(WIDTH)
    differences, moves = compared(steps, whole, WIDTH)
    assert set(differences) == {ORT, WINDOW}
    assert max(differences.values()) < 1e-5
    assert moves > 1e-3  # other frames, other chunks
    said_otherwise = ReferenceStep(authors, frames, OTHER)()
    assert np.abs(said_otherwise - ReferenceStep(authors, frames, SENTENCE)()).max() > 1e-3


def test_another_policy_is_found_out(network, bundle):
    folder, manifest = bundle
    recorded = made_up(folder, manifest, 2 * WIDTH)
    frames = pictures(manifest, recorded)
    other = Reference(random_family("tiny", WIDTH, seed=1), make_tokenizer())
    steps = {
        ORT: NewestStep(OnnxEngine(folder, manifest).run, manifest, recorded),
        REFERENCE: ReferenceStep(other, frames, SENTENCE),
    }
    differences, _ = compared(steps, WindowStep(other, frames, SENTENCE), WIDTH)
    with pytest.raises(VerificationError, match="not the same policy"):
        check_same(differences)
    with pytest.raises(VerificationError, match="differs"):
        check_same({"a": float("nan")})


def test_the_reference_keeps_eager_attention_to_itself(network):
    authors = Reference(network, make_tokenizer())
    assert authors.config.text_config._attn_implementation == "eager"
    assert network.eye.backbone.config.text_config._attn_implementation == "sdpa"
    mine = {id(p) for p in network.parameters()}
    assert all(id(p) in mine for p in authors.parameters())  # no weight twice in memory


def test_a_contest_measures_every_way_in_turn(tmp_path):
    clock, calls = VirtualClock(), []

    def stopwatch(call):
        call()
        calls.append(call)
        clock.sleep_until(clock.now() + (1 + len(calls) % 3) * MILLISECOND)
        return float(1 + len(calls) % 3)

    measured = iter([(1e9, 3e9), (0.5e9, 4e9)])  # the second time something else has run, and the first time too

    def ceilings():
        fp32, int8 = next(measured)
        return {"fp32": Ceiling(fp32, 1e9), "int8": Ceiling(int8, 1e9)}

    heard = []
    outcome = on_cpu("tiny", 2, 1, tmp_path, ceilings, Rounds(3, 2, 1), heard.append, stopwatch)
    assert set(outcome.times) == {ORT, INT8, REFERENCE, WINDOW}
    assert [len(outcome.times[name]) for name in (ORT, WINDOW)] == [3, 2]
    assert len(calls) == (3 + 1) * 3 + (2 + 1) * 3
    assert set(outcome.ratios) == {f"{slow}_over_{fast}" for slow in (REFERENCE, WINDOW) for fast in (ORT, INT8)}
    assert outcome.differences[ORT] < 1e-4 < outcome.differences[INT8] < 0.2
    assert outcome.floors[ORT].serial == pytest.approx(4 * outcome.floors[INT8].serial)
    assert outcome.over_floor(ORT) == pytest.approx(np.median(outcome.times[ORT]) / outcome.floors[ORT].serial)
    assert heard[-1].endswith("timing")
    assert load_manifest(tmp_path / "int8").graphs["encode"].precision == "int8"


def test_an_encoder_is_exported_in_bf16(tmp_path):
    exported = export_encoder("tiny", tmp_path)
    assert exported.graph.precision == "bf16"
    assert exported.bytes == (tmp_path / "encode.onnx").stat().st_size
    assert exported.peak > exported.bytes
    assert torch.get_default_dtype() == torch.float32


def test_a_prompt_is_split_into_pieces():
    tokenizer = make_tokenizer()
    assert tokenizer.token_to_id("<unk>") not in pieces(tokenizer, SENTENCE)
    assert pieces(tokenizer, SENTENCE) != pieces(tokenizer, OTHER)


@pytest.mark.parametrize(("kind", "most"), [(torch.float32, 1e-5), (torch.bfloat16, 0.1)])
def test_what_is_captured_on_a_gpu_computes_the_same(network, bundle, kind, most):
    """All but the capture itself, which needs a GPU."""
    from vla_ros.networks.backbones.kosmos2_graph import tail
    from vla_ros.networks.speed.cuda import Resident, ResidentStep

    folder, manifest = bundle
    frames = pictures(manifest, made_up(folder, manifest, 2 * WIDTH))
    tokenizer = make_tokenizer()
    rows, end = tail(network.eye, torch.tensor(pieces(tokenizer, SENTENCE)), 2, 31)
    resident = Resident(network, rows, end, "cpu", kind)
    resident.give(frames[-1])
    resident.run()
    resident.forget()
    steps = {"resident": ResidentStep(resident, resident.run, frames)}
    authors = Reference(network, tokenizer)
    steps[REFERENCE] = ReferenceStep(authors, frames, SENTENCE)
    differences, moves = compared(steps, WindowStep(authors, frames, SENTENCE), WIDTH)
    assert differences["resident"] < min(most, moves)
    assert kind == torch.float32 or differences["resident"] > 1e-6  # it does compute in less


@pytest.mark.gpu
def test_a_captured_graph_gives_the_chunks_of_the_network(network):
    from vla_ros.networks.speed import cuda

    if not cuda.available():
        pytest.skip("no NVIDIA GPU")
    outcome = cuda.on_cuda("tiny", WIDTH, Ceiling(1e12, 1e12), Rounds(3, 2, 3), lambda text: None)
    assert outcome.differences[cuda.GRAPH] < 0.1
    assert set(outcome.times) == {cuda.GRAPH, REFERENCE, WINDOW}
