"""The Kinova Gen3 over Kortex, as the servo needs it: newest feedback, newest command, nothing that waits.

Commands go over TCP on a session of their own, which nobody else uses; feedback comes over UDP. What is wrong is text
in `ArmState.fault`: the servo stops at its sight and stays stopped until somebody resets it. A connection that is
lost is made anew in the background, with the whole setup; faults on the arm are cleared by people alone (`vla-ros
robot clear-faults`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from vla_ros.arms import kortex_sdk
from vla_ros.arms.arm import ArmError
from vla_ros.arms.kortex_checks import check_identity
from vla_ros.arms.kortex_link import Link
from vla_ros.arms.kortex_reader import Reader
from vla_ros.arms.kortex_sdk import Sdk
from vla_ros.arms.kortex_sender import Order, Sender
from vla_ros.arms.kortex_setup import ArmInFaultError, Setup
from vla_ros.clock import Clock, MonotonicClock
from vla_ros.config import Config
from vla_ros.geometry import Array
from vla_ros.values import ArmState

log = logging.getLogger("kortex")

FIRST = 1.0
"""s that the first state gets to come after the connection is made."""
RETRY = 1.0
"""s between two attempts to connect anew."""
_LOOK = 0.25
"""s between two looks at whether settings can be made that a fault has held up."""
_TRIES = 5
"""Requests for the feedback that the setup needs: a datagram may be lost."""


class Connection:
    """Both sessions with the arm, open, identified and configured; `notes` are what is odd, `unset` why settings could
    not be made yet.
    """

    def __init__(
        self,
        sdk: Sdk,
        config: Config,
        clock: Clock,
        say: Callable[[str], None],
        lost: Callable[[str], None] | None = None,
    ) -> None:
        self._sdk, self._config = sdk, config
        self.motion, self.feedback = Link(sdk, lost), Link(sdk, lost)
        self.setup = Setup(sdk, config, self.motion, clock, say)
        self.notes: list[str] = []
        self.unset = ""
        self.mode = ""
        """What is wrong with the servoing mode by the arm's last word; empty: nothing."""

    def open(self, configure: bool = True) -> None:
        """Connect; `configure` sets everything in the arm. Raises ArmError, with everything closed again."""
        arm, connection = self._config.arm, self._config.deadlines.connection
        try:
            self.motion.open(arm, connection)
            self.feedback.open(arm, connection, udp=True)
            identity = self.setup.identity(self.raw_feedback())
            self.notes = check_identity(identity)
            if configure:
                self._watch_mode()
                self.configure()
        except ArmError:
            self.close()
            raise

    def configure(self) -> None:
        """Set everything in the arm; where a fault prevents it, `unset` says so. Raises ArmError."""
        try:
            self.notes += self.setup.configure(self.raw_feedback)
            self.unset = ""
        except ArmInFaultError as error:
            self.unset = f"settings could not be made yet: {error}"

    def raw_feedback(self) -> Any:
        """A BaseCyclic.Feedback of now. Raises ArmError."""
        for _ in range(_TRIES):
            answer = self.feedback.call(self.feedback.cyclic.RefreshFeedback, timeout=self._config.arm.call_timeout)
            if answer.ok:
                return answer.value
        arm = self._config.arm
        raise ArmError(
            f"the arm at {arm.address} gives no feedback over UDP port {arm.feedback_port}: {answer.text}. "
            "Does a firewall let it through?"
        )

    def _watch_mode(self) -> None:
        """Hear of changes of the servoing mode; without it they are seen in the arm's state and when it refuses a command."""
        common = self._sdk.common
        options = common.NotificationOptions(type=common.NOTIFICATION_TYPE_EVENT)
        answer = self.motion.call(
            self.motion.base.OnNotificationServoingModeTopic,
            self._mode_changed,
            options,
            timeout=self._config.arm.setup_timeout,
        )
        if not answer.ok:
            self.notes.append(f"changes of the servoing mode are not told: {answer.text}")

    def _mode_changed(self, notification: Any) -> None:
        modes, mode = self._sdk.base.ServoingMode, notification.servoing_mode
        if mode == self._sdk.base.SINGLE_LEVEL_SERVOING:
            self.mode = ""
        else:
            name = modes.Name(mode) if mode in modes.values() else str(mode)
            self.mode = f"another client has set the servoing mode to {name}: end it, then `vla-ros robot clear-faults`"

    def close(self) -> None:
        """End both sessions; bounded in time."""
        self.feedback.close()
        self.motion.close()


