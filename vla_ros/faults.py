"""The vocabulary of broken sensors and actuators, and how it befalls a live stream (after dm_control's observables).

A stream is a sequence of values, each put in at its moment under a stamp; what is due is taken out later: as it was, late, broken,
or not at all. Moments, stamps and the bounds of faults are ns of one clock, which the caller reads.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Generic, TypeVar

import numpy as np

from vla_ros.clock import SECOND
from vla_ros.config.schema import FaultConfig

Value = TypeVar("Value")
Corrupt = Callable[[Value, np.random.Generator], Value]
"""How a value breaks."""
Repeat = Callable[[Value, Value], Value]
"""What a frozen stream gives: the value from before the freeze, in the place of the new one."""


class Kind(Enum):
    """What can go wrong with a stream."""

    DELAY = "delay"
    JITTER = "jitter"
    DROP = "drop"
    FREEZE = "freeze"
    CORRUPT = "corrupt"
    REORDER = "reorder"
    DISCONNECT = "disconnect"


LATE = (Kind.DELAY, Kind.JITTER)
SHARES = (Kind.DROP, Kind.CORRUPT, Kind.REORDER)
LONGEST_DELAY = 10.0
"""Most seconds of delay that may be asked for while running: what is late is kept in memory."""
FORM = 'KIND SECONDS [AMOUNT], as in "freeze 2" or "delay 2 0.1"'


@dataclass(frozen=True)
class Fault:
    """One fault, in force in [start, end) ns.

    `amount`: DELAY s added; JITTER s of uniform random delay; DROP, CORRUPT and REORDER the share 0 … 1 of values hit; unused by
    FREEZE (the value before `start` is repeated under new stamps) and DISCONNECT (nothing comes).
    """

    kind: Kind
    start: int
    end: int
    amount: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what means nothing. Raises ValueError."""
        if self.end <= self.start or not 0 <= self.amount < math.inf:
            raise ValueError(f"a fault needs end after start and a finite amount that is not negative, got {self}")
        if self.kind in SHARES and self.amount > 1:
            raise ValueError(f"the amount of {self.kind.value} is a share of at most 1, got {self.amount:g}")

    def covers(self, moment: int) -> bool:
        """Whether it is in force at `moment`."""
        return self.start <= moment < self.end


@dataclass(frozen=True)
class Order:
    """A fault that is asked for from now on: kind, how long (s), and `amount` as in Fault."""

    kind: Kind
    seconds: float
    amount: float = 0.0

    def at(self, now: int) -> Fault:
        """The fault when it begins at `now`. Raises ValueError for what means nothing."""
        return Fault(self.kind, now, now + round(self.seconds * SECOND), self.amount)


def parse_order(text: str) -> Order:
    """The order of a text "KIND SECONDS [AMOUNT]". Without an amount a share is 1: every value. Raises ValueError with a remedy."""
    words = text.split()
    if len(words) not in (2, 3):
        raise ValueError(f"a fault is written {FORM}; got {text!r}")
    kind = _kind(words[0])
    seconds = _number(words[1], "SECONDS")
    if seconds <= 0:
        raise ValueError(f"SECONDS must be more than 0, got {words[1]}")
    return Order(kind, seconds, _amount(kind, words[2:]))


def parse(text: str, now: int) -> Fault:
    """The fault of a text "KIND SECONDS [AMOUNT]" that begins at `now`. Raises ValueError with a remedy."""
    return parse_order(text).at(now)


def _kind(word: str) -> Kind:
    try:
        return Kind(word)
    except ValueError:
        raise ValueError(f"{word!r} is no fault: choose one of {', '.join(kind.value for kind in Kind)}") from None


def _number(word: str, name: str) -> float:
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a number, got {word!r}: {FORM}")
    return number


def _amount(kind: Kind, words: list[str]) -> float:
    if not words and kind in LATE:
        raise ValueError(f"{kind.value} needs an AMOUNT, the seconds by which things come late: {FORM}")
    amount = _number(words[0], "AMOUNT") if words else float(kind in SHARES)
    most = 1.0 if kind in SHARES else LONGEST_DELAY
    if not 0 <= amount <= most:
        raise ValueError(f"the AMOUNT of {kind.value} must be between 0 and {most:g}, got {words[0]}")
    return amount


def scheduled(entries: Mapping[str, FaultConfig], target: str, began: int) -> list[Fault]:
    """The faults that the configuration has for `target`; `began` is the start of its process, ns."""
    return [
        Order(Kind(entry.kind), entry.seconds, entry.amount).at(began + round(entry.after * SECOND))
        for entry in entries.values()
        if entry.target == target
    ]


@dataclass(frozen=True)
class _Item(Generic[Value]):
    due: int
    stamp: int
    value: Value


