"""A twin's process for tests: started, waited for, ended by its own signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def process(runtime: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m vla_ros.twin.process` in `runtime`, publishing."""
    command = [sys.executable, "-m", "vla_ros.twin.process", "--runtime", str(runtime), *options]
    child = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        wait_for(lambda: child.poll() is not None or (runtime / "twin_task").exists())
        assert child.poll() is None, "the twin ended at once"
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
        child.wait(20)


def wait_for(condition: Callable[[], bool], patience: float = 30.0) -> None:
    """Wait until it holds; the patience is for a loaded machine and never measured."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
