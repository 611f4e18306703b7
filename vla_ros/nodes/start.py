"""Starts one process of a service: bound to the life of who started it, and not before what it needs is there.

    python -m vla_ros.nodes.start [--parent PID] [--needs FILE …] [--patience SECONDS] -- COMMAND …

The command takes this process's place, so signals and exit status are its own. When the parent dies, however that happens, the
kernel sends it SIGTERM (man 2 prctl, PR_SET_PDEATHSIG); a process that was started too late to notice leaves by itself.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Wait, then become the command. Returns 1 when something is missing, and not at all otherwise."""
    parser = argparse.ArgumentParser(description="start one process of a service")
    parser.add_argument("--parent", type=int, default=0, help="end when this process, which started this one, ends")
    parser.add_argument("--needs", type=Path, action="append", default=[], help="a file that must be there first")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds to wait for them")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args(argv)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if options.parent and not _bound_to(options.parent):
        return 1
    missing = _wait(options.needs, options.patience)
    if missing:
        sys.stderr.write(f"{missing} did not appear within {options.patience:.0f} s: what writes it does not run\n")
        return 1
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    return os.execvp(command[0], command)


def _bound_to(parent: int) -> bool:
    """Ask the kernel for SIGTERM at the parent's death; false when it is dead already."""
    ctypes.CDLL("libc.so.6", use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    return os.getppid() == parent


def _wait(files: Sequence[Path], patience: float) -> Path | None:
    """The first file that is still missing after `patience` s, or None."""
    deadline = time.monotonic() + patience
    for file in files:
        while not file.exists():
            if time.monotonic() > deadline:
                return file
            time.sleep(0.02)
    return None


if __name__ == "__main__":
    sys.exit(main())
