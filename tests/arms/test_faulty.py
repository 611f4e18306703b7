"""Faults around an arm: what it reports and what it is told; a Stop always gets through."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vla_ros.arms.arm import Arm
from vla_ros.arms.faulty import FaultyArm
from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.faults import Fault, Kind
from vla_ros.geometry import IDENTITY_QUATERNION, Array, Pose
from vla_ros.values import ArmState

CYCLE = 10 * MILLISECOND
START, END = 100 * MILLISECOND, 200 * MILLISECOND


class Recorder:
    """An arm that reports a new state every 20 ms, whose first joint counts them, and notes what it is told."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, float, float]] = []
        self.stops: list[int] = []
        self.calls: list[str] = []
        pose = Pose(np.zeros(3), IDENTITY_QUATERNION)
        self._state = ArmState(0, np.zeros(7), np.zeros(7), np.zeros(7), pose, 0.0, np.zeros(3))

    def open(self) -> None:
        """Connect."""
        self.calls.append("open")

    def read(self, now: int) -> ArmState | None:
        """The state of the last multiple of 20 ms."""
        stamp = now - now % (2 * CYCLE)
        return replace(self._state, stamp=stamp, joints=np.full(7, stamp / SECOND))

    def send(self, now: int, twist: Array, gripper: float) -> None:
        """Note it."""
        self.sent.append((now, float(twist[0]), gripper))

    def stop(self, now: int) -> None:
        """Note it."""
        self.stops.append(now)

    def close(self) -> None:
        """Disconnect."""
        self.calls.append("close")


def driven(kind: Kind, amount: float = 1.0, on: str = "command") -> tuple[Recorder, list[ArmState]]:
    """0.3 s of cycles that send their own number, with a fault of 0.1 s on one side."""
    recorder = Recorder()
    arm = FaultyArm(recorder)
    arm.play(on, Fault(kind, START, END, amount))
    states = []
    for cycle in range(30):
        now = cycle * CYCLE
        state = arm.read(now)
        assert state is not None
        states.append(state)
        arm.send(now, np.full(6, float(cycle)), cycle / 100)
    return recorder, states


def test_without_faults_everything_passes_at_once() -> None:
    recorder = Recorder()
    arm: Arm = FaultyArm(recorder)
    arm.open()
    arm.send(5, np.ones(6), 0.5)
    state = arm.read(40 * MILLISECOND)
    arm.close()
    assert recorder.sent == [(5, 1.0, 0.5)]
    assert state is not None
    assert state.stamp == 40 * MILLISECOND
    assert recorder.calls == ["open", "close"]


def test_delayed_commands_are_held_back_and_sent_at_their_moment() -> None:
    recorder, _ = driven(Kind.DELAY, 0.03)
    assert [now - int(number) * CYCLE for now, number, _ in sorted(recorder.sent, key=lambda sent: sent[1])] == [
        *[0] * 10,
        *[30 * MILLISECOND] * 10,
        *[0] * 10,
    ]


def test_a_frozen_command_is_the_former_one_again() -> None:
    recorder, _ = driven(Kind.FREEZE)
    assert [int(number) for _, number, _ in recorder.sent] == [*range(10), *[9] * 10, *range(20, 30)]
    assert recorder.sent[15] == (15 * CYCLE, 9.0, 0.09)


@pytest.mark.parametrize(
    ("kind", "amount", "most"), [(Kind.DISCONNECT, 0.0, 0), (Kind.DROP, 1.0, 0), (Kind.DROP, 0.5, 9)]
)
def test_lost_commands_are_not_sent(kind: Kind, amount: float, most: int) -> None:
    recorder, _ = driven(kind, amount)
    assert len(recorder.sent) <= 20 + most
    assert {number for now, number, _ in recorder.sent if not START <= now < END} == {*range(10), *range(20, 30)}


def test_a_corrupt_command_is_no_number() -> None:
    recorder, _ = driven(Kind.CORRUPT)
    broken = [now for now, number, _ in recorder.sent if np.isnan(number)]
    assert broken == [k * CYCLE for k in range(10, 20)]


def test_disconnected_feedback_grows_old() -> None:
    _, states = driven(Kind.DISCONNECT, on="feedback")
    assert {state.stamp for state in states[10:20]} == {80 * MILLISECOND}
    assert states[20].stamp == 200 * MILLISECOND


def test_frozen_feedback_repeats_the_state_under_new_stamps() -> None:
    _, states = driven(Kind.FREEZE, on="arm.feedback")
    assert {float(state.joints[0]) for state in states[10:20]} == {0.08}
    assert [state.stamp for state in states[10:20:2]] == [k * CYCLE for k in range(10, 20, 2)]


def test_late_feedback_keeps_its_stamp() -> None:
    _, states = driven(Kind.DELAY, 0.04, on="feedback")
    assert states[19].stamp == 19 * CYCLE - 50 * MILLISECOND


def test_corrupt_feedback_is_not_finite_and_the_arm_s_own_stays_whole() -> None:
    _, states = driven(Kind.CORRUPT, on="feedback")
    assert [state.is_finite() for state in states] == [*[True] * 10, *[False] * 10, *[True] * 10]


@pytest.mark.parametrize("kind", list(Kind))
def test_a_stop_gets_through_whatever_befalls_the_commands(kind: Kind) -> None:
    recorder = Recorder()
    arm = FaultyArm(recorder, command=[Fault(kind, 0, SECOND, 0.5)])
    arm.send(0, np.ones(6), 0.0)
    sent = list(recorder.sent)
    arm.stop(1)
    assert recorder.stops == [1]
    arm.read(SECOND)
    assert recorder.sent == sent, "what was under way before a Stop does not move the arm after it"


def test_faults_may_be_given_from_the_start() -> None:
    recorder = Recorder()
    arm = FaultyArm(recorder, [Fault(Kind.CORRUPT, 0, 9, 1.0)], [Fault(Kind.DISCONNECT, 0, 9)])
    state = arm.read(0)
    arm.send(0, np.ones(6), 0.0)
    assert state is not None
    assert not state.is_finite()
    assert recorder.sent == []


def test_an_unknown_side_is_refused() -> None:
    with pytest.raises(ValueError, match="feedback or command"):
        FaultyArm(Recorder()).play("elbow", Fault(Kind.DROP, 0, 1, 1.0))
