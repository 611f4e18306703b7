"""What reaches the twin's process: commands, stops and requests, from blocks that come and go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vla_ros.clock import MILLISECOND
from vla_ros.shared import Block, BlockError
from vla_ros.twin import blocks

LOOK_PERIOD = 50 * MILLISECOND
"""How often to look for writers that came or left."""


class _Line:
    """The newest unread value of one writer."""

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self.path, self._dtype = path, dtype
        self._block: Block | None = None
        self._seen = 0

    def look(self) -> None:
        """Attach to a writer that came, let go of one that left."""
        if self._block is not None and self._block.replaced():
            self.close()
        if self._block is None:
            try:
                self._block, self._seen = Block.attach(self.path, self._dtype), 0
            except BlockError:
                return

    def take(self) -> Any:
        """The newest value if it was not taken yet, else None."""
        if self._block is None or self._block.sequence == self._seen:
            return None
        value = self._block.read()
        if value is None:
            return None
        self._seen = value[0]
        return value[1]

    def close(self) -> None:
        """Let go."""
        if self._block is not None:
            self._block.close()
        self._block = None


class Inbox:
    """All that may come in, in the folder `runtime`. What is older than `patience` ns does not count, but for a stop.

    A stop counts however long this process was held up, until a newer command has come.
    """

    def __init__(self, runtime: Path, patience: int) -> None:
        self.answered = 0
        self._runtime, self._patience = runtime, patience
        self._command = _Line(runtime / "arm_command", blocks.COMMAND)
        self._request = _Line(runtime / "twin_request", blocks.REQUEST)
        self._stops: dict[Path, _Line] = {}
        self._due = self._commanded = 0

    def command(self, now: int) -> Any:
        """A new command, as a record of blocks.COMMAND, or None."""
        self._look(now)
        value = self._recent(self._command, now)
        self._commanded = self._commanded if value is None else int(value["stamp"])
        return value

    def stopped(self, now: int) -> bool:
        """Whether a stop came in."""
        self._look(now)
        values = [line.take() for line in self._stops.values()]
        return any(value is not None and int(value["stamp"]) >= self._commanded for value in values)

    def reset(self, now: int) -> int | None:
        """The seed of an episode that is asked for, or None."""
        self._look(now)
        value = self._recent(self._request, now)
        if value is None or int(value["action"]) != blocks.RESET:
            return None
        self.answered = int(value["counter"])
        return int(value["seed"])

    def close(self) -> None:
        """Let go of every block."""
        for line in (self._command, self._request, *self._stops.values()):
            line.close()

    def _recent(self, line: _Line, now: int) -> Any:
        value = line.take()
        return value if value is not None and now - int(value["stamp"]) < self._patience else None

    def _look(self, now: int) -> None:
        if now < self._due:
            return
        self._due = now + LOOK_PERIOD
        for path in self._runtime.glob("arm_stop_*"):
            self._stops.setdefault(path, _Line(path, blocks.STOP))
        for line in (self._command, self._request, *self._stops.values()):
            line.look()
