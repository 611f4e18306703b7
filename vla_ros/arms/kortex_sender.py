"""The one thread that speaks over the motion session, so that the servo's loop never waits for the arm.

The loop leaves its newest command in a slot and goes on. A Stop goes before it; a command that is LATE when its turn
comes is dropped, so that none from before a SIGSTOP goes out after the SIGCONT. The session is kept alive only while
the loop looks at the arm: when the loop hangs, nothing is sent, and the arm's own connection time-out ends the
motion. A loop that lives moves the arm with a command every 25 ms; where none follows the last twist, the zero that
should have ended it was lost, and the arm is told to rest until it says that it does.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from vla_ros.arms import kortex_gripper, kortex_units
from vla_ros.arms.kortex_gripper import Grip
from vla_ros.arms.kortex_link import IN_FAULT, Answer, Link, Outcome
from vla_ros.arms.kortex_sdk import Sdk
from vla_ros.clock import MILLISECOND, SECOND, Clock
from vla_ros.config import Config
from vla_ros.geometry import Array

log = logging.getLogger("kortex")

LATE = 50 * MILLISECOND
"""Age of a command beyond which it is not sent: two periods of the arm."""
SILENCE = 150 * MILLISECOND
"""Without a message for so long, the session is kept alive: a third of the shortest time-out that is sensible."""
ALIVE = 50 * MILLISECOND
"""The loop lives if it looked at the arm within this time."""
TIMEOUTS = 3
"""Calls without an answer in a row that are reported. Without one for deadlines.connection, the connection counts as lost."""
COMPLAINT = 2 * SECOND
"""How long a refusal is reported: the servo has stopped at its first sight; whoever resets tries anew."""
STOPS = 3
"""Attempts at a Stop before the emergency stop."""
YIELD = 150 * MILLISECOND
"""How long a gripper's target that had to be repeated is left alone: a twist would end its motion again (ros_kortex #325)."""
ALIKE = (0.010, 0.05)
"""m/s and rad/s by which a twist may differ from the one that the arm goes on with to be held back meanwhile: 1.5 mm at most."""
_WAIT = 0.025
_AT_REST = IN_FAULT | {"ROBOT_NOT_MOVING"}
_SESSION_GONE = frozenset({"INVALID_SESSION", "INVALID_USER_SESSION_ACCESS"})
_REFUSALS = {
    "SESSION_NOT_IN_CONTROL": "another client moves the arm (its web page, a gamepad, another program): end it, or leave "
    "the arm alone for 8 s",
    "WRONG_SERVOING_MODE": "another client has changed the servoing mode: end it, then `vla-ros robot clear-faults`",
}


def halt(link: Link, timeout: float) -> Answer:
    """Stop the arm, by its emergency stop where it refuses or does not answer STOPS times; an arm in fault is at rest already."""
    for _ in range(STOPS):
        answer = link.call(link.base.Stop, timeout=timeout)
        if answer.ok or answer.error in _AT_REST:
            return Answer(Outcome.OK)
        if answer.outcome is not Outcome.TIMED_OUT:
            break
    return answer if answer.outcome is Outcome.LOST else link.call(link.base.ApplyEmergencyStop, timeout=timeout)


class Task(Enum):
    """What the thread has to do next."""

    STOP = "stop"
    COMMAND = "command"
    REST = "rest"
    KEEP_ALIVE = "keep alive"


@dataclass(frozen=True)
class Order:
    """A command of the loop's cycle at `stamp` (ns): tool twist (6,) m/s and rad/s, gripper 0 open … 1 closed."""

    stamp: int
    twist: Array
    gripper: float

    def is_finite(self) -> bool:
        """Whether no number in it is NaN or infinite."""
        return bool(np.isfinite(self.twist).all()) and math.isfinite(self.gripper)


