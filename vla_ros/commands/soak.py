"""`vla-ros soak`: the live service under everything that may happen to it; nothing may grow, leak, die or pass a limit."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import signal
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vla_ros.clock import SECOND, MonotonicClock
from vla_ros.commands import live as live_service
from vla_ros.commands.errors import CommandError
from vla_ros.evaluation import resources
from vla_ros.evaluation.resources import Growth, Holding
from vla_ros.values import Mode

if TYPE_CHECKING:
    from vla_ros.commands.kills import Stage
    from vla_ros.evaluation.proof import Commands, Motion

WARM_UP = 180.0
"""Seconds at most after which memory must not grow any more; a third of a short soak."""
PAUSE = (0.5, 3.0)
"""Seconds between two things that happen."""
NONSENSE = (
    "colourless green ideas",
    "PICK UP",
    "\u00fc\u00f6\u00e4 \u2713",
    "now" * 40,
    "   ",
    "pick up the moon",
    "-- \"' ; DROP TABLE",
)
KINDS = {
    "static_camera": (
        "delay 0.4",
        "jitter 0.1",
        "drop 0.9",
        "drop 0.3",
        "freeze",
        "corrupt 1",
        "reorder 0.5",
        "disconnect",
    ),
    "arm feedback": ("delay 0.1", "jitter 0.03", "drop 0.5", "corrupt 0.3", "reorder 0.5", "disconnect"),
    "arm command": ("delay 0.02", "jitter 0.02", "reorder 0.3"),
    "policy": ("delay 0.4", "jitter 0.2", "drop 0.7", "freeze", "corrupt 0.5", "reorder 0.5", "disconnect"),
}
"""Faults by node and side, as kind and amount. Commands are late by no more than the governor reckons with, and feedback is never

frozen: what comes of worse is for `vla-ros faults` to show.
"""
_JUMP = 0.005
"""m from state to state of the twin beyond which it was put somewhere else: no motion."""


@dataclass
class Log:
    """What was seen: samples of what processes hold by time (s), names of the shared memory that they used, counts, violations."""

    times: list[float] = field(default_factory=list)
    held: dict[str, list[Holding]] = field(default_factory=dict)
    blocks: list[int] = field(default_factory=list)
    shared: list[int] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    verdicts: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    cycles: int = 0
    unseen: int = 0
    missed: int = 0
    enabled: int = 0
    distance: float = 0.0
    lately: deque[str] = field(default_factory=lambda: deque(maxlen=6))


@dataclass(frozen=True)
class Ending:
    """How a soak ended: growth by process, files left in shared memory, processes that outlived the service, and what was wrong."""

    growth: dict[str, Growth]
    leaked: tuple[str, ...]
    outlived: tuple[str, ...]
    wrong: tuple[str, ...]


def add_commands(subparsers: Any) -> None:
    """Add `soak` to the command line."""
    soak = subparsers.add_parser("soak", help="run the live service for long under everything that may happen to it")
    soak.add_argument("--minutes", type=float, required=True, metavar="N", help="how long")
    soak.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    soak.add_argument("--picture", type=Path, metavar="FILE", help="a PNG of the memory of each process over time")
    live_service.add_options(soak)
    soak.set_defaults(run=run_soak)


def run_soak(options: argparse.Namespace) -> int:
    """0: nothing grew, leaked, died or passed a limit, and the arm moved; 1: something did."""
    from rich.console import Console

    from vla_ros.commands.faults import horizon
    from vla_ros.commands.kills import stage

    console, log = Console(), Log()
    for path in filter(None, (options.json, options.picture)):
        path.parent.mkdir(parents=True, exist_ok=True)  # before the work, not after it
    config, seed = live_service.configuration(options), options.seed or 0
    died, pids = "", {}
    say = (lambda line: console.print(line, style="dim", markup=False, highlight=False)) if options.verbose else _mute
    with contextlib.ExitStack() as stack:
        staged = stack.enter_context(stage(config, horizon(config.policy.bundle), say))
        pids = staged.live.service.pids()
        try:
            _soak(console, staged, log, seed, options.minutes * 60)
        except KeyboardInterrupt:
            console.print("ended early")
        except Exception as error:
            if type(error).__name__ not in ("ProcessDiedError", "ServiceError", "WatchError"):
                raise
            died = str(error)
    ending = concluded(log, died, tuple(resources.leaked(log.used)), tuple(resources.alive(pids)))
    _report(console, log, ending)
    if options.picture:
        picture(log, options.picture)
    live_service.write_json(options.json, document(log, ending))
    return 1 if ending.wrong else 0


def _mute(line: str) -> None:
    pass


def _soak(console: Any, staged: Stage, log: Log, seed: int, seconds: float) -> None:
    """Let things happen, and look once a second."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    clock, life = MonotonicClock(), Life(staged, np.random.default_rng(seed), log.events)
    look = Look(staged, log, clock.now())
    until = clock.now() + round(seconds * SECOND)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("soak", total=seconds)
        while clock.now() < until:
            word = life.happen()
            log.lately.append(word)
            for _ in life.wait():
                if look.due(clock.now()):
                    look.take(clock.now())
            progress.update(bar, completed=seconds - (until - clock.now()) / SECOND, description=f"soak: {word}"[:50])
    look.take(clock.now())


