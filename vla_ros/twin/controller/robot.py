"""The controller's state: who is in control, modes, faults and settings, between the wire's thread and the motion's.

The motion's thread calls `apply` before each cycle and `publish` after it; everything else belongs to the thread that answers.
Between the two go immutable values through deques and single references, so that neither ever waits for the other: an answer comes
at once while physics runs. `lock` is for those who set faults from a third thread.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import replace
from typing import Any

from vla_ros.clock import SECOND
from vla_ros.config.schema import Config
from vla_ros.geometry import Array
from vla_ros.twin.controller import orders
from vla_ros.twin.controller.actions import Actions
from vla_ros.twin.controller.drive import Drive
from vla_ros.twin.controller.errors import CallError
from vla_ros.twin.controller.faults import Banks
from vla_ros.twin.controller.measured import Measured
from vla_ros.twin.controller.notices import Notices
from vla_ros.twin.controller.product import Product
from vla_ros.twin.controller.sessions import Session, Sessions
from vla_ros.twin.controller.settings import Settings
from vla_ros.twin.controller.topics import Topics
from vla_ros.twin.kortex.codes import (
    ActionEvent,
    ArmState,
    ControlMode,
    RobotEvent,
    SafetyIdentifier,
    ServoingMode,
    SubErrorCodes,
)
from vla_ros.twin.physics import Twin

log = logging.getLogger(__name__)

GRIPS_WATCHED = 3 * SECOND
GRIPS_MOST = 45
"""More gripper commands than these in GRIPS_WATCHED lock the gripper: 15 a second for a while (ros_kortex issue 296)."""


class Robot:
    """A Gen3 for a KortexServer to answer for. `drive` is the controller that its Twin is to be made with."""

    def __init__(self, config: Config, product: Product | None = None) -> None:
        self.product = product or Product()
        self.sessions = Sessions(config.arm.user, config.arm.password)
        self.topics = Topics()
        self.settings = Settings()
        self.zones: dict[int, Any] = {}  # by number: the message that a zone was made with
        self.mode = ServoingMode.SINGLE_LEVEL_SERVOING
        self.owner = 0
        self.measured: Measured | None = None
        self.cycles = 0
        self.lock = threading.RLock()
        self.banks = Banks()
        self.gripper_locked = False
        self.actions = Actions()
        self.notices = Notices(self.topics)
        self._commanding = False
        self._orders: deque[tuple[int, orders.Order]] = deque()
        self._reports: deque[orders.Report] = deque()
        self._issued = self._taken = 0
        self._drive: Drive | None = None
        self._grips: deque[int] = deque()
        self._state = self.arm_state

    # --- the motion's thread -------------------------------------------------------------------------------------

    def drive(self, config: Config, joints: Array, now: int) -> Drive:
        """A new controller for an episode that begins."""
        return Drive(config, joints, now, lambda: self.settings, self._reports.append)

    def apply(self, twin: Twin, now: int) -> None:
        """Hand over what was ordered since the last cycle; of another episode it is dropped."""
        drive = twin.controller
        if drive is not self._drive:
            if self._drive is not None:
                self._drive.stop(SubErrorCodes.METHOD_FAILED)
                self._drop()
            assert isinstance(drive, Drive)
            self._drive = drive
        twin.fault = self.banks.text()
        while self._orders:
            number, order = self._orders.popleft()
            self._drive.order(twin.now, order)
            self._taken = number

    def _drop(self) -> None:
        while self._orders:
            self._taken, order = self._orders.popleft()
            if isinstance(order, orders.Reach):
                self._reports.append(orders.ActionReport(order.action, ActionEvent.ACTION_ABORT))

    @property
    def taken(self) -> int:
        """The number of the last order that was handed over."""
        return self._taken

    def publish(self, state: Measured, now: int) -> None:
        """What the arm does after a cycle: what every answer is made from until the next."""
        self.measured = state
        self.cycles += 1

    # --- the thread that answers ---------------------------------------------------------------------------------

    @property
    def resting(self) -> bool:
        """Whether nothing that was ordered moves the arm any more."""
        measured = self.measured  # one look: it is replaced by another thread
        return measured is None or (measured.resting and measured.taken == self._issued)

    @property
    def arm_state(self) -> ArmState:
        """As it is reported. That twist and joint speeds make it MANUALLY_CONTROLLED is not verified on the arm."""
        if self.banks:
            return ArmState.ARMSTATE_IN_FAULT
        if self.mode != ServoingMode.SINGLE_LEVEL_SERVOING:
            return ArmState.ARMSTATE_SERVOING_LOW_LEVEL
        measured = self.measured
        if measured is None or measured.mode == ControlMode.IDLE:
            return ArmState.ARMSTATE_SERVOING_READY
        if measured.playing:
            return ArmState.ARMSTATE_SERVOING_PLAYING_SEQUENCE
        return ArmState.ARMSTATE_SERVOING_MANUALLY_CONTROLLED

    def take_control(self, session: Session) -> None:
        """Let a session move the arm. Raises CallError in a fault, in another mode, and while another session moves it."""
        if self.banks:
            raise CallError(SubErrorCodes.ROBOT_IN_FAULT, f"{self.banks.text()}: remove the cause, then ClearFaults")
        if self.mode != ServoingMode.SINGLE_LEVEL_SERVOING:
            raise CallError(SubErrorCodes.WRONG_SERVOING_MODE, f"{self.mode.name}: set SINGLE_LEVEL_SERVOING first")
        self.not_of_another(session)
        self.owner = session.identifier

    def not_of_another(self, session: Session) -> None:
        """Raises CallError while another session moves the arm."""
        if self.owner != session.identifier and self.owner in self.sessions and not self.resting:
            raise CallError(SubErrorCodes.SESSION_NOT_IN_CONTROL, f"session {self.owner} moves the arm")

    def order(self, order: orders.Order) -> None:
        """Hand an order to the motion."""
        if not isinstance(order, orders.Stop):
            self._commanding = True
        self._issued += 1
        self._orders.append((self._issued, order))

    def stop(self, reason: SubErrorCodes = SubErrorCodes.CONTROL_MANUAL_STOP) -> None:
        """Bring the arm to rest, whoever moves it."""
        self._commanding = False
        self.order(orders.Stop(reason))

    def count_grip(self, now: int) -> None:
        """A gripper command came in. Raises CallError where too many of them have locked the gripper."""
        self._grips.append(now)
        while now - self._grips[0] > GRIPS_WATCHED:
            self._grips.popleft()
        if len(self._grips) > GRIPS_MOST and not self.gripper_locked:
            self.gripper_locked = True
            log.warning("the gripper is locked: over %d commands in %d s", GRIPS_MOST, GRIPS_WATCHED // SECOND)
        if self.gripper_locked:
            raise CallError(SubErrorCodes.DEVICE_NOT_READY, "the gripper is locked until the robot is started anew")

    def end_session(self, session: Session) -> None:
        """Close a session: its subscriptions and its motion end."""
        self.topics.forget(session)
        self.sessions.close(session)
        if self.owner == session.identifier:
            self._end_motion("its session is closed")

    def _end_motion(self, cause: str) -> None:
        if self._commanding:
            if not self.resting:
                log.info("session %d: %s, its motion ends", self.owner, cause)
            self.stop(SubErrorCodes.METHOD_TIMEOUT)

    def disconnected(self, peer: object) -> None:
        """A connection is gone, and its sessions with it."""
        for session in self.sessions.of(peer):  # type: ignore[arg-type]
            self.end_session(session)

    def tick(self, now: int) -> None:
        """Watch the sessions' silence, and tell subscribers what has happened."""
        for session in self.sessions:
            if session.expired(now):
                log.info("session %d was silent for too long and is closed", session.identifier)
                self.end_session(session)
            elif session.identifier == self.owner and session.lapsed(now):
                self._end_motion("its connection is silent")
        while self._reports:
            self.notices.of_report(self._reports.popleft(), self.actions, now)
        self.notices.of_actions(self.actions.finished(now, self.measured), now)
        if self.arm_state != self._state:
            self._state = self.arm_state
            self.notices.of_arm_state(self._state, self.owner, now)

    # --- what a user, a test or an operator does to the arm ------------------------------------------------------

    def fault(self, base: int = 0, joint: int | None = None, bits: int = 0, held: bool = False) -> None:
        """Set fault bits of the base (SafetyIdentifier) or of actuator `joint` 0 … 6 (SafetyIdentifierBankA): the arm stops.

        `held` bits of the base come back on ClearFaults, as those of a pressed emergency stop do.
        """
        with self.lock:
            if base:
                self.banks = self.banks.with_base(base, held)
            if joint is not None:
                self.banks = self.banks.with_actuator(joint, bits)
            self.stop(SubErrorCodes.ROBOT_IN_FAULT)

    def emergency_stop(self, held: bool = False) -> None:
        """Stop and stay in fault; `held`: ClearFaults does not help until `release`."""
        self.fault(SafetyIdentifier.EMERGENCY_STOP_ACTIVATED, held=held)

    def release(self) -> None:
        """Let go of what is held; the faults stay until ClearFaults."""
        with self.lock:
            self.banks = Banks(self.banks.base, self.banks.actuators, self.banks.warnings)

    def clear_faults(self) -> None:
        """Ready again, but for what is held."""
        self.banks = self.banks.cleared()

    def plug_tool(self, connected: bool) -> None:
        """Take the gripper off or put it on."""
        with self.lock:
            self.product = replace(self.product, gripper=connected)
            self.notices.of_robot(RobotEvent.TOOL_CONNECTED if connected else RobotEvent.TOOL_DISCONNECTED)
