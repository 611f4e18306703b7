"""The twin as a process: moved through its blocks, reset on request, gone without a trace."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_ros.arms.twin import TwinArm
from vla_ros.cameras.twin import TwinCamera
from vla_ros.clock import MILLISECOND, SECOND, MonotonicClock, VirtualClock
from vla_ros.config import load
from vla_ros.shared import Block
from vla_ros.twin import blocks, tasks
from vla_ros.twin.process import CATCH_UP, TwinProcess, main

from . import running

CLOCK = MonotonicClock()
TWIST = np.array([0, -0.05, 0, 0, 0, 0])


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(5 * SECOND)


@pytest.fixture
def twin(tmp_path: Path, clock: VirtualClock) -> TwinProcess:
    return TwinProcess(load(), tmp_path, 1, clock)


def turn(twin: TwinProcess, clock: VirtualClock, seconds: float) -> None:
    end = clock.now() + round(seconds * SECOND)
    while clock.now() < end:
        clock.sleep_until(clock.now() + 4 * MILLISECOND)
        twin.cycle()


def read(path: Path, dtype: np.dtype[Any]) -> Any:
    value = Block.attach(path, dtype).read()
    assert value is not None
    return value[1]


def request(path: Path, clock: VirtualClock, seed: int) -> Block:
    block = Block.create(path / "twin_request", blocks.REQUEST)
    block.write(blocks.record(blocks.REQUEST, stamp=clock.now(), counter=7, action=blocks.RESET, seed=seed))
    return block


def test_feedback_is_stamped_with_the_moment_it_was_true(
    twin: TwinProcess, clock: VirtualClock, tmp_path: Path
) -> None:
    turn(twin, clock, 0.1)
    stamp = int(read(tmp_path / "arm_feedback", blocks.FEEDBACK)["stamp"])
    assert 0 <= clock.now() - stamp < 2 * MILLISECOND
    state = read(tmp_path / "twin_state", blocks.STATE)
    assert int(state["stamp"]) == stamp
    assert int(state["time"]) == twin.twin.now


def test_late_feedback_is_stamped_when_it_is_published(tmp_path: Path, clock: VirtualClock) -> None:
    twin = TwinProcess(load(overrides=["twin.delays={feedback: 0.05}"]), tmp_path, 1, clock)
    assert Block.attach(tmp_path / "arm_feedback", blocks.FEEDBACK).read() is None
    arm = TwinArm(tmp_path)
    true: dict[int, float] = {}
    for _ in range(60):
        arm.send(clock.now(), TWIST, 0.0)
        turn(twin, clock, 0.004)
        true[int(read(tmp_path / "twin_state", blocks.STATE)["stamp"])] = float(twin.twin.state().joints[0])
    feedback = read(tmp_path / "arm_feedback", blocks.FEEDBACK)
    assert 0 <= clock.now() - int(feedback["stamp"]) < 6 * MILLISECOND
    assert float(feedback["joints"][0]) == true[int(feedback["stamp"]) - 50 * MILLISECOND]
    arm.close()


def test_it_obeys_commands_and_stops(twin: TwinProcess, clock: VirtualClock, tmp_path: Path) -> None:
    arm, dog = TwinArm(tmp_path, "servo"), TwinArm(tmp_path, "watchdog")
    arm.open()
    dog.open()
    for _ in range(40):
        arm.send(clock.now(), TWIST, 1.0)
        turn(twin, clock, 0.01)
    state = arm.read(clock.now())
    assert state is not None
    assert np.abs(state.velocities).max() > 0.02
    assert state.gripper > 0.3
    dog.stop(clock.now())
    turn(twin, clock, 0.4)
    stopped = dog.read(clock.now())
    assert stopped is not None
    assert np.abs(stopped.velocities).max() < 2e-3
    arm.close()
    dog.close()


def test_a_command_left_behind_by_a_dead_writer_does_not_move_it(
    twin: TwinProcess, clock: VirtualClock, tmp_path: Path
) -> None:
    TwinArm(tmp_path).send(clock.now() - SECOND, TWIST, 1.0)
    turn(twin, clock, 0.5)
    assert np.abs(twin.twin.state().velocities).max() < 1e-3


def test_a_request_begins_the_episode_of_its_seed(twin: TwinProcess, clock: VirtualClock, tmp_path: Path) -> None:
    turn(twin, clock, 0.1)
    block = request(tmp_path, clock, 9)
    turn(twin, clock, 0.2)
    task = read(tmp_path / "twin_task", blocks.TASK)
    assert (int(task["seed"]), int(task["episode"]), int(task["answered"])) == (9, 2, 7)
    assert task["instruction"].decode() == tasks.sample(9).instruction
    assert not task["success"]
    np.testing.assert_allclose(task["heights"], 0, atol=1e-3)
    state = read(tmp_path / "twin_state", blocks.STATE)
    np.testing.assert_allclose(state["look"][:7], tasks.sample(9).look())
    block.close(unlink=True)


def test_time_that_cannot_be_caught_up_is_skipped_and_counted(twin: TwinProcess, clock: VirtualClock) -> None:
    before = twin.twin.now
    clock.sleep_until(clock.now() + SECOND)
    twin.cycle()
    assert twin.twin.now - before == pytest.approx(CATCH_UP, abs=2 * MILLISECOND)
    assert twin.skipped == pytest.approx(SECOND - CATCH_UP, abs=2 * MILLISECOND)


def test_its_speed_is_seconds_of_simulation_per_second(tmp_path: Path, clock: VirtualClock) -> None:
    twin = TwinProcess(load(overrides=["twin.speed=2"]), tmp_path, 1, clock)
    turn(twin, clock, 0.5)
    assert twin.twin.now == pytest.approx(SECOND, abs=10 * MILLISECOND)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_in_a_process_it_moves_and_leaves_no_block(tmp_path: Path, number: int) -> None:
    with running.process(tmp_path, "--seed", "1") as child:
        arm = TwinArm(tmp_path)
        arm.open()
        start = arm.read(CLOCK.now())
        assert start is not None

        def moved() -> bool:
            arm.send(CLOCK.now(), TWIST, 0.0)
            state = arm.read(CLOCK.now())
            return state is not None and bool(start.tool.position[1] - state.tool.position[1] > 0.01)

        running.wait_for(moved)
        arm.close()
        child.send_signal(number)
        assert child.wait(20) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_bad_configuration_is_refused_with_the_field_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--runtime", str(tmp_path), "--set", "limits.speed=9"]) == 2
    assert "limits.speed" in capsys.readouterr().err


def test_a_camera_beside_the_process_sees_the_arm_move(tmp_path: Path) -> None:
    with running.process(tmp_path, "--seed", "1"):
        camera = TwinCamera(load(overrides=["twin.noise=0"]), "wrist", tmp_path, CLOCK)
        arm = TwinArm(tmp_path)
        arm.open()
        camera.open()
        first = camera.read(10.0)
        assert first is not None

        def changed() -> bool:
            arm.send(CLOCK.now(), TWIST, 0.0)
            frame = camera.read(0.1)
            return frame is not None and bool((frame.image != first.image).mean() > 0.1)

        running.wait_for(changed)
        camera.close()
        arm.close()
