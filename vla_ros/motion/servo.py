"""The servo process: player, tracker, governor and driver on an absolute schedule, joined to ROS by shared blocks only.

python -m vla_ros.motion.servo --runtime DIR [--config FILE …] [--set NAME=VALUE …]
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import logging
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vla_ros.arms.arm import Arm, ArmError
from vla_ros.arms.faulty import FaultyArm
from vla_ros.arms.load import load as load_arm
from vla_ros.clock import SECOND, Clock, MonotonicClock
from vla_ros.config import Config, ConfigError, load
from vla_ros.faults import Kind, Order, scheduled
from vla_ros.motion import blocks, guard
from vla_ros.motion.cycle import Inputs, Requests, ServoCycle
from vla_ros.motion.outlet import Wire
from vla_ros.motion.player import Seam
from vla_ros.runtime import Stopping
from vla_ros.shared import Block, BlockError
from vla_ros.values import ActionChunk, ArmState, Command, Mode, Teleop, Verdict

log = logging.getLogger("servo")

_MCL_CURRENT_AND_FUTURE = 3
_LEAVING = SECOND
"""ns that a process which is told to end takes at most to lead the arm to rest."""


class Mailbox:
    """The blocks that the arm node writes: attached when they appear, attached anew when the node was restarted.

    Without an arm node nobody can press Stop, and whoever enabled the arm through a former one is gone: both disarm. What was
    asked of a former servo is not asked of this one, except for a Stop: where one was pressed in the life of the arm node, a
    servo starts stopped, and one reset leaves that (whether it had been reset before, a counter cannot tell).
    """

    def __init__(self, runtime: Path, config: Config) -> None:
        self._runtime, self._cameras = runtime, list(config.cameras)
        self._request: Block | None = None
        self._chunk: Block | None = None
        self._chunk_sequence = 0
        self._last: np.void | None = None
        self._complaint = ""
        self.answered = 0
        """Requests of all kinds that were read, also those found at the first look: it only grows."""
        self.fault: np.void | None = None
        """The request that holds a fault asked for since the last look; None: there is none."""

    def read(self, now: int) -> Inputs:
        """What is new since the last cycle; the arm's feedback is not in it."""
        self.fault = None
        if not self._attached():
            return Inputs(None, requests=Requests(disable=True))
        assert self._request is not None
        before, got = self._last, self._request.read()
        self._last = before if got is None else got[1]
        if self._last is None:
            return Inputs(None, requests=Requests(disable=True))
        if before is not None and self._last["fault"] > before["fault"]:
            self.fault = self._last
        self.answered += _total(self._last) - (0 if before is None else _total(before))
        return self._inputs(before, self._last, now)

    def _inputs(self, before: np.void | None, last: np.void, now: int) -> Inputs:
        return Inputs(
            None,
            self._stamps(last["cameras"]),
            int(last["policy"]),
            self._new_chunk(),
            _grown(before, last),
            self._stamps(last["changed"]),
            last["instruction"].decode(errors="replace") if last["instructed"] else None,
            now < int(last["distrusted"]),
            _teleop(last),
            int(last["beat"]),
        )

    def _stamps(self, stamps: np.ndarray[Any, Any]) -> dict[str, int]:
        """By camera; those of which nothing is known are left out."""
        return {name: int(stamp) for name, stamp in zip(self._cameras, stamps, strict=False) if stamp >= 0}

    @property
    def refused(self) -> tuple[int, Verdict]:
        """Chunks that did not get past the arm node, and why the last one did not."""
        last = self._last
        return (0, Verdict.OK) if last is None or not last["refused"] else (int(last["refused"]), blocks.refusal(last))

    def _attached(self) -> bool:
        """Whether the blocks are those of the arm node that runs now."""
        if self._request is not None and self._chunk is not None:
            if not (self._request.replaced() or self._chunk.replaced()):
                return True
            self._request.close()
            self._chunk.close()
            self._request = self._chunk = self._last = None
        try:
            self._request = Block.attach(self._runtime / "servo_request", blocks.REQUEST)
            self._chunk = Block.attach(self._runtime / "servo_chunk", blocks.CHUNK)
        except BlockError as error:
            self._request = None  # the arm node is not there yet
            if str(error) != self._complaint:
                log.info("waiting for the arm node: %s", error)
            self._complaint = str(error)
            return False
        self._chunk_sequence, self._complaint = self._chunk.sequence, ""
        return True

    def _new_chunk(self) -> ActionChunk | None:
        assert self._chunk is not None
        if self._chunk.sequence == self._chunk_sequence:
            return None
        fresh = self._chunk.read()
        if fresh is None:
            return None
        self._chunk_sequence = fresh[0]
        return blocks.unpack_chunk(fresh[1], self._cameras)