class KortexArm:
    """The arm of the servo; see `vla_ros.arms.arm.Arm`. Only `open` and `close` wait for the arm."""

    def __init__(self, config: Config, clock: Clock | None = None, say: Callable[[str], None] | None = None) -> None:
        """`say` gets what people should read, one line of text at a time; None: it is logged."""
        self._config, self._clock = config, clock or MonotonicClock()
        self._say = say or log.warning
        self._sdk: Sdk | None = None
        self._connection: Connection | None = None
        self._trouble = threading.Event()
        self._ending = threading.Event()
        self._lost = ""
        self._reader: Reader | None = None
        self._sender: Sender | None = None
        self._keeper: threading.Thread | None = None

    @property
    def trouble(self) -> str:
        """Why a Stop would not reach the arm now; empty: it would."""
        return self._lost if self._connection is not None or self._lost else "not open"

    def open(self) -> None:
        """Connect, make sure that it is the right arm, set it up, and wait for the first state. Raises ArmError."""
        self._sdk = kortex_sdk.load()
        self._reader = Reader(self._sdk, self._config, self._clock)
        self._sender = Sender(self._sdk, self._config, self._clock, self._reader.gripper, self._say)
        try:
            self._connect()
        except ArmError:
            self._sender.close()
            raise
        self._keeper = threading.Thread(target=self._keep, name="kortex connection", daemon=True)
        self._keeper.start()
        self._reader.arrived.wait(FIRST)

    def read(self, now: int) -> ArmState | None:
        """The newest state; its fault is everything that speaks against moving the arm. None before the first."""
        if self._reader is None or self._sender is None:
            return None
        self._sender.looked(now)
        state = self._reader.state
        if state is None:
            return None
        fault = self._fault(now, state)
        return replace(state, fault=fault) if fault != state.fault else state

    def send(self, now: int, twist: Array, gripper: float) -> None:
        """Move with a tool twist (6,) m/s and rad/s in the base frame, gripper 0 open … 1 closed. Nothing happens
        without a connection.

        Raises ArmError before `open`.
        """
        self._opened().put(Order(now, twist, gripper))

    def stop(self, now: int) -> None:
        """Come to rest at once, by Stop or, if that fails, by the emergency stop. Raises ArmError before `open`."""
        self._opened().stop()

    def close(self) -> None:
        """Bring the arm to rest if it was moved from here, and leave; the gripper keeps what it holds. Bounded in time."""
        self._ending.set()
        self._trouble.set()
        if self._reader is not None:
            self._reader.detach()
        if self._sender is not None:
            self._sender.close()
        if self._keeper is not None:
            self._keeper.join(self._config.arm.setup_timeout + 1.0)
        if self._connection is not None:
            self._connection.close()
        if self._reader is not None:
            self._reader.close()

    @property
    def notes(self) -> list[str]:
        """What is odd about the arm but does not prevent a start."""
        return [] if self._connection is None else list(self._connection.notes)

    @property
    def counts(self) -> tuple[int, int, int]:
        """Since `open`: requests for feedback without an answer, commands dropped as late, commands sent."""
        if self._reader is None or self._sender is None:
            return 0, 0, 0
        return self._reader.missed, self._sender.dropped, self._sender.sent

    def _opened(self) -> Sender:
        if self._sender is None:
            raise ArmError("the arm is not open: call open() first")
        return self._sender

    def _fault(self, now: int, state: ArmState) -> str:
        assert self._reader is not None
        assert self._sender is not None
        connection = self._connection
        parts = [self._lost, self._reader.complaint, self._sender.complaint(now), state.fault]
        if connection is not None:
            parts[1:1] = [connection.unset, connection.mode]
        return "; ".join(filter(None, parts))

    def _connect(self) -> None:
        """Make both sessions and give them to the threads. Raises ArmError."""
        assert self._sdk is not None
        assert self._reader is not None
        assert self._sender is not None
        connection = Connection(self._sdk, self._config, self._clock, self._say, self._on_lost)
        connection.open()
        for note in connection.notes:
            self._say(note)
        self._connection = connection
        self._reader.attach(connection.feedback)
        self._sender.attach(connection.motion)

    def _on_lost(self, reason: str) -> None:
        """From any thread: a session is gone."""
        if not self._ending.is_set():
            self._lost = f"connection to the arm lost: {reason}"
            self._trouble.set()

    def _keep(self) -> None:
        """Connect anew when the connection is lost, and make settings that a fault has held up."""
        while not self._ending.is_set():
            troubled = self._trouble.wait(_LOOK)
            if self._ending.is_set():
                return
            if troubled:
                self._connect_again()
            else:
                self._finish_setup()

    def _connect_again(self) -> None:
        assert self._reader is not None
        assert self._sender is not None
        self._reader.detach()
        self._sender.attach(None)
        if self._connection is not None:
            self._say(self._lost)
            self._connection.close()
            self._connection = None
        told = ""
        while not self._ending.is_set():
            self._trouble.clear()
            try:
                self._connect()
            except ArmError as error:
                if str(error) != told:
                    self._say(f"cannot connect anew: {error}")
                told = str(error)
                self._ending.wait(RETRY)
                continue
            if not self._trouble.is_set():
                self._lost = ""
                self._say("connected to the arm anew")
            return

    def _finish_setup(self) -> None:
        connection, state = self._connection, self._reader.state if self._reader else None
        if connection is None or not connection.unset or state is None or state.fault:
            return
        try:
            connection.configure()
        except ArmError as error:
            connection.motion.give_up(str(error))
