"""What `vla-ros bench policy` makes of what was measured."""

import argparse
import json

import numpy as np
import pytest
from rich.console import Console

from vla_ros.cli import main
from vla_ros.commands import bench_policy
from vla_ros.commands.errors import BAD_USAGE, CommandError

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from vla_ros.networks.cost import Ceiling, Floor
from vla_ros.networks.speed.contest import Outcome
from vla_ros.networks.speed.timing import Share

FACTS = {"parameters": 2e6, "flops": 1.5e8, "weight_bytes_fp32": 7e6, "chunk_moves": 0.03}


def outcome(window=16, fp32=2.5, int8=3.0, whole=40.0):
    times = {"onnxruntime_fp32": np.array([4.0, 5.0, 6.0]), "onnxruntime_int8": np.array([3.0, 4.0, 5.0])}
    times |= {"reference": np.full(3, 12.0), "recomputed_window": np.full(2, 200.0)}
    ratios = {
        "reference_over_onnxruntime_fp32": Share(fp32, 2.0, 3.0, 3, 0.75),
        "reference_over_onnxruntime_int8": Share(int8, 2.5, 4.0, 3, 0.75),
        "recomputed_window_over_onnxruntime_fp32": Share(whole, 39.0, 41.0, 2, 0.5),
    }
    floors = {"onnxruntime_fp32": Floor(2.0, 1.8)}
    ceilings = {"fp32": Ceiling(2e11, 3e10)}
    return Outcome("tiny", window, times, ratios, {"onnxruntime_fp32": 1e-6}, floors, FACTS, ceilings)


def test_what_must_be_kept_to():
    found = {bound.name: bound for bound in bench_policy.bounds(outcome())}
    assert found["tiny_w16_reference_over_onnxruntime_fp32"].met
    assert not found["tiny_w16_reference_over_onnxruntime_int8"].met
    assert found["tiny_w16_recomputed_window_over_onnxruntime_fp32"].met
    assert len(bench_policy.bounds(outcome(window=8))) == 2  # twenty times is meant for a window of 16


def test_a_gpu_is_held_to_the_floor():
    graph = "torch_bf16_cuda_graph"
    for times, met in (([2.0, 2.4, 2.5], True), ([2.0, 2.6, 9.0], False)):
        measured = Outcome("full", 16, {graph: np.array(times)}, {}, {}, {graph: Floor(1.0, 0.9)}, FACTS)
        (bound,) = bench_policy.bounds(measured)
        assert bound.met is met


def test_the_document_and_the_table_have_every_figure():
    measured = outcome()
    found = bench_policy.document([measured], bench_policy.bounds(measured), 1)
    document = json.loads(json.dumps(found))
    summary = document["summary"]
    assert summary["tiny_w16_onnxruntime_fp32_p50"] == {"value": 5.0, "low": 4.0, "high": 6.0, "n": 3}
    assert summary["tiny_w16_onnxruntime_fp32_over_floor"]["value"] == 2.5
    assert summary["tiny_w16_reference_over_onnxruntime_int8"]["high"] == 4.0
    assert document["machine"]["threads"] == 1
    assert document["items"][0]["floors"]["onnxruntime_fp32"]["serial_ms"] == 2.0
    assert document["items"][0]["ceilings"]["fp32"] == {"operations_per_s": 2e11, "bytes_per_s": 3e10}
    console = Console(record=True, width=140)
    console.print(bench_policy.outcome_table(measured), bench_policy.outcome_notes(measured))
    text = console.export_text()
    for figure in ("5.00", "2.5 (2.0–3.0)", "40.0 (39.0–41.0)", "2.50", "1.0e-06", "2.0 M parameters"):
        assert figure in text


def options(**changes):
    given = {"size": "tiny", "windows": [8], "device": "cpu", "threads": 1, "export_only": False}
    return argparse.Namespace(**given | changes)


def test_what_this_machine_cannot_do_is_said_before_the_work(capsys):
    with pytest.raises(CommandError, match="--export-only"):
        bench_policy.check(options(size="full"))
    with pytest.raises(CommandError, match="at least 1"):
        bench_policy.check(options(windows=[0]))
    bench_policy.check(options(size="full", export_only=True))
    assert main(["bench", "policy", "--threads", "0"]) == BAD_USAGE
    assert "--threads" in capsys.readouterr().err


def test_no_gpu_is_said(monkeypatch):
    from vla_ros.networks.speed import cuda

    monkeypatch.setattr(cuda, "available", lambda: False)
    with pytest.raises(CommandError, match="no NVIDIA GPU"):
        bench_policy.check(options(device="cuda"))


def test_a_graph_is_exported_without_timing(tmp_path, capsys):
    pytest.importorskip("transformers")
    file = tmp_path / "result/export.json"
    assert main(["bench", "policy", "--size", "tiny", "--export-only", "--json", str(file)]) == 0
    assert "GB of memory" in capsys.readouterr().out
    summary = json.loads(file.read_text())["summary"]
    assert summary["export_bytes"]["value"] > 100_000
    assert set(summary) == {"export_bytes", "export_seconds", "export_peak_memory_bytes"}
