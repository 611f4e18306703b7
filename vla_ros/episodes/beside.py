"""What lies beside an episode of a recorded dataset and belongs to it: its notes and its raw log."""

from __future__ import annotations

import shutil
from pathlib import Path

NOTES = "meta/recordings/episode-{:06d}.json"
LOG = "mcap/episode-{:06d}.mcap"


def along(source: Path, output: Path, old: int, new: int) -> None:
    """Copy what lies beside episode `old` of a dataset, where there is something, to episode `new` of another."""
    for name in (NOTES, LOG):
        path = source / name.format(old)
        if path.exists():
            target = output / name.format(new)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
