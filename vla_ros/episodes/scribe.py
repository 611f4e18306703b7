"""Does what the recorder's state machine asks for: takes, rows, memory, the dataset and what lies beside it. One thread owns it."""

from __future__ import annotations

import functools
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vla_ros.episodes import layout
from vla_ros.episodes.layout import DatasetError
from vla_ros.episodes.lerobot import DatasetWriter
from vla_ros.episodes.memory import Memory
from vla_ros.episodes.recorder import Begin, Commit, Discard, Effect, End, Keep
from vla_ros.episodes.rows import MODES, VERDICTS, Rows, Sample, outcome

NOTES = "meta/recordings/episode-{:06d}.json"
WAITING = 150
"""Samples that may wait for a slow disk: five seconds of 30 Hz. One more, and the take is spoilt."""


@dataclass(frozen=True)
class Told:
    """How the recording stands: `episodes` of the dataset; of the open take: frames, rows repeated for want of one, frames skipped.

    `trouble`: what spoilt the open take; empty: nothing. `text`: what came of the last commit.
    """

    episodes: int = 0
    frames: int = 0
    repeated: int = 0
    skipped: int = 0
    trouble: str = ""
    text: str = ""


class Scribe:
    """Samples and effects go in, in order; files come out.

    `notes` gives what is written beside an episode when it is committed, such as who made it. `finished` is called with an episode's
    index once it is committed, and with None when a take is forgotten.
    """

    def __init__(
        self,
        writer: DatasetWriter,
        root: Path,
        fps: int,
        memory: Memory,
        notes: Callable[[], Mapping[str, Any]] = dict,
        finished: Callable[[int | None], None] = lambda index: None,
    ) -> None:
        self._writer, self._root, self._fps, self._memory = writer, root, fps, memory
        self._notes, self._finished = notes, finished
        self._rows: Rows | None = None
        self._open = False
        self._told = Told(episodes=writer.episodes)
        self._trouble = ""  # told by other threads too

    @property
    def told(self) -> Told:
        """How the recording stands."""
        return replace(self._told, trouble=self._trouble)

    def put(self, sample: Sample) -> None:
        """A sample: a row of the open take, or something to remember for a while."""
        if self._rows is None:
            self._memory.put(sample)
            return
        self._guarded(lambda: self._add(sample))

    def do(self, effect: Effect) -> None:
        """Do what the state machine asks for; what is not for the dataset is left to others."""
        if isinstance(effect, Begin):
            self._begin(effect.task)
            self._memory.clear()
        elif isinstance(effect, Keep):
            self._begin(effect.task)
            for sample in self._memory.since(effect.since):
                self._guarded(functools.partial(self._recall, sample))
            self._memory.clear()
            self._end()
        elif isinstance(effect, End):
            self._end()
        elif isinstance(effect, Commit):
            self._commit(effect.success)
        elif isinstance(effect, Discard):
            self._forget("")

    def spoil(self, text: str) -> None:
        """The open take is no good any more, and why."""
        self._trouble = self._trouble or text

    def close(self) -> None:
        """Forget an open take and let go of the dataset."""
        self._rows = None
        self._writer.close()

    def _begin(self, task: str) -> None:
        self._trouble = ""
        self._tell(frames=0, repeated=0, skipped=0, text="")
        self._rows = Rows(self._fps)
        self._guarded(lambda: self._writer.begin(task))
        self._open = not self._trouble

    def _add(self, sample: Sample) -> None:
        assert self._rows is not None
        if not self._open:
            return
        for images, values in self._rows.put(sample):
            self._writer.add(images, values)
        self._tell(frames=self._writer.frames, repeated=self._rows.repeated, skipped=self._rows.skipped)

    def _recall(self, sample: Sample) -> None:
        self._add(self._memory.whole(sample))

    def _end(self) -> None:
        self._guarded(self._last)
        self._rows = None

    def _last(self) -> None:
        if self._rows is not None and self._open:
            for images, values in self._rows.finish():
                self._writer.add(images, values)
            self._tell(frames=self._writer.frames)

    def _commit(self, success: bool) -> None:
        if not self._open:
            self._forget(f"nothing was saved: {self.told.trouble or 'no take is open'}")
            return
        self._open = False
        try:
            index = self._committed(success)
        except (OSError, DatasetError) as error:
            self._forget(f"nothing was saved: {error}")
            return
        self._finished(index)
        self._trouble = ""
        self._tell(episodes=self._writer.episodes, text=f"episode {index} is on the disk")

    def _committed(self, success: bool) -> int:
        frames, told = self._writer.frames, self.told
        if not frames:
            raise DatasetError("the take has no frames")
        counts = {"frames": frames, "repeated": told.repeated, "skipped": told.skipped, "trouble": told.trouble}
        words = {"modes": [mode.name for mode in MODES], "verdicts": [verdict.name for verdict in VERDICTS]}
        notes = {"success": success, **counts, **self._notes(), **words}
        # before the commit: an episode that counts has its notes, and those of one that does not are written over
        layout.write_json(self._root / NOTES.format(self._writer.episodes), notes)
        return self._writer.commit(outcome(frames, success))

    def _forget(self, text: str) -> None:
        self._open, self._rows = False, None
        self._writer.discard()
        self._finished(None)
        self._trouble = ""
        self._tell(frames=0, text=text)

    def _guarded(self, work: Callable[[], None]) -> None:
        """What the disk refuses spoils the take, and not the recorder."""
        try:
            work()
        except (OSError, DatasetError, ValueError) as error:
            self._open = False
            self._writer.discard()
            self.spoil(str(error))

    def _tell(self, **changes: Any) -> None:
        self._told = replace(self._told, **changes)


class Desk:
    """A scribe in a thread of its own, so that nobody waits for a disk or an encoder."""

    def __init__(self, scribe: Scribe) -> None:
        self._scribe = scribe
        self._jobs: queue.SimpleQueue[Sample | Effect | None] = queue.SimpleQueue()
        self.failure = ""
        self._thread = threading.Thread(target=self._run, name="scribe", daemon=True)
        self._thread.start()

    @property
    def told(self) -> Told:
        """How the recording stands."""
        return self._scribe.told

    @property
    def behind(self) -> int:
        """Samples and effects that wait."""
        return self._jobs.qsize()

    def put(self, sample: Sample) -> None:
        """Hand a sample on; where too many wait, it is lost and the take is spoilt."""
        if self._jobs.qsize() > WAITING:
            self._scribe.spoil("the disk or the encoder is too slow: frames were lost")
            return
        self._jobs.put(sample)

    def do(self, effect: Effect) -> None:
        """Hand an effect on."""
        self._jobs.put(effect)

    def settled(self, seconds: float) -> bool:
        """Wait until nothing waits, or that long: whether nothing does."""
        deadline = time.monotonic() + seconds
        while self._jobs.qsize() and time.monotonic() < deadline:
            time.sleep(0.005)
        return not self._jobs.qsize()

    def close(self) -> None:
        """End what has begun, and let go of the dataset."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            while (job := self._jobs.get()) is not None:
                if isinstance(job, Sample):
                    self._scribe.put(job)
                else:
                    self._scribe.do(job)
        except Exception as error:
            self.failure = f"{type(error).__name__}: {error}"
        finally:
            self._scribe.close()
