"""The twin's process met by Kortex, and the command that starts it alone."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.twin.controller.running import wait_for
from tests.twin.controller.wire_client import Client
from tests.twin.running import process
from vla_ros.arms.twin import TwinArm
from vla_ros.cli import make_parser
from vla_ros.clock import MonotonicClock
from vla_ros.commands import live
from vla_ros.commands.errors import CommandError
from vla_ros.commands.live import kortex_overrides
from vla_ros.config import load
from vla_ros.shared import Block
from vla_ros.twin import blocks
from vla_ros.twin.kortex.codes import ArmState


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    return tmp_path / "runtime"


def options(overrides: list[str]) -> list[str]:
    return [word for override in overrides for word in ("--set", override)]


def test_only_kortex_moves_the_arm_of_the_process(runtime):
    overrides = kortex_overrides([])
    arm = load(overrides=overrides).arm
    with process(runtime, *options(overrides)), Client(arm.port).login() as client:
        wait_for(lambda: client.state() == ArmState.ARMSTATE_SERVOING_READY)
        direct = TwinArm(runtime, "test")
        direct.open()
        clock = MonotonicClock()
        start = direct.read(clock.now()).tool.position
        direct.send(clock.now(), np.array([0, -0.1, 0, 0, 0, 0]), 1.0)
        first = client.feedback().frame_id
        wait_for(lambda: client.feedback().frame_id > first + 100)
        np.testing.assert_allclose(direct.read(clock.now()).tool.position, start, atol=1e-3)
        client.twist(0, -0.05)
        wait_for(lambda: direct.read(clock.now()).tool.position[1] < start[1] - 0.01)
        client.call("Base.ApplyEmergencyStop")
        wait_for(lambda: "EMERGENCY_STOP" in direct.read(clock.now()).fault)
        direct.close()


def test_a_controller_runs_just_behind_the_servo_where_that_is_permitted(runtime):
    """Its answers are an arm's, which is a computer of its own; the twin that is met directly is no such thing."""
    code = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))"
    if subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("SCHED_FIFO is not permitted here")
    for overrides, scheduler in ((kortex_overrides([]), os.SCHED_FIFO), (["servo.priority=60"], os.SCHED_OTHER)):
        with process(runtime, *options(overrides)) as twin:
            threads = [int(task.name) for task in Path(f"/proc/{twin.pid}/task").iterdir()]
            assert {os.sched_getscheduler(thread) for thread in threads} == {scheduler}
            assert load(overrides=overrides).servo.priority > os.sched_getparam(twin.pid).sched_priority


def test_a_new_episode_drops_what_was_commanded_and_keeps_the_session(runtime):
    overrides = kortex_overrides([])
    arm = load(overrides=overrides).arm
    with process(runtime, *options(overrides)), Client(arm.port).login(connection=0) as client:
        client.twist(0, -0.02)
        wait_for(lambda: client.state() == ArmState.ARMSTATE_SERVOING_MANUALLY_CONTROLLED)
        request = Block.create(runtime / "twin_request", blocks.REQUEST)
        task = Block.attach(runtime / "twin_task", blocks.TASK)
        stamp = MonotonicClock().now()
        request.write(blocks.record(blocks.REQUEST, stamp=stamp, counter=1, action=blocks.RESET, seed=9))
        wait_for(lambda: int(task.read()[1]["seed"]) == 9)
        wait_for(lambda: client.state() == ArmState.ARMSTATE_SERVOING_READY)
        client.twist(0, -0.02)
        wait_for(lambda: client.state() == ArmState.ARMSTATE_SERVOING_MANUALLY_CONTROLLED)


def test_a_port_that_is_taken_ends_the_process_with_a_reason(runtime):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        overrides = [*kortex_overrides([f"arm.port={port}"]), f"arm.port={port}"]
        command = [sys.executable, "-m", "vla_ros.twin.process", "--runtime", str(runtime), *options(overrides)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert f"cannot listen at TCP 127.0.0.1:{port}" in done.stderr
    assert not (runtime / "arm_feedback").exists()


@contextmanager
def command_line(*words: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "vla_ros.cli", "twin", *words]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.communicate(timeout=20)


def test_the_command_says_where_it_listens_and_ends_on_ctrl_c(runtime):
    ports = [f"--{word}" for word in kortex_overrides([])[-2:]]
    words = [word.replace("arm.feedback_port", "feedback-port").replace("arm.port", "port") for word in ports]
    with command_line("--kortex", *words, "--set", f"runtime={runtime}") as child:
        assert child.stdout is not None
        line = child.stdout.readline()
        port, feedback_port = map(int, re.findall(r"TCP (\d+) and UDP (\d+)", line)[0])
        assert "user admin, password admin" in line
        with Client(port).login() as client, Client(feedback_port, "udp").login() as cyclic:
            wait_for(lambda: client.state() == ArmState.ARMSTATE_SERVOING_READY)
            assert cyclic.feedback().actuators
            child.send_signal(signal.SIGINT)
            assert child.wait(20) == 0
    assert not (runtime / "arm_feedback").exists()


def test_settings_of_the_protocol_are_only_those_that_were_not_given():
    given = ["arm.port=23456", "arm.address=127.0.0.2"]
    made = kortex_overrides(given)
    assert {setting.split("=")[0] for setting in made} == {"arm.driver", "twin.kortex", "arm.feedback_port"}
    config = load(overrides=[*made, *given])
    assert (config.arm.driver, config.arm.port, config.twin.kortex) == ("kortex", 23456, True)
    fixed = load(overrides=kortex_overrides([], free_ports=False))
    assert (fixed.arm.port, fixed.arm.feedback_port) == (10000, 10001)


@pytest.mark.parametrize(
    ("words", "driver", "kortex"),
    [
        ([], "twin", False),
        (["--arm", "kortex"], "kortex", True),
        (["--arm", "twin", "--set", "limits.speed=0.1"], "twin", False),
        (["--arm", "kortex", "--set", "arm.port=23456"], "kortex", True),
    ],
)
def test_every_command_that_starts_the_service_can_meet_the_arm_by_kortex(words, driver, kortex):
    for command in (["sim"], ["demo"], ["calibrate", "latency"]):
        config = live.configuration(make_parser().parse_args([*command, *words]))
        assert (config.arm.driver, config.twin.kortex) == (driver, kortex)
        if kortex:
            assert config.arm.address == "127.0.0.1"
            assert config.arm.port != 10000
        assert (config.arm.port == 23456) == ("arm.port=23456" in words)


def test_a_real_arm_is_not_for_a_command_that_starts_the_twin():
    with pytest.raises(CommandError, match="--arm kortex"):
        live.configuration(make_parser().parse_args(["sim", "--set", "arm.driver=kortex"]))
