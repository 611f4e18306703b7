"""Watches a running service from a process of its own: every cycle of the servo, every state of the arm, every Stop of the watchdog.

It only reads the shared blocks, so that what is measured does not know of it.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from vla_ros.clock import MILLISECOND, MonotonicClock
from vla_ros.evaluation.proof import Commands, Motion, join_commands, join_motions
from vla_ros.motion import blocks
from vla_ros.motion.servo import become_real_time
from vla_ros.shared import Block, BlockError
from vla_ros.twin import blocks as twin_blocks
from vla_ros.values import Mode, Verdict

LOOK = 2 * MILLISECOND
"""Between two looks: half of the twin's 4 ms, a fifth of the servo's period."""
ATTACH = 50 * MILLISECOND
"""How often to look for blocks that came or were made anew."""
PATIENCE = 30.0
"""Seconds in which the watching process answers."""


class WatchError(Exception):
    """The watching process is gone or does not answer."""


@dataclass(frozen=True)
class Seen:
    """What was seen since the last take: `stops` are the moments (ns) of the watchdog's Stops, `missed` the servo's periods that it

    has skipped since it began, `blind` the longest time (ns) between two looks.
    """

    commands: Commands
    motion: Motion
    stops: tuple[int, ...]
    missed: int
    blind: int


class Watcher:
    """Watches the blocks of the folder `runtime` from now until `close`, with `priority` (SCHED_FIFO) where that is permitted."""

    def __init__(self, runtime: Path, priority: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_watch, args=(theirs, runtime, priority), daemon=True)
        self._process.start()
        theirs.close()
        self._ask("begin")

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid or 0

    def take(self) -> Seen:
        """What was seen since the last take. Raises WatchError."""
        seen: Seen = self._ask("take")
        return seen

    def close(self) -> None:
        """End the process."""
        self._pipe.close()  # it ends when nobody listens
        self._process.join(PATIENCE)

    def _ask(self, word: str) -> Any:
        try:
            self._pipe.send(word)
            if self._pipe.poll(PATIENCE):
                return self._pipe.recv()
        except (EOFError, OSError):
            raise WatchError("the watching process has ended") from None
        raise WatchError(f"the watching process does not answer for {PATIENCE:g} s")


def joined(parts: list[Seen]) -> Seen:
    """Several takes as one."""
    return Seen(
        join_commands([p.commands for p in parts]),
        join_motions([p.motion for p in parts]),
        tuple(stop for p in parts for stop in p.stops),
        parts[-1].missed,
        max(p.blind for p in parts),
    )


def _watch(pipe: Connection, runtime: Path, priority: int) -> None:
    """Look until nobody listens any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who listens decides when it is over
    become_real_time(priority)
    clock, eyes, blind = MonotonicClock(), _Eyes(runtime), 0
    last = clock.now()
    while True:
        clock.sleep_until(last + LOOK)
        now = clock.now()
        blind, last = max(blind, now - last), now
        eyes.look(now)
        try:
            if pipe.poll():
                pipe.send(eyes.take(blind) if pipe.recv() == "take" else None)
                blind = 0
        except (EOFError, OSError):
            return


class _Eyes:
    """The three blocks and what was read from them."""

    def __init__(self, runtime: Path) -> None:
        self._status = _Line(runtime / "servo_status", blocks.STATUS, _cycle)
        self._feedback = _Line(runtime / "arm_feedback", twin_blocks.FEEDBACK, _state)
        self._stops = _Line(runtime / "arm_stop_watchdog", twin_blocks.STOP, lambda value: int(value["stamp"]))

    def look(self, now: int) -> None:
        for line in (self._status, self._feedback, self._stops):
            line.look(now)

    def take(self, blind: int) -> Seen:
        cycles, states, stops = self._status.take(), self._feedback.take(), self._stops.take()
        missed = int(cycles[-1][5]) if cycles else 0
        return Seen(_commands(cycles), _motion(states), tuple(stops), missed, blind)


class _Line:
    """Every value of one block, as far as looks come often enough; `pick` says what of it is kept."""

    def __init__(self, path: Path, dtype: np.dtype[Any], pick: Callable[[Any], Any]) -> None:
        self._path, self._dtype, self._pick = path, dtype, pick
        self._block: Block | None = None
        self._sequence, self._due = 0, 0
        self._kept: list[Any] = []

    def look(self, now: int) -> None:
        if now >= self._due:
            self._due = now + ATTACH
            self._attach()
        if self._block is None or self._block.sequence == self._sequence:
            return
        got = self._block.read()
        if got is not None:
            self._sequence = got[0]
            self._kept.append(self._pick(got[1]))

    def take(self) -> list[Any]:
        kept, self._kept = self._kept, []
        return kept

    def _attach(self) -> None:
        if self._block is not None and not self._block.replaced():
            return
        if self._block is not None:
            self._block.close()
        try:
            self._block, self._sequence = Block.attach(self._path, self._dtype), 0
        except BlockError:
            self._block = None


def _cycle(status: Any) -> tuple[Any, ...]:
    words = bytes(status["mode"]), bytes(status["verdict"])
    return int(status["beat"]), int(status["cycles"]), *words, status["twist"].copy(), int(status["missed"])


def _state(feedback: Any) -> tuple[Any, ...]:
    names = ("joints", "velocities", "position", "quaternion")
    force = float(np.linalg.norm(feedback["force"]))
    return int(feedback["stamp"]), *(feedback[name].copy() for name in names), force


def _commands(cycles: list[tuple[Any, ...]]) -> Commands:
    return Commands(
        np.array([c[0] for c in cycles], np.int64),
        np.array([c[4] for c in cycles], float).reshape(-1, 6),
        np.array([c[1] for c in cycles], np.int64),
        tuple(Mode[c[2].decode()] for c in cycles),
        tuple(Verdict[c[3].decode()] for c in cycles),
    )


def _motion(states: list[tuple[Any, ...]]) -> Motion:
    widths = (7, 7, 3, 4)
    columns = [np.array([s[k + 1] for s in states], float).reshape(-1, width) for k, width in enumerate(widths)]
    joints, velocities, positions, quaternions = columns
    forces = np.array([s[5] for s in states], float)
    return Motion(np.array([s[0] for s in states], np.int64), joints, velocities, positions, quaternions, forces)
