"""What processes hold of the machine over time, and whether it grows: memory, file descriptors, threads, shared files."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vla_ros.geometry import Array

SHARED = Path("/dev/shm")
GROWTH = 3.0
"""MB by which the memory of a process may grow after its warm-up."""
HANDLES = 4
"""File descriptors and threads, each, by which a process may grow after its warm-up."""
_ENDS = 0.1
"""Share of the samples at each end whose medians are compared."""


@dataclass(frozen=True)
class Holding:
    """What a process holds: resident memory MB, open files, threads."""

    memory: float
    files: int
    threads: int


@dataclass(frozen=True)
class Growth:
    """How a process grew after its warm-up: memory by least squares (MB/h) and from end to end (MB), files and threads likewise."""

    slope: float
    memory: float
    files: int
    threads: int

    def bounded(self) -> bool:
        """Whether that is within the bounds."""
        return self.memory <= GROWTH and self.files <= HANDLES and self.threads <= HANDLES


def holding(pid: int) -> Holding:
    """What the process holds now (man 5 proc). Raises OSError where it is gone."""
    folder = Path(f"/proc/{pid}")
    pages = int((folder / "statm").read_text().split()[1])
    text = (folder / "status").read_text()
    found = re.search(r"^Threads:\s+(\d+)", text, re.MULTILINE)
    memory = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    return Holding(memory, len(os.listdir(folder / "fd")), int(found[1]) if found else 0)


def holdings(pids: Mapping[str, int]) -> dict[str, Holding]:
    """Of each process that is there."""
    held = {}
    for name, pid in pids.items():
        with contextlib.suppress(OSError):
            held[name] = holding(pid)
    return held


def growth(times: Array, held: Sequence[Holding], warm_up: float) -> Growth:
    """Growth over samples at `times` (n,) s, those before `warm_up` (s after the first) left out. Raises ValueError under three."""
    late = np.flatnonzero(times >= times[0] + warm_up) if len(times) else np.zeros(0, int)
    if len(late) < 3:
        raise ValueError(f"{len(late)} samples behind a warm-up of {warm_up:g} s: measure for longer")
    kept = [held[i] for i in late.tolist()]
    memory = np.array([h.memory for h in kept])
    slope = float(np.polyfit(times[late] / 3600, memory, 1)[0])
    files, threads = np.array([h.files for h in kept]), np.array([h.threads for h in kept])
    return Growth(slope, _rise(memory), round(_rise(files)), round(_rise(threads)))


def _rise(values: Array) -> float:
    """From the median of the first samples to that of the last."""
    count = max(1, round(len(values) * _ENDS))
    return float(np.median(values[-count:]) - np.median(values[:count]))


def shared_files(folder: Path = SHARED) -> set[str]:
    """Names of the files and folders in the shared memory."""
    return set(os.listdir(folder))


def used(pids: Mapping[str, int], folder: Path = SHARED) -> set[str]:
    """Names of the files and folders in the shared memory that these processes map or hold open."""
    return {name for pid in pids.values() for name in _used(pid, folder)}


def leaked(names: Iterable[str], folder: Path = SHARED) -> list[str]:
    """Which of these are still there although no living process maps them or holds them open."""
    left = {name for name in names if (folder / name).exists()}
    everybody = {path.name: int(path.name) for path in Path("/proc").glob("[0-9]*")} if left else {}
    return sorted(left - used(everybody, folder))


def alive(pids: Mapping[str, int]) -> list[str]:
    """The names of the processes that run."""
    return [name for name, pid in pids.items() if _state(pid) not in ("", "Z")]


def _state(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


def _used(pid: int, folder: Path) -> set[str]:
    """As `used`, of one process; empty where it is gone or another user's."""
    found: set[str] = set()
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines()
        found |= {path for line in lines if (path := line[line.find("/") :]).startswith(f"{folder}/")}
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                found.add(os.readlink(link))
    inside = (path.removeprefix(f"{folder}/") for path in found if path.startswith(f"{folder}/"))
    return {path.split("/")[0].removesuffix(" (deleted)") for path in inside}
