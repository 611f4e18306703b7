"""`vla-ros bench kortex`: the wire to the arm. Round trips, a stream of commands and feedback, how motion ends when the servo hangs.

The arm is the twin, met by Kortex on loopback through the vendor's SDK.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vla_ros.clock import MILLISECOND, SECOND, MonotonicClock
from vla_ros.commands import live as live_service
from vla_ros.commands.errors import CommandError

if TYPE_CHECKING:
    from rich.console import Console

    from vla_ros.arms.kortex import KortexArm
    from vla_ros.commands.measure import Bound, Figures
    from vla_ros.config import Config

ROUND_TRIP = 0.3
"""ms, median of calls one after the other."""
WATCHDOG = 150.0
"""ms from the servo's last breath until the controller commands no motion any more."""
TAKE_UP = 75.0
"""ms that may pass behind the connection's time-out: the controller looks every 25 ms, and brakes smoothly."""
CALLS, WARM_UP = 2000, 200
HANGS = 6
"""Times that the servo hangs, with the watchdog and without."""
SEED = 1_000_001
COMMANDED, MEASURED = 2e-5, 5e-4
"""m that the tool may still go, by command and as measured, where it stands."""
SETTLED = 100 * MILLISECOND
MOVING = 0.005
"""m/s from which on there was a motion to end."""
LOOK = 4 * MILLISECOND
"""Between two looks at what the controller commands: physics publishes as often."""
SWAY = 0.02
"""m/s, amplitude of the motion that is streamed."""


def add_kind(kinds: Any) -> None:
    """Add `kortex` to what `vla-ros bench` measures."""
    kortex = kinds.add_parser(
        "kortex", help="the wire to the arm: round trips, a stream, and how motion ends when the servo hangs"
    )
    kortex.add_argument("--seconds", type=float, default=60.0, help="of the stream; 0: none (default 60)")
    kortex.add_argument(
        "--hangs", type=int, default=HANGS, metavar="N", help=f"of the servo, in two ways; 0: none (default {HANGS})"
    )
    kortex.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    kortex.add_argument("--no-bounds", action="store_true", help="exit with 0 although a bound is not met")
    live_service.add_options(kortex)
    kortex.set_defaults(run=run_kortex)


def run_kortex(options: argparse.Namespace) -> int:
    """Measure, print, write. 0: every bound is met; 1: one is not."""
    from rich.console import Console

    from vla_ros.commands.bench_report import document, figure_table
    from vla_ros.commands.measure import Bound

    console = Console()
    options.arm = "kortex"
    config = live_service.configuration(options)
    figures: list[Figures] = []
    bounds: list[Bound] = []
    with _twin(config) as running:
        figures += round_trips(running)
        bounds += [Bound(f.name, f"{f.text}, p50", f.quantiles()[0], ROUND_TRIP, n=len(f.values)) for f in figures]
        if options.seconds > 0:
            figures += stream(console, running, options.seconds)
    if options.hangs > 0:
        found = hangs(console, options, config)
        figures += found
        limits = {"watchdog_commanded": WATCHDOG, "timeout_commanded": 1e3 * config.deadlines.connection + TAKE_UP}
        bounds += [
            Bound(f.name, f"{f.text}, largest", f.quantiles()[-1], limits[f.name], n=len(f.values))
            for f in found
            if f.name in limits
        ]
    console.print(figure_table(figures))
    for bound in bounds:
        console.print(f"[{'green' if bound.met else 'red'}]{bound.line()}[/]", highlight=False)
    live_service.write_json(options.json, document(figures, bounds, {}))
    return 0 if options.no_bounds or all(bound.met for bound in bounds) else 1


@contextlib.contextmanager
def _twin(config: Config) -> Iterator[Config]:
    """The twin's process alone, reachable by Kortex. Raises CommandError where it does not start."""
    import tempfile

    from vla_ros import bringup

    with tempfile.TemporaryDirectory(prefix="vla_ros-bench-", dir="/dev/shm") as folder:
        config = bringup.prepare(config, Path(folder))
        words = ["--runtime", folder, "--config", str(Path(folder) / bringup.CONFIG)]
        environment = bringup.environment(os.environ)
        process = subprocess.Popen([sys.executable, "-m", "vla_ros.twin.process", *words], env=environment)
        try:
            _await(lambda: (Path(folder) / "arm_feedback").exists() or process.poll() is not None)
            if process.poll() is not None:
                raise CommandError(f"the twin ended with status {process.returncode}: see what it says above")
            yield config
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(10)


