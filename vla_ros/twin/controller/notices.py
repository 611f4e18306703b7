"""What happened, as the messages that topics notify with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from vla_ros.clock import SECOND
from vla_ros.twin.controller import orders
from vla_ros.twin.controller.actions import Actions, Running
from vla_ros.twin.controller.topics import Topics
from vla_ros.twin.kortex.codes import (
    ActionEvent,
    ArmState,
    RobotEvent,
    ServoingMode,
    SubErrorCodes,
)
from vla_ros.twin.kortex.messages import Base


class Notices:
    """Tells subscribers. Times are the robot's monotonic clock: nobody may take them for wall time."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    def of_report(self, report: orders.Report, actions: Actions, now: int) -> None:
        """What the motion has reported."""
        if isinstance(report, orders.ZoneReport):
            message = _stamped(Base.ProtectionZoneNotification(event=report.event), now)
            message.handle.identifier = report.zone
            self._topics.tell("Base.ProtectionZoneTopic", message)
        elif (running := actions.end(report.action)) is not None:
            self.of_action(running, report.event, now, report.details)

    def of_actions(self, ended: Iterable[Running], now: int) -> None:
        """Actions that came to their end by themselves."""
        for running in ended:
            self.of_action(running, ActionEvent.ACTION_END, now)

    def of_action(
        self,
        running: Running,
        event: ActionEvent,
        now: int,
        details: SubErrorCodes = SubErrorCodes.SUB_ERROR_NONE,
    ) -> None:
        """What became of an action."""
        message = _stamped(Base.ActionNotification(action_event=event, abort_details=details), now)
        message.handle.CopyFrom(running.handle)
        message.connection.connection_identifier = running.session
        self._topics.tell("Base.ActionTopic", message)

    def of_arm_state(self, state: ArmState, owner: int, now: int) -> None:
        """The arm's state is another."""
        message = _stamped(Base.ArmStateNotification(active_state=state), now)
        message.connection.connection_identifier = owner
        self._topics.tell("Base.ArmStateTopic", message)

    def of_mode(self, mode: ServoingMode, session: int, now: int) -> None:
        """The servoing mode was set."""
        message = _stamped(Base.ServoingModeNotification(servoing_mode=mode), now)
        message.connection.connection_identifier = session
        self._topics.tell("Base.ServoingModeTopic", message)

    def of_robot(self, event: RobotEvent) -> None:
        """Something was plugged in or out."""
        self._topics.tell("Base.RobotEventTopic", Base.RobotEventNotification(event=event))


def _stamped(message: Any, now: int) -> Any:
    seconds, rest = divmod(now, SECOND)
    message.timestamp.sec, message.timestamp.usec = seconds, rest // 1000
    return message
