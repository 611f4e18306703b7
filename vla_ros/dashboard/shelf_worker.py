"""Looks at a dataset for the dashboard, in a process of its own: decoding takes a processor, and the page must not wait for it.

    python -m vla_ros.dashboard.shelf_worker list DATASET FROM MOST    JSON: the newest MOST episodes of those from FROM on
    python -m vla_ros.dashboard.shelf_worker sheet DATASET EPISODE     a contact sheet as JPEG

What cannot be read is told on standard error, and the exit status is 1.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from vla_ros.episodes.check import look_at
from vla_ros.episodes.layout import DatasetError
from vla_ros.episodes.pictures import contact_sheet
from vla_ros.episodes.reader import DatasetReader, Episode

NICE = 15
"""By which this stands back behind everything that moves the arm."""
QUALITY = 80


def main(argv: Sequence[str] | None = None) -> int:
    """Answer one question on standard output. 0, or 1 with the reason on standard error."""
    what, root, *rest = list(sys.argv[1:] if argv is None else argv)
    try:
        reader = DatasetReader(root)
        answer = _list(reader, *map(int, rest)) if what == "list" else _sheet(reader, int(rest[0]))
    except (DatasetError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.buffer.write(answer)
    return 0


def _list(reader: DatasetReader, first: int, most: int) -> bytes:
    median = float(statistics.median([e.length for e in reader.episodes])) if len(reader.episodes) > 3 else 0.0
    chosen = reader.episodes[max(first, len(reader.episodes) - most) :]
    return json.dumps([card(reader, episode, median) for episode in chosen]).encode()


def card(reader: DatasetReader, episode: Episode, median: float) -> dict[str, Any]:
    """One episode: how long, what, whether it was a success (None: not said), and what is wrong with it."""
    findings = look_at(reader, episode, median)
    return {
        "index": episode.index,
        "frames": episode.length,
        "seconds": episode.length / reader.info["fps"],
        "task": episode.task,
        "success": _success(reader, episode),
        "bad": any(finding.bad for finding in findings),
        "findings": [finding.text for finding in findings],
    }


def _success(reader: DatasetReader, episode: Episode) -> bool | None:
    named = next((name for name in ("success", "next.success") if name in reader.info["features"]), None)
    return None if named is None else bool(np.any(reader.part(named, episode.index)))


def _sheet(reader: DatasetReader, episode: int) -> bytes:
    if not 0 <= episode < len(reader.episodes):
        raise DatasetError(f"there is no episode {episode}: the dataset has {len(reader.episodes)}")
    with tempfile.TemporaryDirectory(prefix="vla_ros-sheet-") as folder:
        drawn, small = Path(folder) / "sheet.png", Path(folder) / "sheet.jpg"
        contact_sheet(reader, episode, drawn)
        PIL.Image.open(drawn).convert("RGB").save(small, "JPEG", quality=QUALITY)
        return small.read_bytes()


if __name__ == "__main__":
    os.nice(NICE)
    sys.exit(main())
