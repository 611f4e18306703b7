"""A folder that is there whole or not at all."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vla_ros.episodes.layout import DatasetError


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to write in, beside `path`, whose name it gets at the end. Raises DatasetError where that name is taken."""
    if path.exists():
        raise DatasetError(f"{path} is there already: give the name of a new folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    fresh.mkdir()
    try:
        yield fresh
        fresh.rename(path)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
