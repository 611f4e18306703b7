"""Where a service runs: its ROS domain and its runtime folder, taken before it starts and left clean when it is over."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import socket
from pathlib import Path
from typing import IO

from vla_ros import bringup, runtime
from vla_ros.config import Config
from vla_ros.nodes import domain

_SHM = Path("/dev/shm")
_FAST_DDS = re.compile(r"fastrtps_(?:[0-9a-f]{16}|port\d+)")


class Place:
    """A claimed domain and a locked folder, with the files that the processes read. `config` is what they are started with."""

    def __init__(self, config: Config, wanted: int | None) -> None:
        """Take the domain `wanted`, or a free one, and the real arm. Raises RuntimeBusyError where another service is in the way."""
        sweep()
        self._held: socket.socket
        self.domain, self._held = domain.claim(wanted)
        os.environ["ROS_DOMAIN_ID"] = str(self.domain)
        self.runtime = runtime.folder(config)
        self._arm: socket.socket | None = None
        try:
            self._arm = domain.claim_arm(config)
            self._lock: IO[str] = runtime.lock(self.runtime)
        except runtime.RuntimeBusyError:
            self._let_go()
            raise
        _empty(self.runtime)
        self.config = bringup.prepare(config, self.runtime)

    def environment(self) -> dict[str, str]:
        """The environment of the service's processes."""
        variables = bringup.environment(os.environ)
        variables.setdefault("ROS_LOG_DIR", str(self.runtime / "log"))
        return variables

    def leave(self) -> None:
        """Remove the folder and what killed processes have left of shared memory; the domain is free again."""
        shutil.rmtree(self.runtime, ignore_errors=True)
        self._lock.close()
        sweep()
        self._let_go()

    def _let_go(self) -> None:
        self._held.close()
        if self._arm is not None:
            self._arm.close()


def wanted_domain() -> int | None:
    """The domain that the environment asks for; None where it leaves the choice."""
    given = os.environ.get("ROS_DOMAIN_ID")
    return int(given) if given else None


def sweep(folder: Path = _SHM) -> None:
    """Remove what killed processes have left: shared memory of Fast DDS, 32 MB each, and folders of services.

    A segment is in use while somebody holds its lock file, which the kernel knows across containers; a port also while a process
    maps it. A folder is in use while its domain is claimed.
    """
    mapped = _mapped()
    for path in folder.glob("fastrtps_*"):
        base = path.name.removesuffix("_el").removesuffix("_sl")
        locks = [folder / f"{base}{end}" for end in ("_el", "_sl") if (folder / f"{base}{end}").exists()]
        if _FAST_DDS.fullmatch(base) and all(map(_unlocked, locks)) and (locks or base not in mapped):
            _remove(folder / base, *locks, folder / f"sem.{base}_mutex")
    for path in folder.glob(f"vla_ros-{os.getuid()}-*"):
        number = path.name.rpartition("-")[2]
        if number.isdecimal() and domain.is_free(int(number)):
            shutil.rmtree(path, ignore_errors=True)


def _unlocked(lock: Path) -> bool:
    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _mapped() -> set[str]:
    """Names of the Fast DDS files that some process maps."""
    names: set[str] = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            names.update(_FAST_DDS.findall(maps.read_text(errors="replace")))
    return names


def _remove(*paths: Path) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()


def _empty(folder: Path) -> None:
    """Remove what a former service that was killed has left; the lock stays, since it is ours."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != "lock":
            path.unlink(missing_ok=True)
