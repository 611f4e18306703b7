"""The watchdog process: stops the arm on a session of its own when the servo falls silent.

The servo is the last guard of the arm, and this guards the servo: a hung or killed loop sends nothing, and what it sent last would
go on.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vla_ros.arms.arm import ArmError
from vla_ros.arms.load import load as load_arm
from vla_ros.clock import MILLISECOND, SECOND, MonotonicClock
from vla_ros.motion import blocks
from vla_ros.motion.guard import Notice
from vla_ros.motion.servo import arguments
from vla_ros.runtime import Stopping, run_ahead
from vla_ros.shared import Block, BlockError

log = logging.getLogger("watchdog")

PERIOD = 5 * MILLISECOND
REPEAT = 100 * MILLISECOND
"""Between two Stops while the servo stays silent."""


@dataclass(frozen=True)
class Watch:
    """What the watchdog remembers: the servo's last beat, when it was seen to change, and the last Stop (ns, 0 for none)."""

    beat: int = 0
    seen: int = 0
    stopped: int = 0


def watch(memory: Watch, beat: int | None, now: int, silent: int) -> tuple[Watch, bool]:
    """Judge one look at the servo's beat (None: no servo): the new memory, and whether to send Stop now.

    `silent` is the longest silence in ns. A servo that was never seen moved nothing and needs no Stop. One that hangs is stopped
    again and again; one that has left and taken its block away stopped the arm itself, and is stopped once more to be sure.
    """
    if beat is not None and beat != memory.beat:
        return Watch(beat, now, 0), False
    if memory.seen == 0 or now - memory.seen <= silent:
        return memory, False
    if memory.stopped and now - memory.stopped < REPEAT:
        return memory, False
    return Watch() if beat is None else Watch(memory.beat, memory.seen, now), True


class _Beat:
    """The servo's heartbeat, attached anew when the servo was restarted."""

    def __init__(self, runtime: Path) -> None:
        self._path = runtime / "servo_status"
        self._block: Block | None = None
        self._last: int | None = None

    def read(self) -> int | None:
        """The newest beat, ns; the last one while the servo hangs or died within a write; None where there is no servo."""
        if self._block is None or self._block.replaced():
            try:
                self._block, self._last = Block.attach(self._path, blocks.STATUS), None
            except BlockError:
                self._block = None
                return None
        got = self._block.read()
        if got is not None:
            self._last = int(got[1]["beat"])
        return self._last


def main(argv: Sequence[str] | None = None) -> int:
    """Watch until SIGINT or SIGTERM."""
    config, runtime = arguments("The watchdog: stops the arm when the servo is silent.", argv)
    stopping, clock, beat, memory = Stopping(), MonotonicClock(), _Beat(runtime), Watch()
    ahead = min(99, config.servo.priority + 10)  # a servo that hangs in a loop must not keep it from looking
    if config.servo.priority and not run_ahead(ahead):
        log.info("no SCHED_FIFO %d: set `LimitRTPRIO=99` for the service (or rtprio in limits.conf)", ahead)
    try:
        arm = load_arm(config, runtime, "watchdog")
        arm.open()
    except ArmError as error:
        log.error("%s", error)
        return 1
    notice = Notice(runtime)
    silent, due = int(config.deadlines.servo_silent * SECOND), clock.now()
    while not stopping.asked:
        due = max(due + PERIOD, clock.now() - PERIOD)
        clock.sleep_until(due)
        notice.tell(clock.now(), arm.trouble)
        first = memory.stopped == 0
        memory, stop = watch(memory, beat.read(), clock.now(), silent)
        if stop:
            try:
                arm.stop(clock.now())
            except ArmError as error:  # the next look tries again
                log.error("%s", error)
            if first:
                log.warning("the servo is silent for more than %.0f ms: Stop sent", silent / MILLISECOND)
    arm.close()
    notice.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