class Outbox:
    """What waits to be sent, and what is due; no threads in here, time is an argument."""

    def __init__(self) -> None:
        self._order: Order | None = None
        self._stop = False
        self._looked: int | None = None
        self.spoken = 0
        """When the last message was sent, ns."""
        self.dropped = 0
        """Commands that came too late to their turn."""
        self.moving = False
        """Whether the arm may be going on with a twist that was sent."""

    def put(self, order: Order) -> None:
        """The newest command takes the place of one that waits."""
        self._order = order

    def stop(self) -> None:
        """A Stop is due; the command that waits is forgotten."""
        self._order, self._stop = None, True

    def forget(self) -> None:
        """The session is another: the command that waits was not for it, and the twist that was under way ends with the old one."""
        self._order, self.moving = None, False

    def looked(self, now: int) -> None:
        """The loop has looked at the arm."""
        self._looked = now

    @property
    def pressing(self) -> bool:
        """Whether something waits."""
        return self._stop or self._order is not None

    def take(self, now: int) -> tuple[Task, Order | None] | None:
        """What is to be done now, taken out; None: nothing."""
        if self._stop:
            self._stop = False
            return Task.STOP, None
        order, self._order = self._order, None
        if order is not None:
            if now - order.stamp <= LATE:
                return Task.COMMAND, order
            self.dropped += 1
        if self._looked is None or now - self._looked > ALIVE:
            return None
        missed_rest = order is not None and not order.twist.any()
        if self.moving and missed_rest:
            return Task.REST, None
        if now - self.spoken < SILENCE:
            return None
        return (Task.REST if self.moving else Task.KEEP_ALIVE), None


