"""The vocabulary of broken sensors and actuators, applied to a stream (after dm_control's observables).

A stream is a sequence of (stamp ns, value); what arrives is a sequence of (arrival ns, stamp ns, value) in
order of arrival.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

import numpy as np

Value = TypeVar("Value")


class Kind(Enum):
    """What can go wrong with a stream."""

    DELAY = "delay"
    JITTER = "jitter"
    DROP = "drop"
    FREEZE = "freeze"
    CORRUPT = "corrupt"
    REORDER = "reorder"
    DISCONNECT = "disconnect"


@dataclass(frozen=True)
class Fault:
    """One fault, in force for stamps in [start, end) ns.

    `amount`: DELAY s added; JITTER s of uniform random delay; DROP, CORRUPT and REORDER the share 0 … 1 of
    items hit; unused by FREEZE (the value before `start` is repeated under new stamps) and DISCONNECT.
    """

    kind: Kind
    start: int
    end: int
    amount: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what means nothing. Raises ValueError."""
        if self.end <= self.start or self.amount < 0:
            raise ValueError(f"a fault needs end after start and no negative amount, got {self}")
        if self.kind in (Kind.DROP, Kind.CORRUPT, Kind.REORDER) and self.amount > 1:
            raise ValueError(f"the amount of {self.kind.value} is a share of at most 1, got {self.amount}")

    def covers(self, stamp: int) -> bool:
        """Whether it is in force at `stamp`."""
        return self.start <= stamp < self.end


Item = tuple[int, int, Value]


def apply(
    stream: Iterable[tuple[int, Value]],
    faults: Iterable[Fault],
    seed: int = 0,
    corrupt: Callable[[Value, np.random.Generator], Value] | None = None,
) -> list[Item[Value]]:
    """What arrives of `stream`, as (arrival, stamp, value). `corrupt` says how a value breaks."""
    random = np.random.default_rng(seed)
    items: list[Item[Value]] = [(stamp, stamp, value) for stamp, value in stream]
    for fault in faults:
        items = _applied(items, fault, random, corrupt)
    return sorted(items, key=lambda item: item[0])


def _applied(
    items: list[Item[Value]],
    fault: Fault,
    random: np.random.Generator,
    corrupt: Callable[[Value, np.random.Generator], Value] | None,
) -> list[Item[Value]]:
    if fault.kind is Kind.REORDER:
        return _reordered(items, fault, random)
    kept: list[Item[Value]] = []
    last: Value | None = None
    for arrival, stamp, value in items:
        if not fault.covers(stamp):
            last = value
            kept.append((arrival, stamp, value))
        elif fault.kind is Kind.DELAY:
            kept.append((arrival + round(fault.amount * 1e9), stamp, value))
        elif fault.kind is Kind.JITTER:
            kept.append((arrival + round(random.uniform(0, fault.amount) * 1e9), stamp, value))
        elif fault.kind is Kind.FREEZE:
            kept.append((arrival, stamp, value if last is None else last))
            last = kept[-1][2]
        elif fault.kind is Kind.DROP and random.uniform() >= fault.amount:
            kept.append((arrival, stamp, value))
        elif fault.kind is Kind.CORRUPT:
            broken = corrupt is not None and random.uniform() < fault.amount
            kept.append((arrival, stamp, corrupt(value, random) if corrupt and broken else value))
    return kept


def _reordered(items: list[Item[Value]], fault: Fault, random: np.random.Generator) -> list[Item[Value]]:
    """Some neighbours change places: each arrives at the other's moment."""
    items = list(items)
    for i in range(len(items) - 1):
        (first, stamp, value), (second, next_stamp, next_value) = items[i], items[i + 1]
        if fault.covers(stamp) and fault.covers(next_stamp) and random.uniform() < fault.amount:
            items[i], items[i + 1] = (first, next_stamp, next_value), (second, stamp, value)
    return items
