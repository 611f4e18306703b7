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
    try:
        return os.execvpe(command[0], command, _environment(command[0]))
    except OSError as error:
        sys.stderr.write(f"{command[0]!r} cannot be started ({error.strerror}): is it the `python` of a camera?\n")
        return 1


def _environment(program: str) -> dict[str, str]:
    """This one's; for a program of another installation, without the path by which the loader finds the ROS wheels of this one.

    Two installations of the same libraries would be mixed in its process. Wheels of its own set the path that they need.
    """
    variables = dict(os.environ)
    if program == sys.executable or "_ROS_WHEELS_BOOTSTRAP_COMPLETE" not in variables:
        return variables
    del variables["_ROS_WHEELS_BOOTSTRAP_COMPLETE"]
    own = os.path.join(sys.prefix, "")
    others = [path for path in variables.get("LD_LIBRARY_PATH", "").split(os.pathsep) if not path.startswith(own)]
    return variables | {"LD_LIBRARY_PATH": os.pathsep.join(others)}


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
