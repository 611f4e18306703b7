"""What the watchdog says of itself, and what the servo makes of it: nobody is to be moved whom nobody could stop."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vla_ros.clock import SECOND
from vla_ros.shared import Block, BlockError

BLOCK = "watchdog_status"
"""Its name in the runtime folder."""
GUARD = np.dtype([("stamp", "i8"), ("trouble", "S512")])
"""When the watchdog last looked (ns), and why its Stop would not reach the arm; empty: it would."""
SILENT = SECOND
"""ns without a look after which the watchdog counts as silent."""


class Notice:
    """The watchdog's side."""

    def __init__(self, runtime: Path) -> None:
        self._block = Block.create(runtime / BLOCK, GUARD)

    def tell(self, now: int, trouble: str) -> None:
        """At every look."""
        record = np.zeros(1, GUARD)
        record["stamp"], record["trouble"] = now, trouble.encode()[:512]
        self._block.write(record[0])

    def close(self) -> None:
        """Take the block away."""
        self._block.close(unlink=True)


def obstacle(runtime: Path, now: int) -> str:
    """Why the arm may not be enabled by the watchdog's own word; empty: it may, or no watchdog has ever been here."""
    try:
        block = Block.attach(runtime / BLOCK, GUARD)
    except BlockError:
        return ""
    try:
        got = block.read()
    finally:
        block.close()
    if got is None or now - int(got[1]["stamp"]) > SILENT:
        return "the watchdog is silent: nobody would stop the arm if the servo hung"
    trouble = got[1]["trouble"].decode(errors="replace")
    return f"the watchdog cannot stop the arm: {trouble}" if trouble else ""
