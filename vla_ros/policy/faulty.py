"""Faults around any policy: its chunks come late, broken, the same again, or not at all, when they are asked to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from vla_ros.faults import Fault, FaultyStream
from vla_ros.geometry import Array
from vla_ros.policy.policy import Policy
from vla_ros.values import ActionChunk, Observation

OFF = 0.5
"""m by which a target of a corrupt chunk is off, where it is not NaN."""


class FaultyPolicy:
    """A policy with `faults` played around its chunks. It reads no clock, so that it works offline as well.

    Two forms, which may be mixed. `act` is that of any policy: its time is the observation's stamp, and it gives the chunk that has
    arrived last by then; one that is late keeps its stamp, older than the observation's. Who turns more often than the policy looks
    asks in between, so that a late chunk comes at its moment and not at the next look:

        chunk = policy.act(observation, gripper_command)  # at a look
        arrived = policy.chunks(now)                      # in every cycle between two looks

    Where deciding takes time of its own, `offer(now, chunk)` puts a chunk of the bare `policy` in when it was decided upon. The
    thread of the policy node publishes more than chunks: it plays the same faults around its thoughts, with `repeated` and
    `corrupted` on the chunks in them.
    """

    def __init__(self, policy: Policy, faults: Iterable[Fault] = (), seed: int = 0) -> None:
        self.policy = policy
        self._stream: FaultyStream[ActionChunk] = FaultyStream(faults, corrupted, repeated, seed)

    def reset(self) -> None:
        """Forget what was seen, and what is on its way."""
        self._stream.clear()
        self.policy.reset()

    def set_instruction(self, text: str) -> None:
        """What to do from now on; empty means idle. Chunks for the former one may still arrive. Raises InstructionError."""
        self.policy.set_instruction(text)

    def act(self, observation: Observation, gripper_command: float) -> ActionChunk | None:
        """The chunk that has arrived last by the observation's stamp, if one has since the last call."""
        chunk = self.policy.act(observation, gripper_command)
        if chunk is not None:
            self.offer(observation.stamp, chunk)
        arrived = self.chunks(observation.stamp)
        return arrived[-1] if arrived else None

    def offer(self, now: int, chunk: ActionChunk) -> None:
        """A chunk was decided upon at `now` (ns): the faults in force befall it."""
        self._stream.put(now, chunk.stamp, chunk)

    def chunks(self, now: int) -> list[ActionChunk]:
        """Chunks that have arrived by `now` (ns), in order of arrival; each comes out once."""
        return [chunk for _, chunk in self._stream.take(now)]

    def play(self, fault: Fault) -> None:
        """Add a fault; from any thread."""
        self._stream.play(fault)


def repeated(old: ActionChunk, new: ActionChunk) -> ActionChunk:
    """The targets of the old chunk in the place of the new one."""
    return replace(
        new,
        step=old.step,
        execute=old.execute,
        positions=old.positions,
        quaternions=old.quaternions,
        grippers=old.grippers,
    )


def corrupted(chunk: ActionChunk, random: np.random.Generator) -> ActionChunk:
    """The chunk with one target that is NaN, or OFF m away; one without targets is as it was."""
    if not len(chunk):
        return chunk
    positions, k = chunk.positions.copy(), int(random.integers(len(chunk)))
    positions[k] = np.nan if random.uniform() < 0.5 else positions[k] + OFF * _direction(random)
    return replace(chunk, positions=positions)


def _direction(random: np.random.Generator) -> Array:
    """A unit vector (3,)."""
    vector = random.normal(size=3)
    return np.asarray(vector / np.linalg.norm(vector))
