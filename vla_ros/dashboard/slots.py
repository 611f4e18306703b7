"""What passes between the thread that hears the robot and the one that serves the page: newest values and short journals."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from vla_ros.geometry import Pose
from vla_ros.values import ActionChunk, Image

T = TypeVar("T")


@dataclass(frozen=True)
class Report:
    """The newest status of a part of the service: level 0 ok, 1 warning, 2 error; heard at `moment` (ns, monotonic)."""

    level: int
    message: str
    values: dict[str, str]
    moment: int


@dataclass(frozen=True)
class Picture:
    """One RGB image (H, W, 3) uint8, its exposure in ns of Unix time, and when it was heard (ns, monotonic)."""

    image: Image
    exposure: int
    moment: int


@dataclass(frozen=True)
class Motion:
    """The tool in the base frame, joints (7,) rad, gripper 0 open … 1 closed; heard at `moment` (ns, monotonic)."""

    tool: Pose
    joints: tuple[float, ...]
    gripper: float
    moment: int


@dataclass(frozen=True)
class Command:
    """The twist that the servo sent: speed m/s, turning rad/s; heard at `moment` (ns, monotonic)."""

    speed: float
    turn: float
    moment: int


class Slot(Generic[T]):
    """One value, the newest; `put` in one thread, `get` in another. Listeners are called in the thread that puts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._value: T | None = None
        self._count = 0
        self._listeners: list[Callable[[], None]] = []

    def put(self, value: T) -> None:
        """Replace the value and tell who listens."""
        with self._lock:
            self._value = value
            self._count += 1
            listeners = list(self._listeners)
        for listener in listeners:
            listener()

    def get(self) -> T | None:
        """The newest value; None before the first."""
        return self._value

    def numbered(self) -> tuple[int, T | None]:
        """How many values came, and the newest."""
        with self._lock:
            return self._count, self._value

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Have it called after every value; returns what ends that."""
        with self._lock:
            self._listeners.append(listener)
        return lambda: self._leave(listener)

    @property
    def listened(self) -> bool:
        """Whether somebody listens."""
        return bool(self._listeners)

    def _leave(self, listener: Callable[[], None]) -> None:
        with self._lock:
            self._listeners.remove(listener)


@dataclass(frozen=True)
class Entry:
    """One line of a journal: its number from 1, when (ns of Unix time), what about, and the words."""

    number: int
    stamp: int
    topic: str
    level: int
    text: str


class Journal:
    """The last `length` entries, numbered; written and read by any thread."""

    def __init__(self, length: int = 500) -> None:
        self._lock = threading.Lock()
        self._entries: deque[Entry] = deque(maxlen=length)
        self._count = 0

    def write(self, stamp: int, topic: str, text: str, level: int = 0) -> None:
        """Add an entry; a text is cut at 500 characters."""
        with self._lock:
            self._count += 1
            self._entries.append(Entry(self._count, stamp, topic, level, text[:500]))

    def since(self, number: int, most: int = 200) -> list[Entry]:
        """Entries with larger numbers, the newest `most` of them, oldest first."""
        with self._lock:
            if self._count <= number:
                return []
            return [entry for entry in self._entries if entry.number > number][-most:]


@dataclass
class Board:
    """Everything that the dashboard knows of the robot. For each camera: its `pictures`, and what its node says in `cameras`."""

    pictures: dict[str, Slot[Picture]]
    cameras: dict[str, Slot[Report]]
    arm: Slot[Report] = field(default_factory=Slot)
    policy: Slot[Report] = field(default_factory=Slot)
    recorder: Slot[Report] = field(default_factory=Slot)
    latency: Slot[dict[str, float]] = field(default_factory=Slot)
    motion: Slot[Motion] = field(default_factory=Slot)
    command: Slot[Command] = field(default_factory=Slot)
    chunk: Slot[ActionChunk] = field(default_factory=Slot)
    verdicts: Journal = field(default_factory=Journal)
    log: Journal = field(default_factory=Journal)

    @classmethod
    def of(cls, cameras: Iterable[str]) -> Board:
        """An empty one."""
        names = list(cameras)
        return cls({name: Slot() for name in names}, {name: Slot() for name in names})

    def journals(self) -> dict[str, Journal]:
        """What is sent line by line, by name."""
        return {"verdicts": self.verdicts, "log": self.log}


def age_ms(moment: int | None, now: int) -> float | None:
    """Milliseconds since a moment; None where there was none."""
    return None if moment is None else (now - moment) / 1e6


def values_of(slot: Slot[Any]) -> dict[str, str]:
    """The values of the report in a slot, empty before the first."""
    report = slot.get()
    return {} if report is None else dict(report.values)
