"""What a kill has left of a take: its raw log, which is readable as far as it was written, made a whole MCAP file again."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from vla_ros.clock import SECOND
from vla_ros.episodes import layout
from vla_ros.episodes.lock import Lock

FOLDER, OPEN, RECOVERED = "mcap", "take-*.mcap", "interrupted-{:%Y%m%d-%H%M%S}-{}.mcap"


@dataclass
class Found:
    """What could be read of a log: the file that holds it now (None: nothing could), messages by topic, first and last stamp, ns."""

    source: Path
    path: Path | None = None
    topics: dict[str, int] = field(default_factory=dict)
    first: int = 0
    last: int = 0

    @property
    def messages(self) -> int:
        """How many there are."""
        return sum(self.topics.values())

    @property
    def seconds(self) -> float:
        """From the first to the last."""
        return (self.last - self.first) / SECOND


def left(root: Path) -> list[Path]:
    """Logs of takes that became no episode, those of a recorder that is running included."""
    return sorted((root / FOLDER).glob(OPEN))


def recover(root: Path) -> list[Found]:
    """Make every log that an interrupted take has left a whole file, `mcap/interrupted-….mcap`; what was left is removed then.

    Raises DatasetError where there is no dataset, or a recorder is writing it: its take is not interrupted.
    """
    layout.read_info(root)
    lock = Lock(root / layout.SCRATCH)
    try:
        return [_recovered(path) for path in left(root)]
    finally:
        lock.release()


def messages(path: Path) -> Iterator[tuple[Any, Any, Any]]:
    """Schema, channel and message of a log in the order of the file, as far as it can be read: a kill ends it anywhere."""
    from mcap.exceptions import McapError
    from mcap.reader import NonSeekingReader

    with path.open("rb") as file:
        try:
            yield from NonSeekingReader(file).iter_messages(log_time_order=False)
        except (McapError, struct.error, RuntimeError, ValueError, EOFError, OverflowError, MemoryError):
            return  # the chunk under way when it ended; a length that was half written may be any number


def _recovered(path: Path) -> Found:
    from mcap.writer import CompressionType, Writer

    found = Found(path)
    temporary = path.with_suffix(".part")
    with temporary.open("wb") as file:
        writer = Writer(file, compression=CompressionType.LZ4)
        writer.start(profile="ros2", library="vla_ros")
        channels: dict[int, int] = {}
        for schema, channel, message in messages(path):
            if channel.id not in channels:
                known = writer.register_schema(schema.name, schema.encoding, schema.data)
                channels[channel.id] = writer.register_channel(
                    channel.topic, channel.message_encoding, known, channel.metadata
                )
            writer.add_message(
                channels[channel.id], message.log_time, message.data, message.publish_time, message.sequence
            )
            _count(found, channel.topic, message.log_time)
        writer.finish()
    if not found.messages:
        temporary.unlink()
        return found
    moment = datetime.fromtimestamp(found.first / SECOND, timezone.utc)
    found.path = path.with_name(RECOVERED.format(moment, path.stem[-6:]))
    layout.move_file(temporary, found.path)
    os.unlink(path)
    return found


def _count(found: Found, topic: str, stamp: int) -> None:
    found.topics[topic] = found.topics.get(topic, 0) + 1
    found.first = min(found.first or stamp, stamp)
    found.last = max(found.last, stamp)
