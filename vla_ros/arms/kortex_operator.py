"""What a person at a keyboard does with the arm: look at it, home it, clear its faults, move it a little. Every call blocks.

    with Operator(config) as arm:
        arm.open()
        print(arm.describe())
        arm.home()

It holds sessions of its own. While the servo runs, look and clear faults, but do not move: the arm obeys one client at a time, and
the servo stops when another moves it.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np

from vla_ros.arms import kortex_faults, kortex_sdk, kortex_units
from vla_ros.arms.arm import ArmError
from vla_ros.arms.kortex import Connection
from vla_ros.arms.kortex_checks import Identity, KinematicLimit, Tool
from vla_ros.arms.kortex_home import Homing
from vla_ros.arms.kortex_link import Answer
from vla_ros.arms.kortex_sender import gripper_message, halt
from vla_ros.arms.kortex_zones import Zone
from vla_ros.clock import MILLISECOND, SECOND, Clock, MonotonicClock
from vla_ros.config import Config
from vla_ros.geometry import Array, Pose
from vla_ros.values import ArmState

log = logging.getLogger("kortex")

AT_REST = math.radians(0.5)
"""rad/s below which every joint counts as standing."""
STANDING = 200 * MILLISECOND
"""ns for which it must stand to be at rest."""
BRAKING = 2 * SECOND
"""ns that the arm gets to come to rest after a zero twist or a Stop."""
CLEARING = 5 * SECOND
"""ns that the arm gets to leave its fault after ClearFaults: it engages its brakes and releases them."""
_LOOK = 10 * MILLISECOND
_STEP = 25 * MILLISECOND
_FINGERS_STAND = 300 * MILLISECOND
_FINGER_STEP = 0.01


@dataclass(frozen=True)
class Description:
    """The arm as it says it is, read back from it.

    `servoing_mode` and `arm_state` are the vendor's names; `fault` is empty where there is none; `reported_tool` is
    the tool pose that the arm gives and `computed_tool` ours of the same joints, both in the base frame; `notes` are
    what is odd but does not prevent a start.
    """

    identity: Identity
    servoing_mode: str
    arm_state: str
    fault: str
    tool: Tool
    limits: tuple[KinematicLimit, ...]
    zones: tuple[Zone, ...]
    reported_tool: Pose
    computed_tool: Pose
    notes: tuple[str, ...]


class Operator:
    """Sessions with the arm for a person's commands. Every method but `close` raises ArmError; those that move leave the
    arm at rest.
    """

    def __init__(self, config: Config, clock: Clock | None = None, say: Callable[[str], None] | None = None) -> None:
        """`say` gets a line of text where there is something to tell (a setting that was changed, progress); None: it is logged."""
        self._config, self._clock, self._say = config, clock or MonotonicClock(), say or log.info
        self._connection: Connection | None = None
        self._moved = False

    def open(self, configure: bool = True) -> None:
        """Connect. With `configure` the arm gets its servoing mode, tool, soft limits and zones, as before the servo's
        start; without, nothing in the arm is changed: use that to look, then `describe` tells what is set. Raises
        ArmError, which names what is wrong (address, password, another arm, firmware, no gripper …) and what to do.
        """
        connection = Connection(kortex_sdk.load(), self._config, self._clock, self._say)
        connection.open(configure)
        self._connection = connection

    def describe(self) -> Description:
        """Identity, versions, modes, tool, limits and zones as the arm has them now."""
        connection = self._opened()
        setup, raw, state = connection.setup, connection.raw_feedback(), self.feedback()
        return Description(
            identity=setup.identity(raw),
            servoing_mode=setup.servoing_mode(),
            arm_state=kortex_faults.state_name(raw, kortex_sdk.load()),
            fault=state.fault,
            tool=setup.tool(),
            limits=tuple(setup.limits()),
            zones=tuple(setup.zones()),
            reported_tool=kortex_units.reported_tool(raw),
            computed_tool=kortex_units.arm_state(raw, 0).tool,
            notes=(
                *connection.notes,
                *filter(None, [connection.unset]),
                *kortex_faults.warnings(raw, kortex_sdk.load()),
            ),
        )

    def connections(self) -> list[str] | None:
        """Who has a session with the arm, as the arm names them, the two of this one among them; None where it does not tell."""
        link = self._opened().motion
        answer = link.call(link.session.GetConnections, timeout=self._config.arm.setup_timeout)
        if not answer.ok:
            return None
        return [f"{c.connection_information or 'session'} {c.connection_identifier}" for c in answer.value.connection]

    def feedback(self) -> ArmState:
        """The arm's state now, its `fault` included (an arm in fault is no error here)."""
        before = self._clock.now()
        raw = self._opened().raw_feedback()
        stamp = (before + self._clock.now()) // 2
        return kortex_units.arm_state(raw, stamp, kortex_faults.fault(raw, kortex_sdk.load()))

    def round_trips(self, count: int = 200) -> tuple[list[float], list[float]]:
        """How long, s, `count` calls took that move nothing: of commands over TCP, and of feedback over UDP."""
        connection, timeout = self._opened(), self._config.arm.setup_timeout
        calls = (
            lambda: connection.motion.keep_alive(timeout),
            lambda: connection.feedback.call(connection.feedback.cyclic.RefreshFeedback, timeout=timeout),
        )
        commands, feedback = ([self._timed(call) for _ in range(count)] for call in calls)
        return commands, feedback

    def _timed(self, call: Callable[[], Answer]) -> float:
        before = time.perf_counter()
        self._done("a call", call())
        return time.perf_counter() - before

    def home(self, timeout: float = 60.0) -> None:
        """Move the joints to arm.home at arm.home_speed, and return at rest there. Takes the joints' own way: clear the table first.

        Raises ArmError when the arm aborts it, is not there after `timeout` s, or is in fault; it is stopped then.
        """
        connection, sdk = self._movable(), kortex_sdk.load()
        homing = Homing(sdk, self._config, connection.motion)
        self._moved = True
        try:
            with homing:
                self._await_home(homing, self._clock.now() + round(timeout * SECOND))
        except ArmError:
            self.stop()
            raise

    def _await_home(self, homing: Homing, deadline: int) -> None:
        while not homing.arrived(state := self._looked()):
            if self._clock.now() > deadline:
                raise ArmError(
                    f"homing did not arrive in time: {homing.distance(state):.3f} rad are left. The arm was stopped"
                )

    def clear_faults(self) -> ArmState:
        """Clear the arm's faults and set its servoing mode back; the state after it. Raises ArmError if a fault stays."""
        connection = self._opened()
        connection.setup.ask("to clear its faults", connection.motion.base.ClearFaults)
        deadline = self._clock.now() + CLEARING
        while self._in_fault():
            if self._clock.now() > deadline:
                raise ArmError(
                    f"a fault stays: {self.feedback().fault}. Remove its cause (an emergency stop that is still pressed?), try again"
                )
            self._sleep(_LOOK)
        connection.setup.set_servoing_mode()
        return self.feedback()

    def _in_fault(self) -> bool:
        raw, sdk = self._opened().raw_feedback(), kortex_sdk.load()
        movable = kortex_faults.MOVABLE | {"ARMSTATE_SERVOING_LOW_LEVEL"}  # the mode is set back afterwards
        banks = raw.base.fault_bank_a or any(a.fault_bank_a for a in raw.actuators)
        return bool(banks) or kortex_faults.state_name(raw, sdk) not in movable

    def twist(self, twist: Array, seconds: float) -> list[ArmState]:
        """Move with `twist` (6,) m/s and rad/s in the base frame for `seconds`, then come to rest; all states from before to rest.

        Nothing of the governor is in the way: keep it slow. Raises ArmError over limits.speed or limits.turn_speed, and on a fault.
        """
        states = self._streamed(twist, seconds)
        self._send(np.zeros(6))
        return states + self._brought_to_rest()

    def _streamed(self, twist: Array, seconds: float) -> list[ArmState]:
        """States while `twist` was sent every 25 ms; the arm goes on with it. It is stopped where anything fails."""
        self._check_speed(twist)
        self._movable()
        end, states, self._moved = self._clock.now() + round(seconds * SECOND), [self._healthy()], True
        try:
            while self._clock.now() < end:
                due = self._clock.now() + _STEP
                self._send(twist)
                while self._clock.now() < due:
                    states.append(self._healthy())
                    self._sleep(_LOOK)
        except ArmError:
            self.stop()
            raise
        return states

    def _check_speed(self, twist: Array) -> None:
        limits, speed, turn = self._config.limits, *(float(np.linalg.norm(part)) for part in np.split(twist, 2))
        if not (speed <= limits.speed and turn <= limits.turn_speed):
            raise ArmError(
                f"a twist of {speed:.3f} m/s and {turn:.3f} rad/s: at most limits.speed {limits.speed:g} and limits.turn_speed "
                f"{limits.turn_speed:g}"
            )

    def _send(self, twist: Array) -> None:
        sdk, link = kortex_sdk.load(), self._opened().motion
        message = sdk.base.TwistCommand()
        kortex_units.fill_twist(message, twist, sdk.common.CARTESIAN_REFERENCE_FRAME_BASE)
        self._done("a twist", link.call(link.base.SendTwistCommand, message, timeout=self._config.arm.setup_timeout))

    def _brought_to_rest(self) -> list[ArmState]:
        """States until the arm stands. Raises ArmError if it does not in time; it gets a Stop then."""
        rested, states = self._rested(BRAKING)
        if rested is None:
            self.stop()
            raise ArmError(
                "the arm did not come to rest after a zero twist: it was stopped. Look for another client that moves it"
            )
        return states

    def _rested(self, patience: int) -> tuple[int | None, list[ArmState]]:
        """When the arm came to rest (ns), None if not within `patience` ns, and the states meanwhile."""
        states: list[ArmState] = []
        stood: int | None = None
        end = self._clock.now() + patience + STANDING
        while self._clock.now() < end:
            states.append(self.feedback())
            if np.abs(states[-1].velocities).max() >= AT_REST:
                stood = None
            elif stood is None:
                stood = states[-1].stamp
            elif states[-1].stamp - stood >= STANDING:
                return stood, states
            self._sleep(_LOOK)
        return None, states

    def dead_man(
        self, twist: Array, seconds: float = 0.5, patience: float = 3.0
    ) -> tuple[float | None, list[ArmState]]:
        """Move with `twist` for `seconds`, then say nothing more: s from the last word until the arm stood, None if it
        did not within `patience` s (it is stopped then); and all states from before to rest. The arm is to stop by
        deadlines.connection.
        """
        states = self._streamed(twist, seconds)
        self._send(twist)
        last = self._clock.now()
        rested, after = self._rested(round(patience * SECOND))
        if rested is None:
            self.stop()
        return None if rested is None else (rested - last) / SECOND, states + after

    def gripper(self, position: float, timeout: float = 3.0) -> float:
        """Move the gripper to 0 open … 1 closed; the position, 0 … 1, at which it came to stand, reached or not."""
        if not 0.0 <= position <= 1.0:
            raise ArmError(f"a gripper position of {position:g}: it is from 0, open, to 1, closed")
        link = self._movable().motion
        message = gripper_message(kortex_sdk.load(), position)
        self._done(
            "a gripper command",
            link.call(link.base.SendGripperCommand, message, timeout=self._config.arm.setup_timeout),
        )
        return self._fingers_stand(self._clock.now() + round(timeout * SECOND))

    def _fingers_stand(self, deadline: int) -> float:
        place, since = self.feedback().gripper, self._clock.now()
        while self._clock.now() < deadline and self._clock.now() - since < _FINGERS_STAND:
            state = self._looked()
            if not abs(state.gripper - place) < _FINGER_STEP:
                place, since = state.gripper, self._clock.now()
        return self.feedback().gripper

    def stop(self) -> None:
        """Stop the arm; where it refuses or does not answer, by its emergency stop."""
        answer = halt(self._opened().motion, self._config.arm.call_timeout)
        if not answer.ok:
            raise ArmError(f"the arm took neither Stop nor emergency stop: {answer.text}. Press the emergency stop")
        self._moved = False

    def close(self) -> None:
        """Leave the sessions; bounded in time, raises nothing. The arm is stopped where it was moved from here."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._moved:
            answer = halt(connection.motion, self._config.arm.call_timeout)
            if not answer.ok:
                log.error("the arm did not take a Stop on leaving: %s", answer.text)
        connection.close()

    def _opened(self) -> Connection:
        if self._connection is None:
            raise ArmError("the arm is not open: call open() first")
        return self._connection

    def _movable(self) -> Connection:
        """The connection with an arm that can be moved now. Raises ArmError."""
        self._healthy()
        connection = self._opened()
        if connection.unset:
            raise ArmError(connection.unset)
        return connection

    def _healthy(self) -> ArmState:
        """The state of an arm without a fault. Raises ArmError."""
        state = self.feedback()
        if state.fault:
            raise ArmError(f"{state.fault}. Remove the cause, then: vla-ros robot clear-faults")
        return state

    def _looked(self) -> ArmState:
        """A state some ms from now; the session is kept alive, so that what the arm does on its behalf goes on. Raises
        ArmError on a fault.
        """
        self._sleep(2 * _LOOK)
        self._done("a sign of life", self._opened().motion.keep_alive(self._config.arm.setup_timeout))
        raw = self._opened().raw_feedback()
        sdk, now = kortex_sdk.load(), self._clock.now()
        own = kortex_faults.state_name(raw, sdk) == "ARMSTATE_SERVOING_PLAYING_SEQUENCE"  # the action is ours
        fault = "" if own else kortex_faults.fault(raw, sdk)
        if fault:
            raise ArmError(f"{fault}. Remove the cause, then: vla-ros robot clear-faults")
        return kortex_units.arm_state(raw, now)

    def _done(self, what: str, answer: Any) -> None:
        if not answer.ok:
            raise ArmError(f"the arm did not take {what}: {answer.text}")

    def _sleep(self, duration: int) -> None:
        self._clock.sleep_until(self._clock.now() + duration)

    def __enter__(self) -> Operator:
        """Itself, not yet open."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()