class Life:
    """What people, faults and a busy machine do to a service, at random but from a seed."""

    def __init__(self, staged: Stage, random: np.random.Generator, events: Counter[str]) -> None:
        self._staged, self._client, self._random, self._events = staged, staged.live.client, random, events
        self._deeds: tuple[tuple[float, str, Callable[[], str]], ...] = (
            (4.0, "instruction", self._instruct),
            (1.0, "no instruction", lambda: self._say("")),
            (1.0, "nonsense", lambda: self._say(str(random.choice(NONSENSE)))),
            (2.0, "episode", self._reset),
            (3.0, "fault", self._break),
            (0.7, "stop", self._stop),
            (0.4, "disable", lambda: self._trigger("disable")),
            (2.0, "hang", self._hang),
        )

    def happen(self) -> str:
        """One thing happens; afterwards somebody mostly sees to it that the arm is enabled again. What it was, in words."""
        weights = np.array([weight for weight, _, _ in self._deeds])
        _, name, deed = self._deeds[int(self._random.choice(len(self._deeds), p=weights / weights.sum()))]
        self._events[name] += 1
        try:
            word = deed()
            if self._random.uniform() < 0.9:
                self._care()
        except CommandError as error:  # a busy machine answers late; who tries again is served
            self._events["not done"] += 1
            return str(error)
        return word

    def wait(self) -> Iterator[None]:
        """Until the next thing, in small steps."""
        clock = MonotonicClock()
        until = clock.now() + round(self._random.uniform(*PAUSE) * SECOND)
        while clock.now() < until:
            self._staged.live.service.check()
            self._client.sleep(0.1)
            yield

    def _instruct(self) -> str:
        """Ask for the cube of the episode under way, or for another."""
        from vla_ros.twin.tasks import sample

        own = bytes(self._staged.twin.task()["instruction"]).decode()
        return self._say(
            own if self._random.uniform() < 0.7 else sample(int(self._random.integers(1 << 20))).instruction
        )

    def _say(self, text: str) -> str:
        self._client.instruct(text)
        return f"say {text!r}"

    def _reset(self) -> str:
        from vla_ros.commands.episodes import set_up

        seed = int(self._random.integers(1 << 20))
        set_up(self._staged.live, self._staged.twin, seed)
        live_service.enable(self._client, 10.0)
        return self._instruct()

    def _break(self) -> str:
        from vla_ros.nodes.fault_parameter import ask

        side = str(self._random.choice(["static_camera", "wrist_camera", "arm feedback", "arm command", "policy"]))
        chosen = str(self._random.choice(KINDS[side.replace("wrist", "static")]))
        kind, _, amount = chosen.partition(" ")
        node, _, prefix = side.partition(" ")
        text = f"{prefix} {kind} {self._random.uniform(0.2, 2.0):.2f} {amount}".strip()
        reason = ask(self._client, node, text)
        if reason:
            raise CommandError(f"{node} refuses {text}: {reason}")
        return f"{node}: {text}"

    def _stop(self) -> str:
        word = self._trigger("stop")
        self._client.sleep(0.5)
        return word

    def _trigger(self, wish: str) -> str:
        self._client.trigger(f"/arm/{wish}")
        return wish

    def _hang(self) -> str:
        """A process gets no processor for a while."""
        name = str(self._random.choice(["static_camera", "wrist_camera", "policy", "arm"]))
        seconds = self._random.uniform(0.1, 0.4)
        pid = self._staged.live.service.pids()[name]
        os.kill(pid, signal.SIGSTOP)
        try:
            self._client.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)
        return f"{name} hangs for {seconds:.1f} s"

    def _care(self) -> None:
        """Enable what is not enabled; an arm that is pushed against something is taken away by hand, which is a new episode."""
        from vla_ros.commands.episodes import set_up

        if self._client.arm.values.get("mode") not in ("STOPPED", "DISARMED"):
            return
        try:
            live_service.enable(self._client, 4.0)
        except CommandError:
            self._events["freed by hand"] += 1
            set_up(self._staged.live, self._staged.twin, int(self._random.integers(1 << 20)))
            live_service.enable(self._client, 10.0)