class FaultyStream(Generic[Value]):
    """Values on their way, and what befalls them. A fault counts for the values that are put in while it is in force.

    `corrupt` says how a value breaks (without it, CORRUPT does nothing), `repeat` how an old value looks in the place of a new one
    (without it: as it was). Faults befall a value in the order in which they were played. `play` may be called from any thread, the
    rest is for one.
    """

    def __init__(
        self,
        faults: Iterable[Fault] = (),
        corrupt: Corrupt[Value] | None = None,
        repeat: Repeat[Value] | None = None,
        seed: int = 0,
    ) -> None:
        self._asked: deque[Fault] = deque(faults)
        self._faults: list[Fault] = []
        self._corrupt, self._repeat = corrupt, repeat
        self._random = np.random.default_rng(seed)
        self._before: Value | None = None
        self._queue: list[tuple[int, int, int, Value]] = []  # due, order, stamp, value
        self._count = 0
        self._overtaken: tuple[int, _Item[Value]] | None = None
        self._newest: tuple[int, Value] | None = None

    def play(self, fault: Fault) -> None:
        """Add a fault."""
        self._asked.append(fault)

    def put(self, now: int, stamp: int, value: Value) -> None:
        """A value comes in at `now`."""
        if not self._faults and not self._asked:  # the usual case, kept cheap
            self._before = value
            self._push(now, stamp, value)
            return
        active = self._in_force(now)
        if all(fault.kind is not Kind.FREEZE for fault in active):
            self._before = value
        item: _Item[Value] | None = _Item(now, stamp, value)
        for fault in active:
            item = None if item is None else self._hit(fault, item)
        if item is not None:
            self._push(item.due, item.stamp, item.value)

    def take(self, now: int) -> list[tuple[int, Value]]:
        """What has become due by `now`: (stamp, value) in order of arrival; each comes out once."""
        if self._overtaken is not None and now >= self._overtaken[0]:
            self._let_through(now)
        taken = []
        while self._queue and self._queue[0][0] <= now:
            _, _, stamp, value = heapq.heappop(self._queue)
            taken.append((stamp, value))
        return taken

    def newest(self, now: int) -> tuple[int, Value] | None:
        """(stamp, value) of what arrived last by `now`; again and again the same while nothing comes. None before the first."""
        taken = self.take(now)
        if taken:
            self._newest = taken[-1]
        return self._newest

    def next_due(self) -> int | None:
        """When `take` will next have something, ns; None: when something is put in."""
        moments = [self._queue[0][0]] if self._queue else []
        if self._overtaken is not None:
            moments.append(self._overtaken[0])
        return min(moments, default=None)

    def clear(self) -> None:
        """Forget what is on its way; the faults stay."""
        self._queue.clear()
        self._overtaken = self._newest = None

    def _in_force(self, now: int) -> list[Fault]:
        while self._asked:
            self._faults.append(self._asked.popleft())
        self._faults = [fault for fault in self._faults if fault.end > now]
        return [fault for fault in self._faults if fault.covers(now)]

    def _hit(self, fault: Fault, item: _Item[Value]) -> _Item[Value] | None:
        """What a fault makes of a value; None: it does not come, or not yet."""
        if fault.kind is Kind.DELAY:
            return replace(item, due=item.due + round(fault.amount * SECOND))
        if fault.kind is Kind.JITTER:
            return replace(item, due=item.due + round(self._random.uniform(0, fault.amount) * SECOND))
        if fault.kind is Kind.FREEZE:
            return self._frozen(item)
        if fault.kind is Kind.DISCONNECT:
            return None
        if self._random.uniform() >= fault.amount:
            return item
        if fault.kind is Kind.REORDER:
            return self._hold_back(fault, item)
        return self._corrupted(item) if fault.kind is Kind.CORRUPT else None

    def _frozen(self, item: _Item[Value]) -> _Item[Value]:
        if self._before is None:  # frozen from the very first value on
            self._before = item.value
        return replace(item, value=self._repeat(self._before, item.value) if self._repeat else self._before)

    def _corrupted(self, item: _Item[Value]) -> _Item[Value]:
        return item if self._corrupt is None else replace(item, value=self._corrupt(item.value, self._random))

    def _hold_back(self, fault: Fault, item: _Item[Value]) -> _Item[Value] | None:
        """Let the next value overtake this one; it comes by itself when the fault ends."""
        if self._overtaken is not None:
            return item
        self._overtaken = fault.end, item
        return None

    def _push(self, due: int, stamp: int, value: Value) -> None:
        self._count += 1
        heapq.heappush(self._queue, (due, self._count, stamp, value))
        if self._overtaken is not None:
            self._let_through(due)

    def _let_through(self, due: int) -> None:
        """The value that was overtaken goes on its way, not before `due`."""
        assert self._overtaken is not None
        (_, item), self._overtaken = self._overtaken, None
        self._push(max(due, item.due), item.stamp, item.value)
