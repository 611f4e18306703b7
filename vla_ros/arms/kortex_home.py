"""Homing by an action of the arm: joints to arm.home, its end told by a notification or, where that is lost, seen in feedback."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

import numpy as np

from vla_ros import kinematics
from vla_ros.arms import kortex_units
from vla_ros.arms.arm import ArmError
from vla_ros.arms.kortex_link import Link
from vla_ros.arms.kortex_sdk import Sdk
from vla_ros.arms.kortex_units import DEGREE
from vla_ros.clock import MILLISECOND
from vla_ros.config import Config
from vla_ros.values import ArmState

NEAR = 1.0 * DEGREE
"""Distance of every joint, rad, at which home counts as reached."""
AT_REST = 0.5 * DEGREE
"""rad/s below which every joint counts as standing."""
STANDING = 300 * MILLISECOND
"""ns for which it must stand there to have arrived without the arm's word."""


class Homing:
    """The action while the context lasts; begun on entry. Raises ArmError."""

    def __init__(self, sdk: Sdk, config: Config, link: Link) -> None:
        self._sdk, self._config, self._link = sdk, config, link
        self._home = np.array(config.arm.home)
        self._ended = threading.Event()
        self._aborted = ""
        self._stood: int | None = None
        self._handle: Any = None

    def __enter__(self) -> Homing:
        """Subscribe to what becomes of actions, and execute this one."""
        timeout, common = self._config.arm.setup_timeout, self._sdk.common
        options = common.NotificationOptions(type=common.NOTIFICATION_TYPE_EVENT)
        told = self._link.call(self._link.base.OnNotificationActionTopic, self._notified, options, timeout=timeout)
        self._handle = told.value  # None: the end is seen in feedback
        answer = self._link.call(self._link.base.ExecuteAction, self._action(), timeout=timeout)
        if not answer.ok:
            self._unsubscribe()
            raise ArmError(f"the arm does not begin to home: {answer.text}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Unsubscribe."""
        self._unsubscribe()

    def arrived(self, state: ArmState) -> bool:
        """Whether the arm is home and at rest. Raises ArmError when it has given up on the way."""
        if self._aborted:
            raise ArmError(
                f"the arm broke its homing off: {self._aborted}. Is a zone, a limit or an object in the way?"
            )
        if self.distance(state) > NEAR or np.abs(state.velocities).max() > AT_REST:
            self._stood = None
            return False
        self._stood = self._stood if self._stood is not None else state.stamp
        return self._ended.is_set() or state.stamp - self._stood >= STANDING

    def distance(self, state: ArmState) -> float:
        """The farthest that a joint has to go, rad."""
        return float(np.abs(kinematics.wrapped(state.joints - self._home)).max())

    def _action(self) -> Any:
        """The Base.Action: arm.home with the same speed for every joint."""
        base = self._sdk.base
        action = base.Action(name="vla_ros home")
        angles = action.reach_joint_angles.joint_angles.joint_angles
        for joint, angle in enumerate(kortex_units.degrees(self._home).tolist()):
            angles.add(joint_identifier=joint, value=angle)
        constraint = action.reach_joint_angles.constraint
        constraint.type, constraint.value = base.JOINT_CONSTRAINT_SPEED, self._config.arm.home_speed / DEGREE
        return action

    def _notified(self, notification: Any) -> None:
        """From the receiving thread: what became of an action. There is one at a time."""
        base, event = self._sdk.base, notification.action_event
        if event in (base.ACTION_ABORT, base.ACTION_PREPROCESS_ABORT):
            codes = self._sdk.errors.SubErrorCodes
            known = notification.abort_details in codes.values()
            self._aborted = (
                str(codes.Name(notification.abort_details)) if known else f"error {notification.abort_details}"
            )
        elif event == base.ACTION_END:
            self._ended.set()

    def _unsubscribe(self) -> None:
        if self._handle is not None:
            handle, self._handle = self._handle, None
            self._link.call(self._link.base.Unsubscribe, handle, timeout=self._config.arm.setup_timeout)
