"""The episodes of the dataset that is being recorded: asked of a process of its own, one question at a time, and remembered."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PATIENCE = 60.0
"""s that a look at the disk may take."""
MOST = 50
"""Episodes that are told, the newest."""
SHEETS = 32
"""Contact sheets that are kept."""
WAITING = 4
"""Questions that may wait; another is refused."""


class ShelfError(Exception):
    """Why the episodes cannot be told. `busy`: they can be asked for again in a moment."""

    def __init__(self, text: str, busy: bool = False) -> None:
        super().__init__(text)
        self.busy = busy


class Shelf:
    """Belongs to one event loop. Episodes are committed once and never change, so each is looked at once."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._root, self._inode = "", 0
        self._cards: list[dict[str, Any]] = []
        self._sheets: dict[int, bytes] = {}

    async def episodes(self, root: str) -> list[dict[str, Any]]:
        """The newest MOST episodes, oldest first. Raises ShelfError."""
        async with self._one(root):
            first = self._cards[-1]["index"] + 1 if self._cards else 0
            told = await _asked("list", root, str(first), str(MOST))
            self._cards = [*self._cards, *json.loads(told)][-MOST:]
            return self._cards

    async def sheet(self, root: str, episode: int) -> bytes:
        """Frames over an episode, as JPEG. Raises ShelfError."""
        async with self._one(root):
            if episode not in self._sheets:
                self._sheets[episode] = await _asked("sheet", root, str(episode))
                while len(self._sheets) > SHEETS:
                    del self._sheets[next(iter(self._sheets))]
            return self._sheets[episode]

    def _one(self, root: str) -> _Turn:
        return _Turn(self, self._turn, root)

    def _look(self, root: str) -> None:
        """Forget what is known where another dataset is meant, or one that was made anew in its place."""
        try:
            inode = Path(root).stat().st_ino
        except OSError as error:
            raise ShelfError(f"the dataset {root} cannot be read: {error.strerror}") from None
        if (root, inode) != (self._root, self._inode):
            self._root, self._inode, self._cards, self._sheets = root, inode, [], {}


class _Turn:
    """One question's turn. Raises ShelfError where too many wait."""

    def __init__(self, shelf: Shelf, turn: asyncio.Lock, root: str) -> None:
        self._shelf, self._turn, self._root = shelf, turn, root

    async def __aenter__(self) -> None:
        if self._shelf._waiting >= WAITING:
            raise ShelfError("too many ask for episodes: wait a moment", busy=True)
        self._shelf._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._shelf._waiting -= 1
        try:
            self._shelf._look(self._root)
        except ShelfError:
            self._turn.release()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._turn.release()


async def _asked(*words: str) -> bytes:
    """What the worker answers. Raises ShelfError with its own words."""
    command = [sys.executable, "-m", "vla_ros.nodes.start", "--parent", str(os.getpid()), "--"]
    command += [sys.executable, "-m", "vla_ros.dashboard.shelf_worker", *words]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=_environment(os.environ)
    )
    try:
        answer, complaint = await asyncio.wait_for(process.communicate(), PATIENCE)
    except (TimeoutError, asyncio.TimeoutError):
        raise ShelfError(f"the dataset could not be read within {PATIENCE:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        said = complaint.decode(errors="replace").strip().splitlines()
        raise ShelfError(_remedy(said[-1] if said else f"the reader ended with {process.returncode}"))
    return answer


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """One thread for what computes: the arm has the other processors."""
    return dict(given) | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _remedy(said: str) -> str:
    return f"{said}: pip install 'vla_ros[record]'" if said.startswith("ModuleNotFoundError") else said
