"""Episodes of a dataset that somebody else recorded with LeRobot (v3.0), under our names, into a dataset of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from vla_ros.episodes import layout
from vla_ros.episodes.layout import DatasetError, Feature
from vla_ros.episodes.lerobot import DatasetWriter
from vla_ros.episodes.merge import feature_of, names_of
from vla_ros.episodes.parts import Source, parts
from vla_ros.episodes.reader import DatasetReader
from vla_ros.episodes.rows import ACTION_NAMES, STATE_NAMES

OURS = {"observation.state": STATE_NAMES, "action": ACTION_NAMES}
"""Columns whose numbers mean something to us, and what."""


@dataclass(frozen=True)
class Wishes:
    """How theirs becomes ours. `rename`: their column -> ours, cameras too. `robot`: what we call theirs; empty: as they do.

    `trust_names`: their state and action are ours although they name the numbers otherwise.
    """

    rename: Mapping[str, str] = field(default_factory=dict)
    robot: str = ""
    trust_names: bool = False


class Imported(NamedTuple):
    """How many episodes went in, and which of their columns did not."""

    episodes: int
    left_out: tuple[str, ...]


def imported(source: str | Path, output: str | Path, wishes: Wishes | None = None) -> Imported:
    """Append every episode of a LeRobot dataset to one of ours, or make that.

    A new one gets all columns that we can write; one that is there gets those it has, and all of them must be in the source, at the
    same rate and of the same robot. `observation.state` and `action` are what the recorder writes, in shape and names. Videos are
    copied where an episode has an mp4 to itself, and encoded again elsewhere. An episode's task is that of its first frame. Raises
    DatasetError that says what does not fit and what to do.
    """
    wishes = wishes or Wishes()
    reader = DatasetReader(source)
    if not reader.episodes:
        raise DatasetError(f"{reader.path} has no episodes")
    theirs = _renamed(reader, wishes)
    if layout.read_depth(Path(output)):
        raise DatasetError(
            f"{output} has depth, which is not imported: import into a dataset of its own, or merge two of ours"
        )
    wanted, robot = _wanted(reader, theirs, Path(output), wishes)
    _check_shapes(reader, theirs, wanted)
    wanted = {name: _ours(reader, theirs[name], name, feature, wishes) for name, feature in wanted.items()}
    ours = {theirs[name]: name for name in wanted}
    holds = Source(reader, list(ours), {theirs[name]: f.pix_fmt for name, f in wanted.items() if f.is_video})
    with DatasetWriter(output, wanted, round(reader.info["fps"]), robot) as writer:
        for part in parts(reader):
            content = holds.content(part, writer.scratch)
            columns = {ours[name]: column for name, column in content.columns.items()}
            videos = {ours[name]: film for name, film in content.videos.items()}
            holds.along(part, Path(output), writer.episodes)
            writer.adopt(str(reader.task_of_frame[reader.episodes[part.episode].start]), columns, videos, {})
    given = reader.info["features"].keys() - {*ours, *layout.INDEX_FEATURES}
    return Imported(len(reader.episodes), (*sorted(given), *sorted(reader.depths)))


def _renamed(reader: DatasetReader, wishes: Wishes) -> dict[str, str]:
    """Our name of each of their columns -> theirs."""
    columns = [name for name in reader.info["features"] if name not in layout.INDEX_FEATURES]
    for name in wishes.rename:
        if name not in columns:
            raise DatasetError(f"{reader.path} has no column {name!r} to rename: it has {', '.join(columns)}")
    names = [wishes.rename.get(name, name) for name in columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DatasetError(f"two columns of {reader.path} would be {twice[0]!r}: rename both")
    return dict(zip(names, columns, strict=True))


def _wanted(
    reader: DatasetReader, theirs: Mapping[str, str], output: Path, wishes: Wishes
) -> tuple[dict[str, Feature], str]:
    """The columns that go in, and the robot."""
    robot = wishes.robot or reader.info.get("robot_type") or ""
    if not (output / layout.INFO).exists():
        if not robot:
            raise DatasetError(f"{reader.path} does not say which robot it is of: name it with --robot")
        features = reader.info["features"]
        return {name: _new(features[column]) for name, column in theirs.items() if _writable(features[column])}, robot
    info = layout.read_info(output)
    if info["fps"] != reader.info["fps"]:
        raise DatasetError(
            f"{reader.path} has {reader.info['fps']} frames a second and {output} has {info['fps']}: rows are neither made up nor "
            "thrown away. Import into a dataset of its own, or record at this rate"
        )
    if robot != info["robot_type"]:
        raise DatasetError(
            f"{reader.path} is of the robot {robot!r} and {output} of {info['robot_type']!r}: where they are the same, say "
            f"--robot {info['robot_type']}"
        )
    wanted = {n: feature_of(entry) for n, entry in info["features"].items() if n not in layout.INDEX_FEATURES}
    missing = [name for name in wanted if name not in theirs]
    if missing:
        raise DatasetError(
            f"{reader.path} lacks {', '.join(missing)}, which {output} has. It has {', '.join(theirs)}: rename with --camera or "
            "--column, or import into a dataset of its own"
        )
    return wanted, robot


def _writable(entry: Mapping[str, Any]) -> bool:
    numbers = entry["dtype"].startswith(("float", "int", "uint", "bool")) and len(entry["shape"]) == 1
    return entry["dtype"] in ("video", "image") or numbers


def _new(entry: Mapping[str, Any]) -> Feature:
    """Our form of one of their columns; a video as they have coded it, where we can as well."""
    feature = Feature(entry["dtype"], tuple(entry["shape"]), names_of(entry))
    if not feature.is_video:
        return feature
    even = feature.shape[0] % 2 == feature.shape[1] % 2 == 0
    theirs = (entry.get("info") or {}).get("video.pix_fmt")
    return feature._replace(pix_fmt="yuv420p" if even and theirs != "yuv444p" else "yuv444p")


def _check_shapes(reader: DatasetReader, theirs: Mapping[str, str], wanted: Mapping[str, Feature]) -> None:
    if reader.info["fps"] != round(reader.info["fps"]):
        raise DatasetError(f"{reader.path} has {reader.info['fps']} frames a second, which is no whole number")
    for name, feature in wanted.items():
        entry = reader.info["features"][theirs[name]]
        if entry["dtype"] == "image":
            raise DatasetError(
                f"{reader.path}: {theirs[name]!r} is stored as single pictures: make it a video first, with "
                "lerobot-edit-dataset --operation.type convert_image_to_video"
            )
        there, here = (entry["dtype"], tuple(entry["shape"])), (feature.dtype, tuple(feature.shape))
        if there != here:
            raise DatasetError(
                f"{reader.path}: {theirs[name]!r} is {there[0]} {there[1]}, and {name!r} is {here[0]} {here[1]}"
            )


def _ours(reader: DatasetReader, column: str, name: str, feature: Feature, wishes: Wishes) -> Feature:
    """The feature, with our names of its numbers where it is one whose numbers mean something to us."""
    if name not in OURS:
        return feature
    meaning, given = OURS[name], names_of(reader.info["features"][column])
    where, other = (
        f"{reader.path}: {column!r}",
        f"keep it under another name, as --column {column}=their.{column.rpartition('.')[2]}",
    )
    if feature.shape != (len(meaning),):
        raise DatasetError(f"{where} has {feature.shape[0]} numbers, and ours are {', '.join(meaning)}: {other}")
    if given not in (None, meaning) and not wishes.trust_names:
        raise DatasetError(
            f"{where} holds {', '.join(given or ())}, and ours are {', '.join(meaning)}: if they mean the same, say --trust-names; "
            f"else {other}"
        )
    return feature._replace(names=meaning)