_REQUESTS = ("enable", "disable", "stop", "reset")


def _total(counters: np.void) -> int:
    return sum(int(counters[name]) for name in _REQUESTS)


def _teleop(request: np.void) -> Teleop | None:
    if not request["teleop_stamp"]:
        return None
    gripper = float(request["teleop_gripper"])
    twist = request["teleop_twist"].copy()
    return Teleop(
        int(request["teleop_stamp"]), twist, None if math.isnan(gripper) else gripper, bool(request["teleop_in_tool"])
    )


def _grown(before: np.void | None, counters: np.void) -> Requests:
    """What was asked between two looks at the counters of an arm node; `before` is None at the first look."""
    if before is None:
        return Requests(disable=True, stop=bool(counters["stop"]))
    return Requests(**{name: bool(counters[name] > before[name]) for name in _REQUESTS})


class Servo:
    """One arm, one cycle object, one status block."""

    def __init__(self, config: Config, runtime: Path, arm: Arm, clock: Clock) -> None:
        self._config, self._runtime, self._clock = config, runtime, clock
        self._arm = FaultyArm(
            arm,
            scheduled(config.faults, "arm.feedback", clock.now()),
            scheduled(config.faults, "arm.command", clock.now()),
        )
        self._cycle = ServoCycle(config)
        self._mailbox = Mailbox(runtime, config)
        self._status = Block.create(runtime / "servo_status", blocks.STATUS)
        self._wire = Wire(config, self._arm)
        self._obstacles, self._cycles, self._missed = "", 0, 0
        self._seam: Seam | None = None
        self._seams = 0
        self._refusals = _Refusals()
        self._feedback: ArmState | None = None

    def run(self, stopping: Stopping) -> None:
        """Cycle until `stopping`; then lead the arm to rest."""
        period = round(SECOND / self._config.servo.rate)
        due = self._clock.now()
        last = math.inf
        while due < last:
            due += period
            self._clock.sleep_until(due)
            late = self._clock.now() - due
            if late > period:  # a missed period is skipped and counted, never made up for in a burst
                self._missed += late // period
                due += late // period * period
            if stopping.asked and last == math.inf:
                last = due + _LEAVING
            if self._once(late, stopping.asked) and stopping.asked:
                return

    def _once(self, late: int, leaving: bool = False) -> bool:
        """One cycle; `leaving` asks for a Stop. Returns whether the arm is told to stand still."""
        now = self._clock.now()
        inputs = self._mailbox.read(now)
        if self._mailbox.fault is not None:
            _play(self._arm, self._mailbox.fault, now)
        self._feedback = self._arm.read(now) or self._feedback
        inputs = replace(inputs, arm=self._feedback)
        if leaving:
            inputs = replace(inputs, requests=Requests(stop=True))
        if inputs.requests.enable:
            inputs = replace(inputs, unguarded=guard.obstacle(self._runtime, now))
            self._obstacles = "; ".join(self._cycle.arming_obstacles(now, inputs))
        if inputs.requests.reset:
            self._obstacles = "; ".join(self._cycle.reset_obstacles(now, inputs))
        before = self._cycle.mode
        command = self._cycle.step(now, inputs)
        if command.mode is Mode.STOPPED and before is not Mode.STOPPED:
            log.warning("%s", command.verdict.value)
        self._wire.act(now, command)
        self._cycles += 1
        self._status.write(blocks.pack_status(self._report(command, late), list(self._config.cameras)))
        return not command.twist.any()

    def _report(self, command: Command, late: int) -> blocks.Report:
        cycle, seam = self._cycle, self._cycle.seam
        if seam is not None and seam is not self._seam:
            self._seams += 1
        self._seam = seam
        refused, refusal = self._refusals.seen(cycle.refusals, self._mailbox.refused)
        return blocks.Report(
            command, self._feedback, command.chunk, cycle.began, seam, self._seams, refused, refusal,
            self._mailbox.answered, self._obstacles, self._cycles, self._missed, late,
        )  # fmt: skip

    def close(self) -> None:
        """Stop the arm, leave the session, take the status block away."""
        with contextlib.suppress(ArmError):
            self._arm.stop(self._clock.now())
        self._arm.close()
        self._status.close(unlink=True)