class Sender:
    """The thread, and what it has to complain of. `gripper` gives the fingers' newest position, NaN where it is not known."""

    def __init__(
        self, sdk: Sdk, config: Config, clock: Clock, gripper: Callable[[], float], say: Callable[[str], None]
    ) -> None:
        self._config, self._clock, self._gripper, self._say = config, clock, gripper, say
        self._sdk, self._timeout = sdk, config.arm.call_timeout
        self._box, self._wake = Outbox(), threading.Condition()
        self._link: Link | None = None
        self._grip, self._moved, self._timeouts = Grip(), False, 0
        self._twist: Array = np.zeros(6)  # the twist that the arm has, and since when
        self._twisted = 0
        self._yielding = 0  # until when the gripper is left alone
        self._complaint: tuple[int, str] = (0, "")
        self.sent = 0
        """Twists that went out."""
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="kortex send", daemon=True)
        self._thread.start()

    def attach(self, link: Link | None) -> None:
        """Speak over this session from now on; None: over none. A command that waits is forgotten, a Stop is not."""
        with self._wake:
            self._link, self._grip, self._timeouts, self._yielding = link, Grip(), 0, 0
            self._box.forget()

    def put(self, order: Order) -> None:
        """Send this command next."""
        with self._wake:
            self._box.put(order)
            self._wake.notify()

    def stop(self) -> None:
        """Stop the arm next."""
        with self._wake:
            self._box.stop()
            self._wake.notify()

    def looked(self, now: int) -> None:
        """The loop lives."""
        self._box.looked(now)

    def complaint(self, now: int) -> str:
        """What the arm has refused lately; empty: nothing."""
        since, text = self._complaint
        return text if text and now - since < COMPLAINT else ""

    @property
    def dropped(self) -> int:
        """Commands that were not sent because they were late."""
        return self._box.dropped

    def close(self) -> None:
        """Bring the arm to rest if it was moved from here, and end the thread; bounded by a few calls."""
        with self._wake:
            self._ending = True
            self._wake.notify()
        self._thread.join((STOPS + 3) * self._timeout + 1.0)

    def _run(self) -> None:
        while True:
            with self._wake:
                if not self._ending and (self._sound() is None or not self._box.pressing):
                    self._wake.wait(_WAIT)
                ending, link = self._ending, self._sound()
                task = self._box.take(self._clock.now()) if link is not None else None
            if link is not None and task is not None:
                self._try(link, *task)
            if ending:
                return self._leave(link)

    def _sound(self) -> Link | None:
        """The session, where it is there."""
        link = self._link
        return None if link is None or link.lost_reason else link

    def _try(self, link: Link, task: Task, order: Order | None) -> None:
        try:
            self._do(link, task, order)
        except Exception as error:
            # Whatever the SDK raises: this thread must outlive it, or nobody would stop the arm.
            log.exception("%s could not be sent to the arm", task.value)
            link.give_up(f"{type(error).__name__} while {task.value} was sent: {error}")
        if task is Task.STOP and link.lost_reason:
            self._box.stop()  # the next session begins with it

    def _do(self, link: Link, task: Task, order: Order | None) -> None:
        self._box.spoken = self._clock.now()
        if task is Task.STOP:
            self._halt(link)
        elif task is Task.REST:
            self._judge(link, self._send_twist(link, np.zeros(6)))
        elif order is None:
            self._judge(link, link.keep_alive(self._timeout))
        elif order.is_finite():
            self._command(link, order)
        else:
            self._complain("a command that is not finite: the arm was stopped")
            self._halt(link)

    def _command(self, link: Link, order: Order) -> None:
        """The twist, and the gripper's target if it is due."""
        moves = bool(order.twist.any())
        self._moved = self._moved or moves
        waits = held_back(self._clock.now(), self._yielding, self._twisted, order.twist, self._twist)
        if not (waits or self._judge(link, self._send_twist(link, order.twist, order.stamp))):
            return
        now, servo = self._clock.now(), self._config.servo
        self._grip, due = kortex_gripper.step(
            self._grip, now, order.gripper, self._gripper(), moves, servo.gripper_deadband, servo.gripper_rate
        )
        if due:
            self._yielding = now + YIELD if self._grip.tries else 0
            message = gripper_message(self._sdk, self._grip.target or 0.0)
            self._judge(link, link.call(link.base.SendGripperCommand, message, timeout=self._timeout))

    def _send_twist(self, link: Link, twist: Array, stamp: int | None = None) -> Answer:
        """A motion of a cycle at `stamp` does not go out once it is LATE, whatever has kept this thread."""
        moving, before = self._box.moving, (self._twist, self._twisted, self.sent)
        self._twist, self._twisted, self.sent = twist, self._clock.now(), self.sent + 1
        message = self._sdk.base.TwistCommand()
        kortex_units.fill_twist(message, twist, self._sdk.common.CARTESIAN_REFERENCE_FRAME_BASE)
        self._box.moving = self._box.moving or bool(twist.any())
        late = None if stamp is None or not twist.any() else lambda: self._clock.now() - stamp > LATE
        answer = link.call(link.base.SendTwistCommand, message, timeout=self._timeout, late=late)
        if answer.outcome is Outcome.LATE:
            self._box.moving, self._box.dropped = moving, self._box.dropped + 1
            self._twist, self._twisted, self.sent = before
        elif not twist.any() and answer.outcome is not Outcome.TIMED_OUT:
            self._box.moving = False  # it rests, or does not heed us: then nothing of ours is under way
        return answer

    def _halt(self, link: Link) -> None:
        self._yielding = 0
        answer = halt(link, self._timeout)
        if answer.ok:
            self._moved = self._box.moving = False
        else:
            link.give_up(f"a Stop was not taken: {answer.text}")

    def _judge(self, link: Link, answer: Answer) -> bool:
        """Whether the arm did it; what it means if not."""
        if answer.outcome is Outcome.LATE:
            return False
        self._timeouts = self._timeouts + 1 if answer.outcome is Outcome.TIMED_OUT else 0
        if answer.outcome is Outcome.REFUSED and answer.error in _SESSION_GONE:
            link.give_up(f"the arm has ended the session: {answer.text}")
        elif answer.outcome is Outcome.REFUSED:
            self._complain(_REFUSALS.get(answer.error, "the arm refuses commands") + f" ({answer.text})")
        elif self._timeouts >= TIMEOUTS:
            self._unanswered(link)
        return answer.ok

    def _unanswered(self, link: Link) -> None:
        text = f"{self._timeouts} commands in a row got no answer within {self._timeout * 1000:.0f} ms each"
        self._complain(text)
        if self._timeouts * self._timeout >= self._config.deadlines.connection:
            link.give_up(text)

    def _complain(self, text: str) -> None:
        now = self._clock.now()
        if not self.complaint(now):
            self._say(text)
        self._complaint = now, text

    def _leave(self, link: Link | None) -> None:
        """An arm that was moved from here is told to stand still; the gripper keeps what it holds."""
        if link is not None and self._moved:
            self._send_twist(link, np.zeros(6))
            halt(link, self._timeout)


def held_back(now: int, yielding: int, twisted: int, twist: Array, under_way: Array) -> bool:
    """Whether a twist waits because the gripper is left alone until `yielding` (ns): while it is like the one under way, and for
    YIELD at most since that was sent (`twisted`), as a gripper on an object is told again and again.
    """
    return now < min(yielding, twisted + YIELD) and alike(twist, under_way)


def alike(twist: Array, other: Array) -> bool:
    """Whether an arm that goes on with `other` does nearly what `twist` asks for. Rest is like nothing but rest."""
    near = all(float(np.linalg.norm(d)) <= most for d, most in zip(np.split(twist - other, 2), ALIKE, strict=True))
    return near and twist.any() == other.any()


def gripper_message(sdk: Sdk, position: float) -> Any:
    """The Base.GripperCommand that moves the fingers to `position`, 0 open … 1 closed."""
    message = sdk.base.GripperCommand(mode=sdk.base.GRIPPER_POSITION)
    message.gripper.finger.add(finger_identifier=1, value=position)
    return message
