"""The whole service as a user starts it: it gets where it is told to, keeps to itself, and never leaves anything behind."""

import json
import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from vla_ros.commands.live import enable
from vla_ros.config import load
from vla_ros.nodes import domain
from vla_ros.nodes.client import Client
from vla_ros.nodes.service import Service
from vla_ros.shared import Block
from vla_ros.twin import blocks

from .bed import PATIENCE, alive, children

TARGET = (0.46, 0.05, 0.18)
SPEC = "constant:" + ",".join(map(str, TARGET))
NAMES = ("twin", "servo", "watchdog", "arm", "static_camera", "wrist_camera", "policy")


@pytest.fixture
def sim(processes):
    """Starts `vla-ros sim` in a free domain and waits until it is ready: the process and its domain."""

    def start(*words, **environment):
        variables = {"ROS_DOMAIN_ID": None, "ROS_LOG_DIR": None} | environment
        process = processes.start("vla_ros.cli", "sim", "--no-dashboard", "--policy", SPEC, *words, **variables)
        text = process.says("ROS domain ")
        return process, int(re.search(r"ROS domain (\d+)", text)[1])

    return start


def folder(number):
    return Path(f"/dev/shm/vla_ros-{os.getuid()}-{number}")


def gone(pids):
    deadline = time.monotonic() + PATIENCE
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, f"still there: {[p for p in pids if alive(p)]}"
        time.sleep(0.05)


def left_of(number):
    """What a service in that domain has left: its folder's files, and shared memory of its domain's ports."""
    first = 7400 + 250 * number
    ports = [path.name for path in Path("/dev/shm").glob("*fastrtps_port*")]
    own = [name for name in ports if first <= int(re.search(r"port(\d+)", name)[1]) < first + 250]
    return [*(str(path) for path in folder(number).glob("*")), *own]


def named(pids, name):
    """The process of a name of bringup's."""
    modules = {"twin": "twin.process", "servo": "motion.servo", "watchdog": "motion.watchdog", "arm": "nodes.arm"}
    wanted = modules.get(name, f"__node:={name}")
    return next(pid for pid, words in pids.items() if wanted in words)


def test_the_constant_policy_reaches_its_target(monkeypatch):
    monkeypatch.delenv("ROS_DOMAIN_ID")
    with Service(load("twin", overrides=[f"policy.bundle={SPEC}"])) as service, Client(service.check) as client:
        client.bring_up("policy")
        feedback = Block.attach(service.runtime / "arm_feedback", blocks.FEEDBACK)

        def distance():
            return np.linalg.norm(feedback.read()[1]["position"] - TARGET)

        def arrived():
            if client.arm.values.get("mode") != "ACTIVE" and distance() > 0.002:
                enable(client, PATIENCE)  # again where a busy machine has stopped it
                client.instruct("go there")
                client.wait(lambda: client.arm.values.get("mode") == "ACTIVE", 2.0)
            return distance() < 0.002

        assert distance() > 0.01
        assert client.wait(arrived, PATIENCE), (distance(), client.arm, client.policy)
        runtime, pids = service.runtime, service.pids()
        ahead = {name for name, pid in pids.items() if os.sched_getscheduler(pid) == os.SCHED_FIFO}
    gone(pids.values())
    assert not runtime.exists()
    assert domain.is_free(service.domain)
    if "watchdog" in ahead:  # the highest priority is permitted: whoever can stop the arm waits for nobody else
        assert ahead == {"servo", "watchdog", "arm"}


@pytest.mark.parametrize("name", NAMES)
def test_when_a_process_is_killed_the_service_ends_and_says_which(sim, name):
    process, number = sim("--instruction", "go")
    pids = children(process.popen.pid)
    assert len(pids) == len(NAMES)
    os.kill(named(pids, name), signal.SIGKILL)
    assert process.ends() == 1
    assert f"{name} was killed by SIGKILL" in process.text
    gone(pids)
    assert left_of(number) == []
    assert not folder(number).exists()


