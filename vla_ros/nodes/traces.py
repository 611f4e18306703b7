"""What a running service says of its latency: the quantiles on /diagnostics, and every chunk on /arm/status."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node

from vla_ros.clock import MILLISECOND
from vla_ros.nodes import convert
from vla_ros.nodes.process import newest

STAGES = ("received_ms", "encoded_ms", "decided_ms", "command_ms")
SAME = 10 * MILLISECOND
"""Stamps of one chunk differ by less from status to status: each is taken to ROS time anew."""
_FRAME = "frame_"


@dataclass(frozen=True)
class ChunkTrace:
    """One chunk that was played: exposure (ns, ROS time), the sequence number that the arm node gave it, the camera frames behind it,

    and when it was received, encoded, decided and first commanded, ms after exposure; None where that is not known.
    """

    stamp_ns: int
    sequence: int
    instruction: str
    frames: dict[str, int] = field(default_factory=dict)
    received_ms: float | None = None
    encoded_ms: float | None = None
    decided_ms: float | None = None
    command_ms: float | None = None

    def line(self) -> dict[str, object]:
        """The fields by name, for a line of JSON."""
        return asdict(self)


def chunk_trace(values: Mapping[str, str]) -> ChunkTrace | None:
    """The chunk that a status of the arm tells of; None where it tells of none."""
    stamp, sequence = int(values.get("chunk_stamp_ns", 0)), int(values.get("chunk_sequence", 0))
    if not stamp or "command_ms" not in values:
        return None
    frames = {name.removeprefix(_FRAME): int(n) for name, n in values.items() if name.startswith(_FRAME)}
    stages = {name: _known(values.get(name, "nan")) for name in STAGES}
    return ChunkTrace(stamp, sequence, values.get("instruction", ""), frames, **stages)


def _known(text: str) -> float | None:
    value = float(text)
    return value if abs(value) < float("inf") else None


class Traces:
    """The newest quantiles and status of the service in this domain; `on_chunk` hears of every chunk once."""

    def __init__(self, node: Node, on_chunk: Callable[[ChunkTrace], None] = lambda trace: None) -> None:
        self.latency: dict[str, float] = {}
        self.arm: dict[str, str] = {}
        self.statuses = 0
        self._on_chunk, self._last = on_chunk, (0, 0)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._diagnostics, newest(depth=50))
        node.create_subscription(DiagnosticArray, "/arm/status", self._status, newest(depth=50))

    def _diagnostics(self, message: DiagnosticArray) -> None:
        for status in convert.named(message, "latency"):
            self.latency = {name: float(value) for name, value in convert.values(status).items()}

    def _status(self, message: DiagnosticArray) -> None:
        for status in convert.named(message, "arm"):
            self.arm, self.statuses = convert.values(status), self.statuses + 1
            trace = chunk_trace(self.arm)
            if trace is not None and not self._told(trace):
                self._last = trace.stamp_ns, trace.sequence
                self._on_chunk(trace)

    def _told(self, trace: ChunkTrace) -> bool:
        stamp, sequence = self._last
        return trace.sequence == sequence and abs(trace.stamp_ns - stamp) < SAME
