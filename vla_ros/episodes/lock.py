"""One writer at a time."""

from __future__ import annotations

import fcntl
from pathlib import Path

from vla_ros.episodes.layout import DatasetError


class Lock:
    """An advisory lock on a dataset, which the kernel takes back from a process that dies."""

    def __init__(self, scratch: Path) -> None:
        """Take the lock, a file in `scratch` of the dataset. Raises DatasetError if another has it."""
        scratch.mkdir(parents=True, exist_ok=True)
        self._file = (scratch / "lock").open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise DatasetError(f"{scratch.parent} is being written by another writer") from None

    def release(self) -> None:
        """Let others in."""
        self._file.close()
