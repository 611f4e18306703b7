"""The policy node's thread: loads the policy, then turns observations into chunks, one stride at a time. No ROS in here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vla_ros.clock import MILLISECOND, SECOND, Clock
from vla_ros.config import Config
from vla_ros.faults import Fault, FaultyStream
from vla_ros.nodes.observer import Observer
from vla_ros.policy.faulty import corrupted, repeated
from vla_ros.policy.history import History
from vla_ros.policy.manifest import BundleError
from vla_ros.policy.policy import InstructionError, Policy, load_policy
from vla_ros.values import ActionChunk, Observation, Trace

STRIDE = 100 * MILLISECOND
"""Of a policy that names none."""


@dataclass(frozen=True)
class Thought:
    """What one turn came to: a chunk (empty: nothing to do; None: nothing new), a text, whether it is an error, and figures."""

    moment: int
    chunk: ActionChunk | None
    text: str
    error: bool = False
    figures: dict[str, Any] = field(default_factory=dict)


Outlet = FaultyStream[Thought]
"""The way out of thoughts: as they are, or as faults make them. A thought is late, lost or repeated as a whole, status and chunk."""


def make_outlet(faults: Iterable[Fault] = ()) -> Outlet:
    """A way out with these faults."""
    return FaultyStream(faults, _corrupted, _repeated)


def _corrupted(thought: Thought, random: np.random.Generator) -> Thought:
    return thought if thought.chunk is None else replace(thought, chunk=corrupted(thought.chunk, random))


def _repeated(old: Thought, new: Thought) -> Thought:
    return new if old.chunk is None or new.chunk is None else replace(new, chunk=repeated(old.chunk, new.chunk))


class Thinker:
    """Runs in one thread, in which the engine is loaded as well: some engines belong to the thread that made them.

    What it thinks is told to `say` through `outlet`. `instance` is the run of the node, for the trace of its chunks.
    """

    def __init__(
        self,
        config: Config,
        observer: Observer,
        clock: Clock,
        say: Callable[[Thought], None],
        outlet: Outlet,
        instance: str = "",
    ) -> None:
        self._config, self._observer, self._clock, self._say = config, observer, clock, say
        self._outlet, self._instance = outlet, instance
        self.active, self.instruction, self.gripper_command = False, "", float("nan")
        self.name, self.failure, self.believed = config.policy.bundle, "", True
        self._pending: str | None = None
        self._refused = ""
        self._ready, self._stopping = threading.Event(), threading.Event()
        self._spoken = 0
        self._thread: threading.Thread | None = None

    def start(self, guard: Callable[[Callable[[], None]], Callable[[], None]]) -> str:
        """Load and warm up in a thread, which runs under `guard`; returns when done, with the reason where it failed."""
        self._thread = threading.Thread(target=guard(self._run), name="policy", daemon=True)
        self._thread.start()
        self._ready.wait()
        return self.failure

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(5.0)

    def instruct(self, text: str) -> None:
        """Follow `text` from the next turn on; empty means idle."""
        self._pending = text

    def _run(self) -> None:
        try:
            self.take_on(load_policy(self._config.policy.bundle, self._config))
        except (BundleError, OSError, ValueError) as error:
            self.failure = str(error)
            return
        finally:
            self._ready.set()
        while not self._stopping.is_set():
            self._observer.wait(self._patience())
            if self.active:
                self.turn()
            else:
                self._outlet.clear()

    def take_on(self, policy: Policy) -> None:
        """Think with this policy."""
        self._policy = policy
        self._stride, self._due = _stride(policy)
        self.name = str(getattr(getattr(policy, "manifest", None), "name", self.name))

    def _patience(self) -> float:
        """Seconds to wait for a frame: a stride, or until something that is late is due."""
        now, due = self._clock.now(), self._outlet.next_due()
        return max(0, min(self._stride, self._stride if due is None else due - now)) / SECOND

    def turn(self) -> None:
        """Hear what is new, think about what is seen if it is time to, and say what is due."""
        policy = self._policy
        try:
            self._hear(policy)
            complaint = self._refused or self._observer.complaint()
            if complaint or not self.instruction:
                self._idle(policy, complaint)
            else:
                self._look(policy)
            self._speak()
        except InstructionError as error:  # in the policy's own words: it cannot follow it from here
            self._idle(policy, str(error))
            self._speak()
        except Exception as error:  # whatever a policy does, the arm is told to rest and people are told why
            self._idle(policy, f"{type(error).__name__}: {error}")
            self._speak()

    def _think(self, thought: Thought) -> None:
        """A thought is ready; says also for how long each camera has shown the same."""
        unchanged = {f"unchanged_{name}_ms": ms for name, ms in self._observer.unchanged().items()}
        thought = replace(thought, figures=thought.figures | unchanged)
        self._outlet.put(self._clock.now(), thought.moment, thought)

    def _speak(self) -> None:
        for _, thought in self._outlet.take(self._clock.now()):
            self._say(thought)

    def _hear(self, policy: Policy) -> None:
        """Take up an instruction; one that cannot be followed means idle, whatever was being done before."""
        text, self._pending = self._pending, None
        if text is None:
            return
        self._refused, self.instruction = "", ""
        try:
            if len(text) > self._config.policy.instruction_limit:
                raise InstructionError(
                    f"{len(text)} characters: at most {self._config.policy.instruction_limit} are taken"
                )
            policy.set_instruction(text)
            self.instruction = text.strip()
        except InstructionError as error:
            policy.set_instruction("")
            self._refused = f"instruction refused: {error}"
        self._spoken = 0

    def _idle(self, policy: Policy, complaint: str) -> None:
        """A sign of life every stride: nothing to do."""
        now = self._clock.now()
        if now - self._spoken < self._stride - MILLISECOND:
            return
        self._spoken = now
        policy.reset()
        trace, none = Trace(self._instance), np.zeros(0)
        nothing = ActionChunk(
            now, 1, none.reshape(0, 3), none.reshape(0, 4), none, 1, self.name, self.instruction, 0, trace
        )
        self._think(Thought(now, nothing, complaint or "idle: no instruction", bool(complaint)))

    def _look(self, policy: Policy) -> None:
        observation = self._observer.observe() if self.believed else "a clock stepped: holding"
        now = self._clock.now()
        if isinstance(observation, str):
            if now - self._spoken >= self._stride:
                self._spoken = now
                self._think(Thought(now, None, observation))
            return
        if not self._due(observation.stamp):
            return
        command = self.gripper_command
        chunk = policy.act(observation, observation.arm.gripper if np.isnan(command) else command)
        if chunk is not None:
            self._spoken = now
            trace = self._trace(policy, observation, now)
            figures = _figures(policy, observation, trace, now)
            self._think(Thought(chunk.stamp, replace(chunk, trace=trace), "thinking", False, figures))

    def _trace(self, policy: Policy, observation: Observation, started: int) -> Trace:
        """How the chunk came about; a policy that does not tell its timings has encoded as soon as it began."""
        timings = _timings(policy)
        encoding = timings.get("preprocess_ms", 0.0) + timings.get("encode_ms", 0.0)
        return Trace(
            self._instance,
            {name: frame.sequence for name, frame in observation.frames.items()},
            observation.frames[self._config.reference_camera].arrival,
            started + round(encoding * MILLISECOND),
            self._clock.now(),
        )


def _figures(policy: Policy, observation: Observation, trace: Trace, started: int) -> dict[str, Any]:
    """Where the time went since exposure, ms, and which frames were seen."""
    spans = {"received": trace.received, "started": started, "encoded": trace.encoded, "decided": trace.decided}
    figures: dict[str, Any] = {f"{k}_ms": (moment - observation.stamp) / MILLISECOND for k, moment in spans.items()}
    figures["skew_ms"] = observation.skew / MILLISECOND
    figures |= {f"frame_{name}": number for name, number in trace.frames.items()}
    return figures | _timings(policy)


def _timings(policy: Policy) -> dict[str, Any]:
    """How long the policy's last chunk took, ms by stage; nothing of a policy that does not tell."""
    return dict(vars(getattr(policy, "timings", _Untimed())))


class _Untimed:
    """Stands for the timings of a policy that has none."""


def _stride(policy: Policy) -> tuple[int, Callable[[int], bool]]:
    """The time between two entries of the policy's history, ns, and how to ask whether a stamp is the next entry."""
    manifest = getattr(policy, "manifest", None)
    if manifest is not None:
        return round(manifest.history.stride_ms * MILLISECOND), policy.due  # type: ignore[attr-defined]
    return STRIDE, _Grid().due


class _Grid:
    """Strides for a policy that takes whatever it is given."""

    def __init__(self) -> None:
        self._history = History(STRIDE, 8)

    def due(self, stamp: int) -> bool:
        """Whether a stride has passed; if so, the next begins."""
        if not self._history.due(stamp):
            return False
        self._history, _ = self._history.enter(stamp)
        return True