def test_when_the_service_itself_is_killed_its_processes_end_and_take_their_blocks_along(sim):
    process, number = sim("--instruction", "go")
    pids = children(process.popen.pid)
    process.signal(signal.SIGKILL)
    gone(pids)
    blocks_left = [p.name for p in folder(number).glob("*") if p.is_file() and p.suffix != ".yaml" and p.name != "lock"]
    assert blocks_left == []
    assert domain.is_free(number)


def test_two_services_do_not_hear_each_other_and_end_as_they_are_asked_to(sim, processes):
    first, one = sim()
    second, two = sim()
    assert one != two
    said = processes.start("vla_ros.cli", "say", "go there", "--domain", one)
    assert said.ends() == 0
    first.says("go there")
    refused = processes.start("vla_ros.cli", "sim", "--policy", SPEC, ROS_DOMAIN_ID=str(one))
    assert refused.ends() == 2
    assert f"ROS domain {one}" in refused.text
    pids = [*children(first.popen.pid), *children(second.popen.pid)]
    first.signal(signal.SIGINT)
    second.signal(signal.SIGTERM)
    assert (first.ends(), second.ends()) == (0, 143)
    assert "go there" not in second.text
    gone(pids)
    assert left_of(one) + left_of(two) == []


def test_the_small_clients_stop_and_enable_the_arm(sim, processes):
    _, number = sim()

    def client(*words):
        process = processes.start("vla_ros.cli", *words, "--domain", number)
        return process.ends(), process.text

    assert client("stop") == (0, "stopped")
    status, text = client("enable")
    assert status == 1
    assert "/arm/reset" in text
    assert client("reset")[0] == 0
    assert client("enable") == (0, "idle")
    assert client("say", "x" * 1000)[0] == 1


def test_episodes_end_with_a_table_and_json(processes, tmp_path):
    """Of a policy that refuses its instruction, since a failure by time takes its time."""
    words = ["--episodes", 2, "--seed", 40, "--json", tmp_path / "result.json", "--instruction", "go " * 20]
    words += ["--set", "policy.instruction_limit=16"]
    process = processes.start("vla_ros.cli", "sim", "--policy", SPEC, *words, ROS_DOMAIN_ID=None)
    assert process.ends(2 * PATIENCE) == 0
    assert "instruction refused" in process.text
    result = json.loads((tmp_path / "result.json").read_text())
    assert set(result) == {"summary", "items", "machine"}
    assert result["summary"]["success"] == {"value": 0.0, "low": 0.0, "high": pytest.approx(0.658, abs=1e-3), "n": 2}
    assert [item["seed"] for item in result["items"]] == [40, 41]


def test_a_demo_that_does_not_succeed_says_so_and_leaves_its_pictures(processes, tmp_path):
    words = ["--output", tmp_path, "--episodes", 2, "--no-video", "--set", "policy.instruction_limit=16"]
    process = processes.start("vla_ros.cli", "demo", "--policy", SPEC, *words, ROS_DOMAIN_ID=None)
    assert process.ends(2 * PATIENCE) == 1
    assert "0 of 2 episodes succeeded (needed: 2)" in process.text
    assert {path.name for path in tmp_path.iterdir()} == {"cameras.png", "result.json"}


def test_foreign_chunks_in_the_domain_that_is_asked_for_are_a_refusal(ros, processes):
    from trajectory_msgs.msg import MultiDOFJointTrajectory

    ros.node("foreigner").create_publisher(MultiDOFJointTrajectory, "/vla/action_chunk", 1)
    own = int(os.environ["ROS_DOMAIN_ID"])
    process = processes.start("vla_ros.cli", "sim", "--policy", SPEC, ROS_DOMAIN_ID=str(own))
    assert process.ends() == 2
    assert "somebody publishes /vla/action_chunk" in process.text
