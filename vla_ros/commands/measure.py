"""What `vla-ros bench loop` measures, from the statuses that the service publishes and the servo's own block."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from vla_ros.clock import MILLISECOND, SECOND, MonotonicClock
from vla_ros.commands.episodes import TwinLink
from vla_ros.commands.live import Live, enable
from vla_ros.motion import blocks
from vla_ros.motion.servo import become_real_time
from vla_ros.shared import Block

WARM_UP = 2.0
QUANTILES = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}
PERIOD_RATIO = 2.0
_LOOK = 3 * MILLISECOND
"""Between two looks at the servo's block: short enough to see every cycle at 100 Hz."""
STAGES = {
    "received_ms": "exposure → in the policy node",
    "started_ms": "exposure → inference begins",
    "preprocess_ms": "preprocess",
    "encode_ms": "encode",
    "decide_ms": "decide",
    "encoded_ms": "exposure → encoded",
    "decided_ms": "exposure → decided",
    "published_ms": "exposure → chunk published",
}


@dataclass(frozen=True)
class Figures:
    """A measured quantity, in ms unless its text says otherwise."""

    name: str
    text: str
    values: Sequence[float]

    def quantiles(self) -> tuple[float, ...]:
        """Those of QUANTILES, in their order."""
        if not len(self.values):
            return (math.nan,) * len(QUANTILES)
        return tuple(np.quantile(self.values, list(QUANTILES.values())).tolist())

    def summary(self) -> dict[str, dict[str, float | None]]:
        """The quantiles as --json has them; the bounds are order statistics that hold the quantile with 95 %."""
        pairs = zip(QUANTILES.items(), self.quantiles(), strict=True)
        return {f"{self.name}_{name}": self._bounded(value, share) for (name, share), value in pairs}

    def _bounded(self, value: float, share: float) -> dict[str, float | None]:
        n = len(self.values)
        if not n:
            return {"value": None, "low": None, "high": None, "n": 0}
        ordered, spread = sorted(self.values), 1.96 * math.sqrt(n * share * (1 - share))
        low = ordered[max(0, math.floor(n * share - spread) - 1)]
        high = ordered[min(n - 1, math.ceil(n * share + spread))]
        return {"value": value, "low": min(low, value), "high": max(high, value), "n": n}


@dataclass
class Heard:
    """What was heard of the policy: one record of figures per chunk, and when it was exposed (ns, monotonic)."""

    figures: dict[str, list[float]] = field(default_factory=dict)
    moments: list[int] = field(default_factory=list)


def measure(live: Live, seconds: float) -> tuple[list[Figures], dict[str, dict[str, float]]]:
    """Let the policy work for that long: latencies and periods, and CPU and memory of each process."""
    client, period = live.client, round(SECOND / live.service.config.servo.rate)
    with BareLoop(period, live.service.config.servo.priority) as bare:
        begin(live)
        client.sleep(WARM_UP)
        bare.forget()
        watch, pids = ServoWatch(live.service.runtime, period), live.service.pids()
        before, began = cpu_seconds(pids), time.monotonic()
        heard = listen(live, seconds)
        costs = _costs(before, cpu_seconds(pids), time.monotonic() - began, pids)
        watch.close()
        figures = _latencies(heard, watch) + _periods(watch, bare.errors())
    return [figure for figure in figures if len(figure.values)], costs


@dataclass(frozen=True)
class Bound:
    """What a figure must keep to: at most `limit`, or at least."""

    name: str
    text: str
    value: float
    limit: float
    at_most: bool = True
    n: int = 0

    @property
    def met(self) -> bool:
        """Whether it does; a figure that is not known does not."""
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    def line(self) -> str:
        """For people."""
        sign = "≤" if self.at_most else "≥"
        return f"{'met' if self.met else 'NOT MET'}: {self.text}: {self.value:.3g} ({sign} {self.limit:g})"


def period_bound(figures: Sequence[Figures]) -> Bound:
    """The servo's period error against that of the bare loop that ran beside it."""
    p99 = {figure.name: figure.quantiles()[1] for figure in figures}
    n = next((len(figure.values) for figure in figures if figure.name == "servo_period_error"), 0)
    bare = p99.get("bare_period_error", math.nan)
    ratio = p99.get("servo_period_error", math.nan) / bare if bare > 0 else math.nan
    return Bound("period_error_p99_ratio", "servo's period error over a bare loop's, p99", ratio, PERIOD_RATIO, n=n)


def begin(live: Live) -> None:
    """An episode with the arm enabled and its instruction given."""
    twin = TwinLink(live)
    instruction = bytes(twin.task()["instruction"]).decode()
    twin.close()
    enable(live.client)
    live.client.instruct(instruction)


def listen(live: Live, seconds: float) -> Heard:
    """Note every status of a thinking policy."""
    heard, client, seen = Heard(), live.client, live.client.policy.count
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


def _latencies(heard: Heard, watch: ServoWatch) -> list[Figures]:
    figures = [Figures(name.removesuffix("_ms"), text, heard.figures.get(name, [])) for name, text in STAGES.items()]
    figures.append(Figures("command", "exposure → first command of the chunk", watch.latencies))
    distances = np.diff(sorted(heard.moments)) / MILLISECOND
    figures.append(Figures("chunk_period", "from chunk to chunk", distances.tolist()))
    return figures


def _periods(watch: ServoWatch, bare: Sequence[float]) -> list[Figures]:
    return [
        Figures("servo_period_error", "servo: error of the period", watch.errors),
        Figures("servo_late", "servo: late to its moment", watch.late),
        Figures("bare_period_error", "bare loop beside it: error of the period", bare),
    ]


class ServoWatch:
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


class BareLoop:
    """A process that only sleeps, with the period (ns) and the priority of the servo where that is permitted: what the machine itself

    does to a loop. It runs for as long as the context lasts, and ends with this process in any case.
    """

    KEPT = 1 << 16

    def __init__(self, period: int, priority: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._errors, self._count = context.RawArray("d", self.KEPT), context.RawValue("q", 0)
        self._ended, self._first = context.Event(), 0
        arguments = (period, priority, self._errors, self._count, self._ended)
        self._process = context.Process(target=_sleep_on, args=arguments, daemon=True)

    def __enter__(self) -> BareLoop:
        self._process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._process.join(2.0)

    def forget(self) -> None:
        """What was measured until now does not count."""
        self._first = self._count.value

    def errors(self) -> list[float]:
        """Errors of its periods so far, ms; KEPT at most, the newest."""
        last = self._count.value
        return [self._errors[k % self.KEPT] for k in range(max(self._first, last - self.KEPT), last)]


def _sleep_on(period: int, priority: int, errors: Any, count: Any, ended: Any) -> None:
    """The bare loop's process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started it
    become_real_time(priority)
    clock, parent = MonotonicClock(), os.getppid()
    due = before = clock.now()
    while not ended.is_set() and os.getppid() == parent:
        due += period
        clock.sleep_until(due)
        now = clock.now()
        errors[count.value % len(errors)] = abs(now - before - period) / MILLISECOND
        count.value += 1
        before = now


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
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
