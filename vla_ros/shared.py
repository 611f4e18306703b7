"""Latest-value blocks between processes: one writer, any number of readers, one mmap'd file with a sequence counter.

A plain file and not `multiprocessing.shared_memory`, which unlinks a block when a reader dies. A block holds the newest value of
one numpy dtype, in PLACES by turns: the writer fills the one behind the newest, and then counts on. So a reader gets a whole value
whatever happens to the writer, which may be stopped, killed or kept waiting in the middle of a write; a copy that took so long that
the writer may have come round is made again.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MAGIC = b"VLA2"
_HEADER = struct.Struct("<4sI32sQ")
_DATA = 64
PLACES = 4
_ATTEMPTS = 1000


class BlockError(Exception):
    """A block is missing, or holds another layout than asked for. The text says which and what to do."""


def _fingerprint(dtype: np.dtype[Any]) -> bytes:
    import hashlib

    return hashlib.sha256(repr(dtype.descr).encode() + str(dtype.shape).encode()).digest()


def _size(dtype: np.dtype[Any]) -> int:
    return _DATA + PLACES * dtype.itemsize


class Block:
    """The newest value of `dtype` (a structured or plain numpy dtype) in the file `path`."""

    def __init__(self, path: Path, dtype: np.dtype[Any], memory: mmap.mmap, inode: int) -> None:
        self.path = path
        self._inode = inode
        self._closed = False
        self._memory = memory
        self._sequence: NDArray[np.uint64] = np.frombuffer(memory, np.uint64, 1, 40)
        self._values: NDArray[Any] = np.frombuffer(memory, dtype, PLACES, _DATA)

    @classmethod
    def create(cls, path: Path, dtype: np.dtype[Any]) -> Block:
        """Make the block, replacing a former one at once: readers of that one keep its last value."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.ftruncate(descriptor, _size(dtype))
            memory = mmap.mmap(descriptor, _size(dtype))
            inode = os.fstat(descriptor).st_ino
        finally:
            os.close(descriptor)
        _HEADER.pack_into(memory, 0, _MAGIC, dtype.itemsize, _fingerprint(dtype), 0)
        os.rename(draft, path)
        return cls(path, dtype, memory, inode)

    @classmethod
    def attach(cls, path: Path, dtype: np.dtype[Any]) -> Block:
        """Open a block that another process made.

        Raises BlockError where there is none, or where it holds another dtype.
        """
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            raise BlockError(f"no shared block {path}: the process that writes it is not running") from None
        except OSError as error:
            raise BlockError(
                f"cannot open shared block {path}: {error.strerror}; does another user run vla_ros?"
            ) from None
        other = BlockError(f"shared block {path} holds another layout: stop every vla_ros process and start again")
        try:
            status = os.fstat(descriptor)
            if status.st_size != _size(dtype):
                raise other
            memory = mmap.mmap(descriptor, status.st_size)
        finally:
            os.close(descriptor)
        if _HEADER.unpack_from(memory, 0)[:3] != (_MAGIC, dtype.itemsize, _fingerprint(dtype)):
            memory.close()
            raise other
        return cls(path, dtype, memory, status.st_ino)

    @property
    def sequence(self) -> int:
        """How many values were written; 0 before the first."""
        return int(self._sequence[0])

    def replaced(self) -> bool:
        """Whether the file is gone or another writer made it anew: attach again."""
        try:
            return os.stat(self.path).st_ino != self._inode
        except FileNotFoundError:
            return True

    def write(self, value: NDArray[Any] | np.void) -> None:
        """Publish one value. Only one thread may write a block."""
        following = int(self._sequence[0]) + 1
        self._values[following % PLACES] = value
        self._sequence[0] = following

    def read(self) -> tuple[int, Any] | None:
        """(sequence, a copy of the newest value), or None before the first."""
        for _ in range(_ATTEMPTS):
            sequence = int(self._sequence[0])
            if sequence == 0:
                return None
            value = self._values[sequence % PLACES].copy()
            if int(self._sequence[0]) - sequence < PLACES - 1:
                return sequence, value
        return None

    def close(self, unlink: bool = False) -> None:
        """Let go of the memory; the writer unlinks the file. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        if unlink and not self.replaced():
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()
        del self._sequence, self._values
        with contextlib.suppress(BufferError):
            self._memory.close()
