"""The policy node's thread: loads the policy, then turns observations into chunks, one stride at a time. No ROS in here."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vla_ros.clock import MILLISECOND, Clock
from vla_ros.config import Config
from vla_ros.nodes.observer import Observer
from vla_ros.policy.history import History
from vla_ros.policy.manifest import BundleError
from vla_ros.policy.policy import InstructionError, Policy, load_policy
from vla_ros.values import ActionChunk, Observation

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


class Thinker:
    """Runs in one thread, in which the engine is loaded as well: some engines belong to the thread that made them."""

    def __init__(self, config: Config, observer: Observer, clock: Clock, say: Callable[[Thought], None]) -> None:
        self._config, self._observer, self._clock, self._say = config, observer, clock, say
        self.active, self.instruction, self.gripper_command = False, "", float("nan")
        self.name, self.failure, self.believed = config.policy.bundle, "", True
        self._pending: str | None = None
        self._refused = ""
        self._policy: Policy | None = None
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
            self._policy = load_policy(self._config.policy.bundle, self._config)
            self._stride, self._due = _stride(self._policy)
            self.name = str(getattr(getattr(self._policy, "manifest", None), "name", self.name))
        except (BundleError, OSError, ValueError) as error:
            self.failure = str(error)
            return
        finally:
            self._ready.set()
        while not self._stopping.is_set():
            self._observer.wait(self._stride / 1e9)
            if self.active:
                self._turn(self._policy)

    def _turn(self, policy: Policy) -> None:
        try:
            self._hear(policy)
            complaint = self._refused or self._observer.complaint()
            if complaint or not self.instruction:
                self._idle(policy, complaint)
            else:
                self._look(policy)
        except Exception as error:  # whatever a policy does, the arm is told to rest and people are told why
            self._idle(policy, f"{type(error).__name__}: {error}")

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
        nothing = ActionChunk(
            now, 1, np.zeros((0, 3)), np.zeros((0, 4)), np.zeros(0), 1, self.name, self.instruction, 0
        )
        self._say(Thought(now, nothing, complaint or "idle: no instruction", bool(complaint)))

    def _look(self, policy: Policy) -> None:
        observation = self._observer.observe() if self.believed else "a clock stepped: holding"
        now = self._clock.now()
        if isinstance(observation, str):
            if now - self._spoken >= self._stride:
                self._spoken = now
                self._say(Thought(now, None, observation))
            return
        if not self._due(observation.stamp):
            return
        command = self.gripper_command
        chunk = policy.act(observation, observation.arm.gripper if np.isnan(command) else command)
        if chunk is not None:
            self._spoken = now
            self._say(Thought(chunk.stamp, chunk, "thinking", False, self._figures(policy, observation, now)))

    def _figures(self, policy: Policy, observation: Observation, started: int) -> dict[str, Any]:
        """Where the time went since exposure, ms, and which frames were seen."""
        received = observation.frames[self._config.reference_camera].arrival
        decided = self._clock.now()
        spans = {"received": received, "started": started, "decided": decided}
        figures: dict[str, Any] = {f"{k}_ms": (moment - observation.stamp) / MILLISECOND for k, moment in spans.items()}
        figures["skew_ms"] = observation.skew / MILLISECOND
        figures |= {f"frame_{name}": frame.sequence for name, frame in observation.frames.items()}
        return figures | vars(getattr(policy, "timings", _Untimed()))


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
