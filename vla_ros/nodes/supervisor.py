"""Starts the processes of a service, watches them, and takes them down: in every case, and in the right order."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vla_ros.bringup import Process

GRACE = 5.0
"""Seconds from SIGINT to SIGKILL."""
WATCHDOG = 0.3
"""Seconds that the watchdog is left alone with the arm after the servo has died: its deadline, and time to act."""
_LINES = 60


class ProcessDiedError(Exception):
    """A process of the service ended by itself. The text names it, how it ended, and the last it said."""


@dataclass
class Child:
    """A started process and what it said last."""

    process: Process
    popen: subprocess.Popen[str]
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LINES))
    reader: threading.Thread | None = None


class Supervisor:
    """Processes in groups of their own, which hear no Ctrl-C but this one's SIGINT, and which die when this process does.

    `start` must be called by the main thread: the kernel counts the thread that starts a process as its parent.
    """

    def __init__(
        self, runtime: Path, environment: Mapping[str, str], say: Callable[[str], None] = lambda line: None
    ) -> None:
        self._runtime, self._environment, self._say = runtime, dict(environment), say
        self.children: dict[str, Child] = {}

    def start(self, processes: Iterable[Process]) -> None:
        """Start them all; those that need others wait by themselves."""
        for process in processes:
            popen = subprocess.Popen(
                process.command(self._runtime, os.getpid()),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            child = self.children[process.name] = Child(process, popen)
            child.reader = threading.Thread(target=self._read, args=(child,), daemon=True)
            child.reader.start()

    def check(self) -> None:
        """Raises ProcessDiedError when a critical process has ended."""
        for child in self.children.values():
            status = child.popen.poll()
            if status is not None and child.process.critical:
                raise ProcessDiedError(_obituary(child, status))

    def fallen(self) -> list[str]:
        """Those that ended without the service ending for it, each with its last words."""
        ended = [(child, child.popen.poll()) for child in self.children.values() if not child.process.critical]
        return [_obituary(child, status) for child, status in ended if status is not None]

    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        return {name: child.popen.pid for name, child in self.children.items()}

    def stop(self) -> None:
        """End every process, stage by stage, so that the servo brings the arm to rest while the rest is still there."""
        running = [c for c in self.children.values() if c.popen.poll() is None]
        if any(c.process.stage == 0 and c.popen.poll() is not None for c in self.children.values()):
            time.sleep(WATCHDOG)
        for stage in sorted({child.process.stage for child in running}):
            group = [child for child in running if child.process.stage == stage]
            for child in group:
                child.popen.send_signal(signal.SIGINT)
            _await(group, GRACE)
        for child in self.children.values():
            _kill(child)

    def _read(self, child: Child) -> None:
        assert child.popen.stdout is not None
        for line in child.popen.stdout:
            child.lines.append(line.rstrip("\n"))
            self._say(f"{child.process.name}: {line.rstrip()}")


def _await(group: Iterable[Child], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    for child in group:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.popen.wait(max(0.0, deadline - time.monotonic()))


def _kill(child: Child) -> None:
    """SIGKILL to the process and to whatever it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.popen.pid, signal.SIGKILL)
    child.popen.wait()
    if child.reader is not None:
        child.reader.join(1.0)
    if child.popen.stdout is not None:
        child.popen.stdout.close()


def _obituary(child: Child, status: int) -> str:
    how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    if child.reader is not None:
        child.reader.join(0.5)
    last = "".join(f"\n  {line}" for line in list(child.lines)[-12:])
    return f"{child.process.name} {how}; its last words:{last}" if last else f"{child.process.name} {how}"
