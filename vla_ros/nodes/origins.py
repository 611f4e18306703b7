"""Who made a chunk: the policy's word of the same stamp tells. Which policy may move the arm: the first, while it lives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from vla_ros.clock import MILLISECOND
from vla_ros.values import ActionChunk, Trace, Verdict

WAIT = 50 * MILLISECOND
"""How long a chunk waits for the status of its stamp: they are published one after the other."""
_KEPT = 16


@dataclass(frozen=True)
class Word:
    """What a policy said of itself at `stamp` (ROS time, ns): the run of its node, its name, its instruction.

    `spans` are ns from `stamp` to when the frame had been received, encoded and decided upon; `frames` its sequence numbers by camera.
    """

    stamp: int
    instance: str
    policy: str = ""
    instruction: str = ""
    frames: Mapping[str, int] = field(default_factory=dict)
    spans: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Arrival:
    """What became of chunks: one to be played, or why one is refused; `restarted`: another run of the policy has taken over."""

    chunk: ActionChunk | None = None
    refusal: Verdict = Verdict.OK
    restarted: bool = False


class Origins:
    """Joins chunks to the words of their stamps. `alive` is for how long (ns) a policy that is silent still counts as living."""

    def __init__(self, alive: int) -> None:
        self._alive = alive
        self._instance, self._heard = "", 0
        self._words: dict[int, Word] = {}
        self._waiting: dict[int, tuple[int, ActionChunk]] = {}

    def hear(self, word: Word, now: int) -> Arrival:
        """A policy spoke."""
        restarted = False
        if word.instance != self._instance and now - self._heard > self._alive:
            restarted, self._instance = bool(self._instance), word.instance
        if word.instance == self._instance:
            self._heard = now
        self._words[word.stamp] = word
        while len(self._words) > _KEPT:
            del self._words[next(iter(self._words))]
        _, chunk = self._waiting.pop(word.stamp, (0, None))
        arrival = Arrival() if chunk is None else self._ruled(chunk, word)
        return replace(arrival, restarted=restarted)

    def rightful(self, word: Word) -> bool:
        """Whether it is the word of the policy that may move the arm."""
        return word.instance == self._instance

    def arrive(self, chunk: ActionChunk, stamp: int, now: int) -> Arrival:
        """A chunk came, stamped `stamp` in ROS time; it may have to wait for its word."""
        word = self._words.get(stamp)
        if word is not None:
            return self._ruled(chunk, word)
        self._waiting[stamp] = (now, chunk)
        while len(self._waiting) > _KEPT:
            del self._waiting[next(iter(self._waiting))]
        return Arrival()

    def expire(self, now: int) -> list[Arrival]:
        """Chunks for which no word came in time."""
        late = [stamp for stamp, (since, _) in self._waiting.items() if now - since > WAIT]
        for stamp in late:
            del self._waiting[stamp]
        return [Arrival(refusal=Verdict.CHUNK_UNKNOWN) for _ in late]

    def _ruled(self, chunk: ActionChunk, word: Word) -> Arrival:
        if not self.rightful(word):
            return Arrival(refusal=Verdict.CHUNK_SECOND_POLICY)
        moments = (chunk.stamp + word.spans[n] if n in word.spans else 0 for n in ("received", "encoded", "decided"))
        trace = Trace(word.instance, word.frames, *moments)
        return Arrival(replace(chunk, policy=word.policy, instruction=word.instruction, trace=trace))
