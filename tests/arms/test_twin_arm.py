"""The twin's arm, in this process and through blocks that come, go and are made anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vla_ros.arms.arm import Arm, ArmError
from vla_ros.arms.twin import LocalTwinArm, TwinArm
from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.geometry import IDENTITY_QUATERNION, Pose
from vla_ros.shared import Block
from vla_ros.twin import blocks
from vla_ros.values import ArmState

TWIST = np.arange(6.0)


def state(stamp: int = 1, fault: str = "") -> ArmState:
    pose = Pose(np.array([0.4, 0.0, 0.2]), IDENTITY_QUATERNION)
    joints = np.arange(7.0)
    return ArmState(stamp, joints, joints + 1, joints + 2, pose, 0.5, np.array([1.0, 2.0, 3.0]), fault)


class Recorded:
    """A simulation that only remembers."""

    def __init__(self) -> None:
        self.calls: list[tuple] = []

    def state(self) -> ArmState:
        return state()

    def command(self, now: int, twist: np.ndarray, gripper: float) -> None:
        self.calls.append(("command", now, twist.tolist(), gripper))

    def stop(self, now: int) -> None:
        self.calls.append(("stop", now))


def publish(runtime: Path, stamp: int = 1, fault: str = "") -> Block:
    block = Block.create(runtime / "arm_feedback", blocks.FEEDBACK)
    block.write(blocks.pack_feedback(state(), stamp) if not fault else blocks.pack_feedback(state(fault=fault), stamp))
    return block


def test_in_this_process_calls_go_through() -> None:
    simulation = Recorded()
    arm: Arm = LocalTwinArm(simulation)
    arm.open()
    arm.send(5, TWIST, 0.25)
    arm.stop(6)
    assert simulation.calls == [("command", 5, TWIST.tolist(), 0.25), ("stop", 6)]
    assert arm.read(7) is not None
    arm.close()


class Ticking(Recorded):
    """A simulation whose states are of the moments they are asked for."""

    now = 0

    def state(self) -> ArmState:
        return state(self.now)


def test_in_this_process_feedback_may_be_late_and_does_not_say_so() -> None:
    simulation = Ticking()
    arm = LocalTwinArm(simulation, 0.05)
    got = []
    for simulation.now in range(0, 100 * MILLISECOND, 10 * MILLISECOND):
        got.append(arm.read(simulation.now))
    assert got[:5] == [None] * 5
    assert [s.stamp for s in got[5:] if s] == [k * 10 * MILLISECOND for k in range(5, 10)]


def test_without_a_twin_it_says_what_to_start(tmp_path: Path) -> None:
    with pytest.raises(ArmError, match="vla-ros sim"):
        TwinArm(tmp_path).open()


def test_feedback_arrives_whole(tmp_path: Path) -> None:
    publish(tmp_path, 42, "too hot — joint 3")
    arm: Arm = TwinArm(tmp_path)
    arm.open()
    got, sent = arm.read(42), state()
    assert got is not None
    assert got.stamp == 42
    assert got.fault == "too hot — joint 3"
    for name in ("joints", "velocities", "torques", "force"):
        np.testing.assert_array_equal(getattr(got, name), getattr(sent, name))
    np.testing.assert_array_equal(got.tool.position, sent.tool.position)
    assert got.gripper == sent.gripper


def test_nothing_is_read_before_the_first_value(tmp_path: Path) -> None:
    Block.create(tmp_path / "arm_feedback", blocks.FEEDBACK)
    arm = TwinArm(tmp_path)
    arm.open()
    assert arm.read(0) is None


def test_it_follows_a_twin_that_was_started_anew(tmp_path: Path) -> None:
    publish(tmp_path, 1)
    arm = TwinArm(tmp_path)
    arm.open()
    publish(tmp_path, SECOND)
    arm.read(SECOND)
    got = arm.read(SECOND + MILLISECOND)
    assert got is not None
    assert got.stamp == SECOND


def test_commands_and_stops_have_blocks_of_their_own(tmp_path: Path) -> None:
    publish(tmp_path)
    servo, dog = TwinArm(tmp_path, "servo"), TwinArm(tmp_path, "watchdog")
    servo.open()
    dog.open()
    servo.send(7, TWIST, 0.5)
    dog.stop(8)
    dog.stop(9)
    command = Block.attach(tmp_path / "arm_command", blocks.COMMAND).read()
    stop = Block.attach(tmp_path / "arm_stop_watchdog", blocks.STOP).read()
    assert command is not None
    assert stop is not None
    np.testing.assert_array_equal(command[1]["twist"], TWIST)
    assert (int(stop[1]["stamp"]), int(stop[1]["counter"])) == (9, 2)
    assert Block.attach(tmp_path / "arm_stop_servo", blocks.STOP).read() is None
    dog.close()
    assert (tmp_path / "arm_command").exists()
    servo.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["arm_feedback"]


def test_stopping_before_opening_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArmError, match="open"):
        TwinArm(tmp_path).stop(0)