def _await(done: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise CommandError(f"the twin is not there after {seconds:g} s")
        time.sleep(0.02)


def round_trips(config: Config) -> list[Figures]:
    """Calls one after the other, as fast as they are answered, over TCP and UDP."""
    from vla_ros.arms.kortex_operator import Operator
    from vla_ros.commands.measure import Figures

    with Operator(config) as operator:
        operator.open()
        operator.round_trips(WARM_UP)
        commands, feedback = operator.round_trips(CALLS)
    texts = ("round trip of a command, TCP", "round trip of feedback, UDP")
    names = ("round_trip_command", "round_trip_feedback")
    return [
        Figures(n, t, [1e3 * v for v in values])
        for n, t, values in zip(names, texts, (commands, feedback), strict=True)
    ]


def stream(console: Console, config: Config, seconds: float) -> list[Figures]:
    """The driver as the servo uses it, beside a bare loop of the same period."""
    from rich.progress import Progress

    from vla_ros.arms.kortex import KortexArm
    from vla_ros.commands.measure import BareLoop, Figures

    period, arm = round(SECOND / config.servo.rate), KortexArm(config)
    try:
        with (
            Progress(console=console, transient=True) as progress,
            BareLoop(period, config.servo.priority) as bare,
            _real_time(config.servo.priority),
        ):
            arm.open()
            bar = progress.add_task(f"streaming for {seconds:g} s", total=seconds)
            _streamed(arm, config, 2.0, lambda share: None)
            bare.forget()
            before = arm.counts
            errors, distances = _streamed(arm, config, seconds, lambda done: progress.update(bar, completed=done))
            bared = bare.errors()
        missed, dropped, sent = (b - a for a, b in zip(before, arm.counts, strict=True))
    finally:
        arm.close()
    asked = seconds * config.arm.feedback_rate
    late, bare_late = (sum(e > period / MILLISECOND for e in values) for values in (errors, bared))
    console.print(
        f"{sent} commands in {seconds:g} s, {dropped} of them dropped as late; {len(distances) + 1} states of {asked:.0f} asked "
        f"for, {missed} requests without an answer; periods missed by the loop {late}, by a bare loop {bare_late}",
        highlight=False,
    )
    return [
        Figures("loop_period_error", "the loop: error of the period", errors),
        Figures("bare_period_error", "bare loop beside it: error of the period", bared),
        Figures("feedback_distance", "from state to state", distances),
    ]


@contextlib.contextmanager
def _real_time(priority: int) -> Iterator[None]:
    """This thread, and those that it starts, have the servo's priority where that is permitted; the bare loop has it too."""
    from vla_ros.motion.servo import become_real_time

    become_real_time(priority)
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def _streamed(
    arm: KortexArm, config: Config, seconds: float, told: Callable[[float], None]
) -> tuple[list[float], list[float]]:
    """Errors of the loop's period and distances of the states, ms; the tool sways by a few mm."""
    from vla_ros.motion.outlet import Outlet

    clock, period = MonotonicClock(), round(SECOND / config.servo.rate)
    outlet, began = Outlet(config.arm.command_rate, period), clock.now()
    due = before = began
    errors: list[float] = []
    stamps: list[int] = []
    while due < began + seconds * SECOND:
        due += period
        clock.sleep_until(due)
        now = clock.now()
        errors.append(abs(now - before - period) / MILLISECOND)
        before = now
        state = arm.read(now)
        if state is None or state.fault:
            raise CommandError(f"the arm: {'no feedback' if state is None else state.fault}")
        if not stamps or state.stamp != stamps[-1]:
            stamps.append(state.stamp)
        if outlet.due(now):
            speed = SWAY * np.sin(2 * np.pi * 0.5 * (now - began) / SECOND)
            arm.send(now, np.array([0.0, 0.0, speed, 0.0, 0.0, 0.0]), 0.0)
        if len(errors) % 100 == 0:
            told((now - began) / SECOND)
    arm.send(clock.now(), np.zeros(6), 0.0)
    return errors, (np.diff(stamps) / MILLISECOND).tolist()


class Witness:
    """Looks over a session of its own where the controller commands the tool to be, until `close`."""

    def __init__(self, config: Config) -> None:
        from vla_ros.arms import kortex_sdk
        from vla_ros.arms.kortex_link import Link

        self._link, self._config = Link(kortex_sdk.load()), config
        self._link.open(config.arm, config.deadlines.connection, udp=True)
        self._seen: list[tuple[int, float, float, float]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def take(self) -> tuple[Any, Any]:
        """Stamps (n,) ns and positions (n, 3) m since the last take."""
        seen, self._seen = self._seen, []
        return np.array([s[0] for s in seen], np.int64), np.array([s[1:] for s in seen], np.float64).reshape(-1, 3)

    def close(self) -> None:
        """Stop looking."""
        self._ended.set()
        self._thread.join(1.0)
        self._link.close()

    def _run(self) -> None:
        clock, timeout = MonotonicClock(), self._config.arm.call_timeout
        while not self._ended.is_set():
            due = clock.now() + LOOK
            answer = self._link.call(self._link.cyclic.RefreshFeedback, timeout=timeout)
            if answer.ok:
                base = answer.value.base
                place = base.commanded_tool_pose_x, base.commanded_tool_pose_y, base.commanded_tool_pose_z
                self._seen.append((clock.now(), *place))
            clock.sleep_until(due)


@dataclass(frozen=True)
class Ending:
    """How a motion ended behind a cause, ms: until the controller commanded none, until the tool stood; its speed before, m/s."""

    commanded: float
    measured: float
    speed: float


def hangs(console: Console, options: argparse.Namespace, config: Config) -> list[Figures]:
    """The servo hangs in the middle of a pick: the watchdog stops the arm, or, where that hangs too, the arm itself does."""
    from rich.progress import Progress

    from vla_ros.commands import kills
    from vla_ros.commands.faults import horizon
    from vla_ros.commands.measure import Figures

    said = (lambda line: console.print(line, style="dim", markup=False)) if options.verbose else (lambda line: None)
    found: dict[str, list[Ending]] = {"watchdog": [], "timeout": []}
    with (
        Progress(console=console, transient=True) as progress,
        kills.stage(config, horizon(config.policy.bundle), said) as staged,
        contextlib.closing(Witness(config)) as witness,
    ):
        bar = progress.add_task("the servo hangs", total=2 * options.hangs)
        for number in range(options.hangs):
            for name, endings in found.items():
                ending = _hung(staged, witness, SEED + number, name == "timeout")
                endings += [ending] if ending else []
                progress.advance(bar)
    texts = {
        "watchdog": "servo hangs, the watchdog stops the arm",
        "timeout": "servo and watchdog hang, the arm's own time-out",
    }
    words = {"commanded": "the controller commands no motion", "measured": "the tool stands"}
    return [
        Figures(f"{name}_{what}", f"{text}: until {word}", [getattr(e, what) for e in found[name]])
        for name, text in texts.items()
        for what, word in words.items()
    ] + [Figures("hung_speed", "mm/s before that", [1e3 * e.speed for e in found["watchdog"] + found["timeout"]])]


def _hung(staged: Any, witness: Witness, seed: int, watchdog_too: bool) -> Ending | None:
    """One hang in the approach of a pick; None where the pick did not come so far."""
    from vla_ros.commands import kills
    from vla_ros.evaluation.proof import Phase

    pids = staged.live.service.pids()
    stopped = ["servo", *(["watchdog"] if watchdog_too else [])]
    witness.take()
    cause = kills.brought_to(staged, kills.Blow("servo", False, Phase.APPROACH), seed)
    if cause is None:
        return None
    if watchdog_too:
        os.kill(pids["watchdog"], signal.SIGSTOP)  # a tenth of a second before it would have acted
    staged.live.client.sleep(kills.HANGS)
    for name in reversed(stopped):
        os.kill(pids[name], signal.SIGCONT)
    staged.live.client.sleep(kills.AFTER)
    motion = staged.watcher.take().motion
    return ending(witness.take(), (motion.stamps, motion.positions), cause)


def ending(commanded: tuple[Any, Any], measured: tuple[Any, Any], cause: int) -> Ending | None:
    """How the motion ended that was under way at `cause` (ns), from stamps and positions; None where there was none or it went on."""
    speed = _speed(*commanded, cause)
    told, stood = rest(*commanded, cause, COMMANDED), rest(*measured, cause, MEASURED)
    if speed < MOVING or told is None or stood is None:
        return None
    return Ending((told - cause) / MILLISECOND, (stood - cause) / MILLISECOND, speed)


def rest(stamps: Any, positions: Any, cause: int, near: float) -> int | None:
    """When (ns) what moved at `cause` had come, for good, `near` (m) to where it ended; None where it never stood for SETTLED."""
    behind = stamps > cause
    stamps, positions = stamps[behind], positions[behind]
    for k in range(len(stamps)):
        window = (stamps >= stamps[k]) & (stamps <= stamps[k] + SETTLED)
        if stamps[-1] < stamps[k] + SETTLED:
            return None
        if float(np.linalg.norm(positions[window] - positions[k], axis=1).max()) <= near:
            return int(stamps[k])
    return None


def _speed(stamps: Any, positions: Any, cause: int) -> float:
    """m/s around a moment."""
    around = np.flatnonzero(np.abs(stamps - cause) <= 30 * MILLISECOND)
    if len(around) < 2:
        return 0.0
    first, last = around[0], around[-1]
    return float(np.linalg.norm(positions[last] - positions[first]) * SECOND / (stamps[last] - stamps[first]))