def _play(arm: FaultyArm, request: np.void, now: int) -> None:
    """The fault that a record of `REQUEST` asks for, from now on; what means nothing was refused by the arm node, and is left."""
    kind, seconds = request["fault_kind"].decode(), float(request["fault_seconds"])
    try:
        arm.play(request["fault_target"].decode(), Order(Kind(kind), seconds, float(request["fault_amount"])).at(now))
    except ValueError as error:
        log.warning("%s", error)


class _Refusals:
    """Chunks refused by the cycle and, before it, by the arm node: how many together, and why the last one was."""

    def __init__(self) -> None:
        self._counts, self._last = (0, 0), Verdict.OK

    def seen(self, own: tuple[int, Verdict], theirs: tuple[int, Verdict]) -> tuple[int, Verdict]:
        for before, (count, why) in zip(self._counts, (own, theirs), strict=True):
            if count != before and count:
                self._last = why
        self._counts = own[0], theirs[0]
        return own[0] + theirs[0], self._last


def become_real_time(priority: int) -> list[str]:
    """SCHED_FIFO and locked memory for this process; returns what was not permitted, with its remedy."""
    refused = []
    sys.setswitchinterval(0.0005)
    if priority:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
        except OSError:
            refused.append("no SCHED_FIFO: set `LimitRTPRIO=99` for the service (or rtprio in limits.conf)")
    if ctypes.CDLL("libc.so.6", use_errno=True).mlockall(_MCL_CURRENT_AND_FUTURE) != 0:
        refused.append("no locked memory: set `LimitMEMLOCK=infinity` for the service (or memlock in limits.conf)")
    return refused


def arguments(description: str, argv: Sequence[str] | None) -> tuple[Config, Path]:
    """Configuration and runtime folder from a process's command line; exits with a message on a bad one."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--runtime", type=Path, required=True, help="folder of the shared blocks")
    parser.add_argument("--config", action="append", default=[], help="twin, robot, or a YAML file; may be repeated")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="override one setting")
    known = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="[%(name)s] %(message)s")
    try:
        return load(*known.config, overrides=known.set), known.runtime
    except ConfigError as error:
        parser.exit(2, f"{error}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the servo until SIGINT or SIGTERM."""
    config, runtime = arguments("The servo: moves the arm, and stops it.", argv)
    stopping, clock = Stopping(), MonotonicClock()
    for line in become_real_time(config.servo.priority):
        log.info("%s", line)
    try:
        arm = load_arm(config, runtime, "servo")
        arm.open()
    except ArmError as error:
        log.error("%s", error)
        return 1
    servo = Servo(config, runtime, arm, clock)
    try:
        servo.run(stopping)
    except ArmError as error:
        log.error("%s", error)
        return 1
    finally:
        servo.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
