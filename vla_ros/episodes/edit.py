"""Datasets out of datasets: episodes left out, and episodes cut. The old one is whole until the new one is."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vla_ros.episodes import layout
from vla_ros.episodes.beside import along
from vla_ros.episodes.catalogue import Columns, Videos, episode_rows, stats_of_row
from vla_ros.episodes.layout import DatasetError
from vla_ros.episodes.lock import Lock
from vla_ros.episodes.merge import new_catalogue
from vla_ros.episodes.reader import DatasetReader
from vla_ros.episodes.statistics import ImageStats
from vla_ros.episodes.video import VideoEncoder

_EXCHANGE = 2
_OURS = re.compile(r"\.[0-9a-f]{32}")
_HERE = -100


@dataclass(frozen=True)
class Part:
    """Frames first … last - 1 of an episode."""

    episode: int
    first: int
    last: int


def parts(reader: DatasetReader, without: Sequence[int] = ()) -> list[Part]:
    """Every episode whole, but for those. Raises DatasetError for one that is not there."""
    unknown = sorted(set(without) - {episode.index for episode in reader.episodes})
    if unknown:
        raise DatasetError(f"{reader.path} has no episode {unknown[0]}: it has {len(reader.episodes)}")
    return [Part(e.index, 0, e.length) for e in reader.episodes if e.index not in without]


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

    Videos of whole episodes are copied as they are; those of cut ones are encoded again. What lies beside an episode goes along.
    Raises DatasetError where the source is damaged, or `output` is there already.
    """
    reader, output = DatasetReader(source), Path(output)
    if output.exists():
        raise DatasetError(f"{output} is there already: give the name of a new folder")
    scratch = output / layout.SCRATCH
    lock = Lock(scratch)
    try:
        catalogue = new_catalogue(output, reader)
        for part in chosen:
            index = catalogue.store(*_content(reader, part, scratch))
            along(reader.path, output, part.episode, index)
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


def exchange(a: Path, b: Path) -> None:
    """Let two folders change places at once (man 2 renameat2, RENAME_EXCHANGE). Raises OSError where the file system cannot."""
    call = ctypes.CDLL(None, use_errno=True).renameat2
    if call(_HERE, os.fsencode(a), _HERE, os.fsencode(b), _EXCHANGE):
        number = ctypes.get_errno()
        text = (
            os.strerror(number) if number != errno.EINVAL else "this file system cannot exchange folders: give --output"
        )
        raise OSError(number, text, str(a))


def _content(reader: DatasetReader, part: Part, scratch: Path) -> tuple[str, Columns, Videos]:
    episode = reader.episodes[part.episode]
    names = reader.info["features"].keys() - {*reader.cameras, *layout.INDEX_FEATURES}
    begin, end = episode.start + part.first, episode.start + part.last
    columns = {name: reader.column(name)[begin:end] for name in reader.info["features"] if name in names}
    return episode.task, columns, {name: _video(reader, part, name, scratch) for name in reader.cameras}


def _video(reader: DatasetReader, part: Part, camera: str, scratch: Path) -> tuple[Path, dict[str, np.ndarray]]:
    target = scratch / f"{camera}.mp4"
    source, length = reader.video_file(part.episode, camera), reader.episodes[part.episode].length
    if (part.first, part.last) == (0, length):
        shutil.copyfile(source, target)
        return target, stats_of_row(episode_rows(reader.path, len(reader.episodes))[part.episode])[camera]
    feature, pixels = reader.info["features"][camera], ImageStats()
    shape, pix_fmt = tuple(feature["shape"]), feature["info"]["video.pix_fmt"]
    with VideoEncoder(target, shape, reader.info["fps"], pix_fmt) as encoder:
        for image in reader.video(part.episode, camera)[part.first : part.last]:
            encoder.add(image)
            pixels.add(image)
    return target, pixels.result()