class Look:
    """Once a second: what processes hold, and every cycle and state since the last look, held against the limits."""

    def __init__(self, staged: Stage, log: Log, now: int) -> None:
        self._staged, self._log, self._began, self._due = staged, log, now, now
        self._pids, self._config = staged.live.service.pids(), staged.live.service.config
        self._before: Commands | None = None
        self._passed: set[str] = set()  # limits that were passed at the last look: one passing counts once
        staged.watcher.take()

    def due(self, now: int) -> bool:
        """Whether a second is over."""
        return now >= self._due

    def take(self, now: int) -> None:
        """Look."""
        self._due = now + SECOND
        log, runtime = self._log, self._staged.live.service.runtime
        log.times.append((now - self._began) / SECOND)
        for name, held in resources.holdings(self._pids).items():
            log.held.setdefault(name, []).append(held)
        log.blocks.append(len(list(runtime.iterdir())))
        log.shared.append(len(resources.shared_files()))
        log.used |= resources.used(self._pids)
        self._judge()

    def _judge(self) -> None:
        from vla_ros.evaluation.proof import join_commands, violations

        seen, log = self._staged.watcher.take(), self._log
        log.missed = max(log.missed, seen.missed)
        log.distance += moved(seen.motion)
        told = seen.commands if self._before is None else join_commands([self._before, seen.commands])
        if not len(told):
            return
        known = 0 if self._before is None else len(self._before)
        count(log, told, known)
        found = violations(told, seen.motion, self._config)
        context = f"at {log.times[-1]:.0f} s in {' → '.join(runs(told))} behind {'; '.join(log.lately)}"
        log.violations += [f"{violation} {context}" for violation in found if violation.limit not in self._passed]
        self._passed = {violation.limit for violation in found}
        self._before = told.since(int(told.stamps[-3:][0]))  # acceleration and jerk need the cycles before


def count(log: Log, told: Commands, known: int) -> None:
    """Add cycles to the counts; the first `known` of them were counted before."""
    log.cycles += len(told) - known
    log.unseen += int((np.diff(told.cycles[max(0, known - 1) :]) - 1).clip(0).sum())
    log.verdicts.update(verdict.name for verdict in told.verdicts[known:])
    pairs = zip(told.modes[max(0, known - 1) :], told.modes[max(1, known) :], strict=False)
    log.enabled += sum(before is Mode.DISARMED and after is not Mode.DISARMED for before, after in pairs)


def runs(told: Commands) -> list[str]:
    """The modes with their verdicts, one after the other; ACTIVE has many verdicts, and counts as one."""
    words = (
        m.name if m is Mode.ACTIVE else f"{m.name} ({v.name})" for m, v in zip(told.modes, told.verdicts, strict=True)
    )
    return [word for word, _ in itertools.groupby(words)]


def moved(motion: Motion) -> float:
    """Metres that the tool moved, without the jumps of a new episode."""
    steps = np.linalg.norm(np.diff(motion.positions, axis=0), axis=1)
    return float(steps[steps < _JUMP].sum())


