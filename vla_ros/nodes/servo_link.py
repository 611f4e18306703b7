"""The arm node's end of the shared blocks that join it to the servo process; no ROS in here."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.config import Config
from vla_ros.motion import blocks
from vla_ros.shared import Block, BlockError
from vla_ros.values import ActionChunk, Mode, Teleop, Verdict

Wish = Literal["enable", "disable", "stop", "reset"]

PATIENCE = 1.5
"""Seconds to wait for the servo's answer; a living one answers within a cycle."""
_SILENT = 0.5
"""Seconds after which the servo counts as gone."""


class ServoLink:
    """Writes requests and chunks, reads the status. Writers must be one thread; `status` may be read from another."""

    def __init__(self, config: Config, runtime: Path, now: Callable[[], int]) -> None:
        self._now, self._path = now, runtime / "servo_status"
        self._cameras = list(config.cameras)[: blocks.CAMERAS]
        self._unchanged: dict[str, int] = {}
        self._record = np.zeros(1, blocks.REQUEST)
        self._record["cameras"][0, len(self._cameras) :] = -1  # no such camera
        self._record["changed"] = -1  # nobody has said
        self._record["teleop_gripper"] = np.nan
        self._chunk = Block.create(runtime / "servo_chunk", blocks.CHUNK)
        self._request = Block.create(runtime / "servo_request", blocks.REQUEST)
        self._status: Block | None = None
        self._write()

    def _write(self) -> None:
        self._record["beat"] = self._now()
        self._request.write(self._record[0])

    def beat(self) -> None:
        """A sign of life: without one the servo disarms."""
        self._write()

    def seen(self, camera: str, stamp: int) -> None:
        """The newest frame of a camera was exposed at `stamp` (ns, monotonic)."""
        self._record["cameras"][0, self._cameras.index(camera)] = stamp
        self._note_change(camera)
        self._write()

    def unchanged(self, camera: str, duration: int) -> None:
        """The policy has seen the same picture of a camera for `duration` ns; 0: the newest was a new one."""
        if camera in self._cameras:
            self._unchanged[camera] = duration
            self._note_change(camera)
            self._write()

    def _note_change(self, camera: str) -> None:
        """When the picture last changed, reckoned from the newest frame: a policy that is silent is no frozen camera."""
        i = self._cameras.index(camera)
        stamp = int(self._record["cameras"][0, i])
        if camera in self._unchanged and stamp:
            self._record["changed"][0, i] = max(1, stamp - self._unchanged[camera])

    def alive(self, stamp: int) -> None:
        """The policy gave a sign of life at `stamp` (ns, monotonic)."""
        self._record["policy"] = stamp
        self._write()

    def instructed(self, text: str) -> None:
        """The policy follows this instruction: it is in force from now on; empty: none is."""
        self._record["instruction"], self._record["instructed"] = blocks.cut(text.strip()), self._now()
        self._write()

    def distrust(self, until: int) -> None:
        """A clock stepped: stamps are not to be believed until then (ns, monotonic)."""
        self._record["distrusted"] = until
        self._write()

    def teleop(self, teleop: Teleop) -> None:
        """What the hand that holds the clutch wants."""
        gripper = np.nan if teleop.gripper is None else teleop.gripper
        self._record["teleop_twist"], self._record["teleop_gripper"] = teleop.twist, gripper
        self._record["teleop_stamp"], self._record["teleop_in_tool"] = teleop.stamp, teleop.in_tool
        self._write()

    def fault(self, target: str, kind: str, seconds: float, amount: float) -> None:
        """Play a fault around the arm: `target` is arm.feedback or arm.command."""
        self._record["fault_target"], self._record["fault_kind"] = target.encode(), kind.encode()
        self._record["fault_seconds"], self._record["fault_amount"] = seconds, amount
        self._record["fault"] += 1
        self._write()

    def refuse(self, verdict: Verdict) -> None:
        """A chunk that does not even get to the servo, and why."""
        self._record["refused"] += 1
        self._record["refusal"] = verdict.name.encode()
        self._write()

    def play(self, chunk: ActionChunk) -> None:
        """Hand a chunk over; one that no block holds is refused."""
        if len(chunk) > blocks.TARGETS:
            self.refuse(Verdict.CHUNK_LONG)
        else:
            self._chunk.write(blocks.pack_chunk(chunk, self._cameras))

    def wish(self, wish: Wish) -> None:
        """Ask the servo for something, without waiting for it."""
        self._record[wish] += 1
        self._write()

    def ask(self, wish: Wish) -> tuple[bool, str]:
        """Ask, and wait for the answer: whether it was done, and in which mode the arm is now or why not."""
        before = self.fresh_status()
        self.wish(wish)
        if before is None:
            return False, "the servo is not running: nothing moves; start the service again"
        deadline = self._now() + int(PATIENCE * SECOND)
        while self._now() < deadline:
            status = self.fresh_status()
            if status is not None and status["answered"] > before["answered"]:
                return _answer(wish, status)
            time.sleep(0.002)
        return False, "the servo did not answer: try again, or start the service again"

    def status(self) -> tuple[int, Any] | None:
        """Sequence number and newest status; None while there is no servo."""
        if self._status is None or (self._status.replaced()):
            try:
                self._status = Block.attach(self._path, blocks.STATUS)
            except BlockError:
                self._status = None
        return None if self._status is None else self._status.read()

    def fresh_status(self) -> Any:
        """The newest status of a servo that is alive, or None."""
        got = self.status()
        return got[1] if got is not None and self._now() - int(got[1]["beat"]) < _SILENT * SECOND else None

    def close(self) -> None:
        """Take the blocks away."""
        for block in (self._request, self._chunk):
            block.close(unlink=True)


def _answer(wish: Wish, status: Any) -> tuple[bool, str]:
    mode = blocks.mode(status)
    done = {
        "enable": mode in (Mode.IDLE, Mode.ACTIVE, Mode.HOLD, Mode.TELEOP),
        "disable": mode is Mode.DISARMED,
        "stop": mode is Mode.STOPPED,
        "reset": mode is not Mode.STOPPED,
    }[wish]
    if done:
        return True, mode.value
    return False, _why_not(wish, mode, status)


def _why_not(wish: Wish, mode: Mode, status: Any) -> str:
    obstacles = status["obstacles"].decode()
    if wish == "enable" and mode is not Mode.STOPPED and obstacles:
        return obstacles
    verdict = blocks.verdict(status).value
    if wish == "reset":
        return f"{verdict}: wait until the arm is at rest and the cause is gone, and reset again"
    return f"{verdict}: call /arm/reset first"


def age(moment: int, now: int) -> float:
    """Milliseconds from `moment` to `now`; infinite for 0, which is never."""
    return (now - moment) / MILLISECOND if moment else float("inf")
