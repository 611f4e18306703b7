"""What `vla-ros bench loop` measures, from the statuses that the service publishes and the servo's own block."""

from __future__ import annotations

import itertools
import math
import multiprocessing
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vla_ros.clock import MILLISECOND, SECOND, MonotonicClock
from vla_ros.commands.episodes import TwinLink
from vla_ros.commands.live import Live, enable
from vla_ros.motion import blocks
from vla_ros.motion.servo import become_real_time
from vla_ros.shared import Block

WARM_UP = 2.0
_LOOK = 3 * MILLISECOND
"""Between two looks at the servo's block: short enough to see every cycle at 100 Hz."""
STAGES = {
    "received_ms": "exposure → in the policy node",
    "started_ms": "exposure → inference begins",
    "preprocess_ms": "preprocess",
    "encode_ms": "encode",
    "decide_ms": "decide",
    "decided_ms": "exposure → decided",
    "published_ms": "exposure → chunk published",
}


@dataclass(frozen=True)
class Figures:
    """A measured quantity, ms."""

    name: str
    text: str
    values: Sequence[float]

    def quantiles(self) -> tuple[float, float, float]:
        """Median, 99th percentile, maximum."""
        if not len(self.values):
            return math.nan, math.nan, math.nan
        p50, p99, most = np.percentile(self.values, [50, 99, 100]).tolist()
        return p50, p99, most

    def summary(self) -> dict[str, dict[str, float | None]]:
        """The quantiles as --json has them; the bounds are order statistics that hold the quantile with 95 %."""
        names = ("p50", "p99", "max")
        return {
            f"{self.name}_{q}": self._bounded(v, share)
            for q, v, share in zip(names, self.quantiles(), (0.5, 0.99, 1.0), strict=True)
        }

    def _bounded(self, value: float, share: float) -> dict[str, float | None]:
        n = len(self.values)
        if not n:
            return {"value": None, "low": None, "high": None, "n": 0}
        ordered, spread = sorted(self.values), 1.96 * math.sqrt(n * share * (1 - share))
        low = ordered[max(0, math.floor(n * share - spread) - 1)]
        high = ordered[min(n - 1, math.ceil(n * share + spread))]
        return {"value": value, "low": min(low, value), "high": max(high, value), "n": n}


@dataclass
class _Heard:
    """What was heard of the policy: one record of figures per chunk, and when it was exposed (ns, monotonic)."""

    figures: dict[str, list[float]] = field(default_factory=dict)
    moments: list[int] = field(default_factory=list)


def measure(live: Live, seconds: float) -> tuple[list[Figures], dict[str, dict[str, float]]]:
    """Let the policy work for that long: latencies and periods, and CPU and memory of each process."""
    client, period = live.client, round(SECOND / live.service.config.servo.rate)
    priority = live.service.config.servo.priority
    begin(live)
    client.sleep(WARM_UP)
    watch, pids = _ServoWatch(live.service.runtime, period), live.service.pids()
    before, began = _cpu(pids), time.monotonic()
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        bare = pool.apply_async(_bare_loop, (period, seconds, priority))
        heard = _listen(live, seconds)
        costs = _costs(before, _cpu(pids), time.monotonic() - began, pids)
        watch.close()
        figures = _latencies(heard, watch) + _periods(watch, bare.get(seconds + 30))
    return figures, costs


def begin(live: Live) -> None:
    """An episode with the arm enabled and its instruction given."""
    twin = TwinLink(live)
    instruction = bytes(twin.task()["instruction"]).decode()
    twin.close()
    enable(live.client)
    live.client.instruct(instruction)


def _listen(live: Live, seconds: float) -> _Heard:
    """Note every status of a thinking policy."""
    heard, client, seen = _Heard(), live.client, live.client.policy.count
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        client.spin(0.02)
        if client.policy.count == seen:
            continue
        seen = client.policy.count
        values = client.policy.values
        if int(values.get("targets", 0)):
            heard.moments.append(client.policy.moment)
            for name in STAGES.keys() & values.keys():
                heard.figures.setdefault(name, []).append(float(values[name]))
    return heard


def _latencies(heard: _Heard, watch: _ServoWatch) -> list[Figures]:
    figures = [Figures(name.removesuffix("_ms"), text, heard.figures.get(name, [])) for name, text in STAGES.items()]
    figures.append(Figures("command", "exposure → first command of the chunk", watch.latencies))
    distances = np.diff(sorted(heard.moments)) / MILLISECOND
    figures.append(Figures("chunk_period", "from chunk to chunk", distances.tolist()))
    return figures


def _periods(watch: _ServoWatch, bare: Sequence[float]) -> list[Figures]:
    return [
        Figures("servo_period_error", "servo: error of the period", watch.errors),
        Figures("servo_late", "servo: late to its moment", watch.late),
        Figures("bare_period_error", "bare loop beside it: error of the period", bare),
    ]


class _ServoWatch:
    """Looks at every cycle of the servo in a thread: how late it was, and when a chunk first moved the arm."""

    def __init__(self, runtime: Path, period: int) -> None:
        self.errors: list[float] = []
        self.late: list[float] = []
        self.latencies: list[float] = []
        self._block, self._period = Block.attach(runtime / "servo_status", blocks.STATUS), period
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._ended.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        clock, before = MonotonicClock(), None
        while not self._ended.is_set():
            clock.sleep_until(clock.now() + _LOOK)
            got = self._block.read()
            if got is None or (before is not None and got[0] == before[0]):
                continue
            if before is not None and got[0] == before[0] + 1:
                self._note(before[1], got[1])
            before = got

    def _note(self, before: Any, now: Any) -> None:
        """Two cycles, one after the other."""
        distance = int(now["beat"]) - int(before["beat"])
        self.errors.append(abs(distance - self._period) / MILLISECOND)
        self.late.append(int(now["late"]) / MILLISECOND)
        if now["chunk_stamp"] != before["chunk_stamp"] and now["chunk_stamp"]:
            self.latencies.append((int(now["beat"]) - int(now["chunk_stamp"])) / MILLISECOND)


def _bare_loop(period: int, seconds: float, priority: int) -> list[float]:
    """Errors of the period, ms, of a loop that only sleeps, with the servo's priority where that is permitted."""
    become_real_time(priority)
    clock, beats = MonotonicClock(), []
    due = clock.now()
    for _ in range(int(seconds * SECOND / period)):
        due += period
        clock.sleep_until(due)
        beats.append(clock.now())
    return [abs(b - a - period) / MILLISECOND for a, b in itertools.pairwise(beats)]


def _cpu(pids: Mapping[str, int]) -> dict[str, float]:
    """Seconds of processor time that each process has used."""
    tick = os.sysconf("SC_CLK_TCK")
    return {name: sum(map(int, _stat(pid)[11:13])) / tick for name, pid in pids.items()}


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat behind the name, which may hold spaces (man 5 proc)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _costs(
    before: Mapping[str, float], after: Mapping[str, float], seconds: float, pids: Mapping[str, int]
) -> dict[str, dict[str, float]]:
    page = os.sysconf("SC_PAGE_SIZE")
    resident = {name: int(_stat(pid)[21]) * page / 1e6 for name, pid in pids.items()}
    return {
        name: {"cpu_percent": 100 * (after[name] - before[name]) / seconds, "rss_mb": resident[name]} for name in pids
    }
