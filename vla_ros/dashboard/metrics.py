"""The board in the text format that Prometheus reads (its documentation: exposition formats, version 0.0.4)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from vla_ros.dashboard.slots import Board, age_ms, values_of
from vla_ros.episodes.recorder import Phase
from vla_ros.values import Mode

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
COUNTS = {
    "cycles": "cycles of the servo",
    "missed": "periods that the servo missed",
    "refused": "chunks that were refused",
}
AGES = {"chunk_age_ms": "chunk", "feedback_age_ms": "feedback"}

Sample = tuple[Mapping[str, str], float]
"""Labels and value."""
Family = tuple[str, str, str, list[Sample]]
"""Name, type, what it is, and its samples."""


def exposition(board: Board, streams: Mapping[str, tuple[int, int]], refused: int, now: int) -> str:
    """All metrics at `now` (ns, monotonic); `streams` are the viewers and encoded frames of each camera."""
    arm = values_of(board.arm)
    mode = arm.get("mode", "NONE")
    families: list[Family] = [
        (
            "arm_mode",
            "gauge",
            "1 for the mode that the arm is in",
            [({"mode": m.name}, float(m.name == mode)) for m in Mode],
        ),
        *((f"servo_{name}_total", "counter", text, _number({}, arm.get(name))) for name, text in COUNTS.items()),
        ("age_seconds", "gauge", "ages of what the servo uses", _ages(arm)),
        ("heard_seconds", "gauge", "how long ago a node was heard", _heard(board, now)),
        ("latency", "gauge", "quantiles of the trace from light to motion, ms or counts", _latency(board)),
        *_recorder(board),
        (
            "viewers",
            "gauge",
            "people who look at a camera",
            [({"camera": n}, float(v)) for n, (v, _) in streams.items()],
        ),
        ("frames_encoded_total", "counter", "JPEGs made", [({"camera": n}, float(e)) for n, (_, e) in streams.items()]),
        ("requests_refused_total", "counter", "requests that access control refused", [({}, float(refused))]),
    ]
    return "".join(_family(f"vla_ros_{name}", kind, text, samples) for name, kind, text, samples in families)


def _family(name: str, kind: str, text: str, samples: Iterable[Sample]) -> str:
    lines = [f"{name}{_labels(labels)} {value:.9g}\n" for labels, value in samples if math.isfinite(value)]
    return "".join([f"# HELP {name} {text}\n# TYPE {name} {kind}\n", *lines]) if lines else ""


def _labels(labels: Mapping[str, str]) -> str:
    quoted = [f'{key}="{value}"' for key, value in labels.items()]
    return "{" + ",".join(quoted) + "}" if quoted else ""


def _number(labels: Mapping[str, str], text: str | None, scale: float = 1.0) -> list[Sample]:
    try:
        return [(labels, float(text) * scale)] if text is not None else []
    except ValueError:
        return []


def _ages(arm: Mapping[str, str]) -> list[Sample]:
    return [sample for name, what in AGES.items() for sample in _number({"of": what}, arm.get(name), 1e-3)]


def _heard(board: Board, now: int) -> list[Sample]:
    reports = {"arm": board.arm.get(), "policy": board.policy.get(), "recorder": board.recorder.get()}
    ages = {name: age_ms(report.moment, now) for name, report in reports.items() if report is not None}
    return [({"node": name}, age / 1e3) for name, age in ages.items() if age is not None]


def _recorder(board: Board) -> list[Family]:
    values = values_of(board.recorder)
    phases: list[Sample] = (
        [({"phase": p.value}, float(p.value == values["phase"])) for p in Phase] if "phase" in values else []
    )
    return [
        ("recorder_phase", "gauge", "1 for the phase that the recorder is in", phases),
        ("recorder_episodes", "gauge", "episodes of the dataset", _number({}, values.get("episodes"))),
        ("recorder_frames", "gauge", "frames of the open take", _number({}, values.get("frames"))),
        ("recorder_lost_total", "counter", "frames that could not be recorded", _number({}, values.get("lost"))),
    ]


def _latency(board: Board) -> list[Sample]:
    return [({"name": name}, value) for name, value in (board.latency.get() or {}).items()]
