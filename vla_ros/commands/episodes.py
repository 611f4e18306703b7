"""Episodes of the live twin: reset, instruct, enable, and wait for how it ends. The live counterpart of evaluation.rollout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vla_ros.clock import SECOND, MonotonicClock
from vla_ros.commands.errors import CommandError
from vla_ros.commands.live import Live, enable, retry
from vla_ros.shared import Block
from vla_ros.twin import blocks
from vla_ros.twin.tasks import sample

TIME_LIMIT = 15.0
"""Seconds after which an episode counts as failed; as offline."""
HELD = 0.5
"""Seconds for which the cube must stay up; as offline."""
SETTLE = 0.3
_PATIENCE = 10.0


@dataclass(frozen=True)
class Trial:
    """How one live episode ended. `ended_by` is the verdict or complaint that cut it short, empty where nothing did."""

    seed: int
    instruction: str
    success: bool
    wrong_object: bool
    seconds: float
    mode: str
    ended_by: str


class TwinLink:
    """Asks the twin for episodes and reads how they stand."""

    def __init__(self, live: Live) -> None:
        self._client, folder = live.client, live.service.runtime
        self._request = Block.create(folder / "twin_request", blocks.REQUEST)
        self._clock, self._counter = MonotonicClock(), 0
        self._task = Block.attach(folder / "twin_task", blocks.TASK)

    def task(self) -> Any:
        """How the episode stands, as a record of blocks.TASK. Raises CommandError when the twin has said nothing yet."""
        got = self._task.read()
        if got is None:
            raise CommandError("the twin says nothing about its task: start the service again")
        return got[1]

    def reset(self, seed: int) -> None:
        """Begin the episode of a seed. Raises CommandError when the twin does not."""
        self._counter += 1
        stamp = self._clock.now()
        self._request.write(
            blocks.record(blocks.REQUEST, stamp=stamp, counter=self._counter, action=blocks.RESET, seed=seed)
        )
        if not self._client.wait(lambda: int(self.task()["answered"]) >= self._counter, _PATIENCE):
            raise CommandError("the twin did not begin a new episode: start the service again")

    def close(self) -> None:
        """Take the request away."""
        self._request.close(unlink=True)
        self._task.close()


def play(
    live: Live,
    twin: TwinLink,
    seed: int,
    instruction: str | None = None,
    begun: Callable[[], None] = lambda: None,
) -> Trial:
    """One episode, with the words of its task or others; `begun` is called when the scene is set and the arm enabled."""
    client, words = live.client, instruction or sample(seed).instruction
    set_up(live, twin, seed)
    enable(live.client, _PATIENCE)
    begun()
    began = int(twin.task()["stamp"])
    client.instruct(words)
    client.wait(lambda: client.policy.values.get("instruction") == words or client.policy.level > 0, 2.0)
    task, ended_by = _watch(live, twin, began)
    success = bool(task["success"])
    mode = client.arm.values.get("mode", "")
    client.instruct("")
    seconds = (int(task["stamp"]) - began) / SECOND
    return Trial(seed, words, success, bool(task["wrong_object"]), seconds, mode.lower(), ended_by)


def set_up(live: Live, twin: TwinLink, seed: int) -> None:
    """Rest the arm and the policy, then begin the episode: the arm must not see its own joints jump while it is enabled."""
    client = live.client
    client.instruct("")
    client.wait(lambda: not client.policy.values.get("instruction", "?"), 2.0)
    if not retry(client, lambda: client.trigger("/arm/disable")[0] or _stopped(live), 5.0):
        raise CommandError("the arm does not come to rest: " + client.arm.message)
    twin.reset(seed)
    client.sleep(SETTLE)


def _stopped(live: Live) -> bool:
    return live.client.arm.values.get("mode") == "STOPPED"


def _watch(live: Live, twin: TwinLink, began: int) -> tuple[Any, str]:
    """The task's last record, and what ended it before its time."""
    held = 0
    while True:
        live.client.spin(0.02)
        task = twin.task()
        now = int(task["stamp"])
        held = (held or now) if task["success"] else 0
        if (held and now - held >= HELD * SECOND) or task["wrong_object"] or now - began > TIME_LIMIT * SECOND:
            return task, ""
        reason = _given_up(live)
        if reason:
            return task, reason


def _given_up(live: Live) -> str:
    """Why the arm will not move again in this episode; empty while it may."""
    client = live.client
    if client.policy.level > 0:
        return client.policy.message
    mode = client.arm.values.get("mode")
    return client.arm.message if mode in ("STOPPED", "DISARMED") else ""
