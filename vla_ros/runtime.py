"""What the processes of one service have in common: the folder of its shared blocks, and how they are told to end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from pathlib import Path
from types import FrameType
from typing import IO

from vla_ros.config.schema import Config


class RuntimeBusyError(Exception):
    """Another service already runs in this folder or ROS domain. The text says which and what to do."""


def folder(config: Config) -> Path:
    """The folder of the shared blocks: `config.runtime`, or one for this user and ROS domain under /dev/shm."""
    if config.runtime:
        return Path(config.runtime)
    domain = os.environ.get("ROS_DOMAIN_ID") or "0"
    return Path("/dev/shm") / f"vla_ros-{os.getuid()}-{domain}"


def lock(path: Path) -> IO[str]:
    """Hold the folder for this service until the returned file is closed or the process dies.

    Raises RuntimeBusyError when another service holds it.
    """
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = (path / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise RuntimeBusyError(
            f"a vla_ros service already runs in {path}: stop it, or choose another ROS_DOMAIN_ID for this one"
        ) from None
    return file


def run_ahead(priority: int) -> bool:
    """Put all threads of this process, and those that they start, under SCHED_FIFO at `priority`, 1 at least, if that is permitted."""
    try:
        for thread in os.listdir("/proc/self/task"):
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.sched_setscheduler(int(thread), os.SCHED_FIFO, os.sched_param(max(1, priority)))
    except OSError:
        return False
    return True


class Stopping:
    """Becomes `asked` on SIGINT or SIGTERM."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True