def concluded(log: Log, died: str, leaked: tuple[str, ...], outlived: tuple[str, ...]) -> Ending:
    """What was wrong with a soak."""
    warm_up = min(WARM_UP, (log.times[-1] if log.times else 0.0) / 3)
    grown: dict[str, Growth] = {}
    wrong = [died] if died else []
    for name, held in log.held.items():
        if len(held) == len(log.times) and len(held) > 10:
            grown[name] = resources.growth(np.array(log.times), held, warm_up)
    wrong += [f"{name} grows: {asdict(g)}" for name, g in grown.items() if not g.bounded()]
    wrong += [] if grown else ["too short to say whether anything grows"]
    wrong += [f"passed a limit: {text}" for text in dict.fromkeys(log.violations)]
    wrong += [f"left in shared memory: {name}" for name in leaked] + [
        f"{name} outlived the service" for name in outlived
    ]
    wrong += (
        ["blocks were left in the runtime folder"] if log.blocks and log.blocks[-1] > max(log.blocks[:10]) + 2 else []
    )
    wrong += [] if log.distance > 0.1 else ["the arm hardly moved: nothing was tried"]
    return Ending(grown, leaked, outlived, tuple(wrong))


def document(log: Log, ending: Ending) -> dict[str, Any]:
    """What `--json` writes."""
    from vla_ros.evaluation.wilson import machine

    n = len(log.times)
    figures: dict[str, float] = {f"{name}_rss_mb_per_hour": g.slope for name, g in ending.growth.items()}
    figures |= {f"{name}_rss_growth_mb": g.memory for name, g in ending.growth.items()}
    figures |= {"seconds": log.times[-1] if n else 0.0, "distance_m": log.distance, "enabled": log.enabled}
    figures |= {"cycles": log.cycles, "cycles_unseen": log.unseen, "periods_missed": log.missed}
    figures |= {"limits_passed": len(log.violations), "leaked": len(ending.leaked), "outlived": len(ending.outlived)}
    summary = {name: {"value": value, "low": value, "high": value, "n": n} for name, value in figures.items()}
    items = [{"kind": "verdict", "name": name, "count": c} for name, c in log.verdicts.most_common()]
    items += [{"kind": "event", "name": name, "count": c} for name, c in log.events.most_common()]
    items += [{"kind": "wrong", "name": text, "count": 1} for text in ending.wrong]
    return {"summary": summary, "items": items, "machine": machine()}


def _report(console: Any, log: Log, ending: Ending) -> None:
    """Tables of processes and counts, and what was wrong."""
    from rich.table import Table

    table = Table("process", "RSS, MB", "MB/h", "grown by, MB", "files", "threads", title="after the warm-up")
    for name, grown in ending.growth.items():
        last = log.held[name][-1]
        cells = (
            f"{last.memory:.0f}",
            f"{grown.slope:+.1f}",
            f"{grown.memory:+.1f}",
            str(last.files),
            str(last.threads),
        )
        table.add_row(name, *cells)
    verdicts = Table("verdict", "cycles", box=None)
    for name, cycles in log.verdicts.most_common():
        verdicts.add_row(name, str(cycles))
    console.print(table, verdicts)
    console.print(f"happened: {', '.join(f'{name} {c}' for name, c in log.events.most_common())}", highlight=False)
    console.print(
        f"enabled {log.enabled} times, moved {log.distance:.1f} m in {log.cycles} cycles, {log.missed} periods missed"
    )
    for text in ending.wrong or ("nothing grew, leaked or passed a limit",):
        console.print(text, style="red" if ending.wrong else "green", markup=False, highlight=False)


def picture(log: Log, path: Path) -> None:
    """The memory of each process over time, as a PNG."""
    from vla_ros.evaluation.chart import Curve, Panel, draw

    def panel(name: str, held: list[Holding]) -> Panel:
        values = np.array([h.memory for h in held])
        title = f"{name}: {values.min():.0f} to {values.max():.0f} MB in {log.times[-1] / 60:.1f} min"
        return Panel(title, [Curve(np.array(log.times[: len(held)]), values, line=True)])

    draw([panel(name, held) for name, held in log.held.items()], path)
