"""What `vla-ros latency` makes of what a service says."""

import json

import numpy as np
import pytest
from rich.console import Console

from vla_ros.commands import latency
from vla_ros.commands.measure import BareLoop

pytest.importorskip("rclpy")

from vla_ros.nodes.traces import ChunkTrace, chunk_trace

VALUES = {
    "chunk_stamp_ns": "1795162659362422354",
    "chunk_sequence": "42",
    "instruction": "grasp the green box",
    "frame_static": "105",
    "frame_wrist": "97",
    "received_ms": "9.95",
    "decided_ms": "13.5",
    "command_ms": "18.2",
}


def test_a_status_with_a_chunk_becomes_a_line():
    trace = chunk_trace(VALUES)
    assert trace == ChunkTrace(
        1795162659362422354, 42, "grasp the green box", {"static": 105, "wrist": 97}, 9.95, None, 13.5, 18.2
    )
    assert json.loads(json.dumps(trace.line()))["stamp_ns"] == 1795162659362422354


@pytest.mark.parametrize("missing", ["chunk_stamp_ns", "command_ms"])
def test_a_status_without_a_played_chunk_is_none(missing):
    assert chunk_trace({name: value for name, value in VALUES.items() if name != missing}) is None


def test_the_table_shows_what_is_known_and_leaves_out_what_is_not():
    known = {"received_p50_ms": 8.0, "received_p99_ms": 9.5, "received_p999_ms": 9.9, "chunks": 120.0, "missed": 3.0}
    known["seam_velocity_max_share"] = 0.0123
    console = Console(record=True, width=160)
    console.print(latency.table(known, {"mode": "ACTIVE", "period_error_p99_ms": "0.3"}, [0.1] * 200))
    text = console.export_text()
    assert "9.50" in text
    assert "120 chunks" in text
    assert "3 periods missed" in text
    assert "3.0 × a bare loop's" in text
    assert "1.23% of the cap" in text
    assert "–" in text


def test_the_ratio_is_known_when_both_are():
    assert latency.period_ratio({"period_error_p99_ms": "0.2"}, [0.1] * 10) == pytest.approx(2.0)
    assert latency.period_ratio({}, [0.1] * 10) is None
    assert latency.period_ratio({"period_error_p99_ms": "0.2"}, []) is None


class _Said:
    latency = {"chunks": 50.0, "received_p50_ms": 7.0, "motion_p99_ms": 120.0}
    arm = {"period_error_p99_ms": "0.2"}


def test_the_document_bounds_what_was_counted_chunk_by_chunk():
    heard = [ChunkTrace(k, k, "", {}, 5 + 0.01 * k, 8.0, 9.0, 20.0) for k in range(200)]
    document = json.loads(json.dumps(latency.document(_Said, heard, [0.1] * 100)))
    assert set(document) == {"summary", "items", "machine"}
    received = document["summary"]["received_p50"]
    assert received["low"] < received["value"] < received["high"]
    assert received["n"] == 200
    assert document["summary"]["motion_p99"] == {"value": 120.0, "low": None, "high": None, "n": 50}
    assert document["summary"]["period_error_p99_ratio"]["value"] == pytest.approx(2.0)
    assert len(document["items"]) == 200


def test_a_bare_loop_counts_its_periods_and_ends():
    with BareLoop(2_000_000, 0) as bare:
        process = bare._process
        while len(bare.errors()) < 100:
            process.join(0.05)
        bare.forget()
        assert len(bare.errors()) < 100
    assert not process.is_alive()
    assert np.isfinite(bare.errors()).all()
