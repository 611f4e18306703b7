"""Datasets out of datasets: episodes left out, and episodes cut. The old one is whole until the new one is."""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

from vla_ros.episodes import layout
from vla_ros.episodes.layout import DatasetError
from vla_ros.episodes.lock import Lock
from vla_ros.episodes.merge import new_catalogue
from vla_ros.episodes.parts import Part, Source, parts
from vla_ros.episodes.reader import DatasetReader
from vla_ros.folders import exchange

_OURS = re.compile(r"\.[0-9a-f]{32}")


def cut(reader: DatasetReader, episode: int, first: int, last: int) -> list[Part]:
    """Every episode whole, but one cut to frames first … last - 1. Raises DatasetError where there are none such."""
    whole = parts(reader)
    if not 0 <= episode < len(whole):
        raise DatasetError(f"{reader.path} has no episode {episode}: it has {len(whole)}")
    if not 0 <= first < last <= whole[episode].last:
        raise DatasetError(
            f"episode {episode} has frames 0 … {whole[episode].last - 1}: {first} … {last - 1} are not in it"
        )
    return [Part(episode, first, last) if part.episode == episode else part for part in whole]


def select(source: str | Path, output: str | Path, chosen: Sequence[Part]) -> int:
    """Write parts of a dataset as a new one, which has no episodes until all are in it. Returns their number.

    Videos are copied as they are; those of cut episodes, and of several in one mp4, are encoded again. What lies beside an episode
    goes along.
    Raises DatasetError where the source is damaged, or `output` is there already.
    """
    reader, output = DatasetReader(source), Path(output)
    if output.exists():
        raise DatasetError(f"{output} is there already: give the name of a new folder")
    scratch = output / layout.SCRATCH
    lock = Lock(scratch)
    try:
        catalogue, holds = new_catalogue(output, reader), Source(reader)
        for part in chosen:
            holds.along(part, output, catalogue.store(*holds.content(part, scratch)))
        catalogue.publish()
    finally:
        lock.release()
    return catalogue.episodes


def rewrite(path: str | Path, chosen: Sequence[Part]) -> int:
    """Put parts of a dataset in its place: it is the old one or the new one at any moment. Returns the number of its episodes.

    Raises DatasetError where somebody writes it.
    """
    path = Path(path)
    lock = Lock(path / layout.SCRATCH)
    for left in path.parent.glob(f".{path.name}.*"):
        if _OURS.fullmatch(left.suffix):  # of one that was killed: we hold the lock
            shutil.rmtree(left)
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        count = select(path, fresh, chosen)
        exchange(path, fresh)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        lock.release()
    return count
