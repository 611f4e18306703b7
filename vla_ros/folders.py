"""Folders that change all at once: what was there is whole until what takes its place is."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

_EXCHANGE = 2
_HERE = -100


def exchange(a: Path, b: Path) -> None:
    """Let two folders change places at once (man 2 renameat2, RENAME_EXCHANGE). Raises OSError where the file system cannot."""
    call = ctypes.CDLL(None, use_errno=True).renameat2
    if call(_HERE, os.fsencode(a), _HERE, os.fsencode(b), _EXCHANGE):
        number = ctypes.get_errno()
        text = (
            os.strerror(number)
            if number != errno.EINVAL
            else "this file system cannot exchange folders: name a new one"
        )
        raise OSError(number, text, str(a))


@contextlib.contextmanager
def replacing(folder: Path, mark: str) -> Iterator[Path]:
    """A new folder of the same name to fill; it takes the place of `folder` when the block ends, and is gone where that fails.

    A folder that is there must be empty or hold the file `mark`, by which it is known to be of the kind that may be replaced.
    Raises FileExistsError where it does not, before anything is written.
    """
    folder = folder.absolute()
    if folder.exists() and not (folder / mark).is_file() and any(folder.iterdir()):
        raise FileExistsError(errno.EEXIST, f"holds other things and no {mark}: name a new folder", str(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
        fresh = Path(scratch) / folder.name
        fresh.mkdir()
        yield fresh
        if folder.exists():
            exchange(folder, fresh)
        else:
            fresh.rename(folder)
