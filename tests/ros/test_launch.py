"""The launch files, where `ros2 launch` is installed: it is on no package index, so elsewhere this is skipped."""

import ast
import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.arms import standin
from vla_ros import bringup
from vla_ros.config import load
from vla_ros.nodes import domain
from vla_ros.shared import Block
from vla_ros.twin import blocks

from .bed import PATIENCE, Process, children
from .test_live import SPEC, TARGET, folder, gone, left_of

FOLDER = Path(__file__).parents[2] / "launch"
FILES = sorted(path.name for path in FOLDER.glob("*.launch.py"))

LAUNCH = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
service = LaunchService(noninteractive=True)
source = PythonLaunchDescriptionSource(sys.argv[1])
arguments = [tuple(word.split(":=")) for word in sys.argv[2:]]
service.include_launch_description(
    LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments)])
)
sys.exit(service.run())
"""


def test_every_launch_file_is_python():
    assert FILES == ["record.launch.py", "robot.launch.py", "sim.launch.py"]
    for name in FILES:
        compile((FOLDER / name).read_text(), name, "exec")


@pytest.mark.parametrize("name", FILES)
def test_every_launch_file_starts_the_dashboard(name):
    """Read from the source: `ros2 launch` is on no package index."""
    constants = {
        target.id: ast.literal_eval(node.value)
        for node in ast.parse((FOLDER / name).read_text()).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert constants["SETTINGS"]["dashboard"] == "dashboard.port"
    port, about = constants["ARGUMENTS"]["dashboard"]
    config = load("twin", overrides=[f"dashboard.port={port}"])
    assert "dashboard" in [process.name for process in bringup.processes(config)]
    assert "0: none" in about


@pytest.fixture
def launch():
    """Starts a launch file in a domain of its own: the process and the domain."""
    if importlib.util.find_spec("launch_ros") is None:
        pytest.skip("ros2 launch is not installed")
    started = []

    def start(name, *words, sdk=False):
        number, held = domain.claim()
        held.close()
        environment = (standin.environment() if sdk else dict(os.environ)) | {"ROS_DOMAIN_ID": str(number)}
        words += ("dashboard:=0",)  # its port is one for all
        process = Process([sys.executable, "-c", LAUNCH, str(FOLDER / name), *words], environment)
        started.append(process)
        return process, number

    yield start
    for process in started:
        if process.popen.poll() is None:
            process.signal(signal.SIGINT)
            process.ends()


def test_the_twin_moves_and_ctrl_c_leaves_nothing_behind(launch):
    process, number = launch("sim.launch.py", f"policy:={SPEC}", "instruction:=go there")
    process.says("[say-8]: process has finished cleanly")
    pids = children(process.popen.pid)
    assert len(pids) == 7
    process.signal(signal.SIGINT)
    assert process.ends() == 0
    gone(pids)
    assert not folder(number).exists()
    assert left_of(number) == []


def test_a_process_that_dies_ends_the_service(launch):
    process, _ = launch("sim.launch.py", f"policy:={SPEC}", "instruction:=go there")
    process.says("policy: ")
    pids = children(process.popen.pid)
    os.kill(next(pid for pid, words in pids.items() if "motion.servo" in words), signal.SIGKILL)
    process.ends()
    assert re.search(r"servo-\d\]: process has died .*exit code -9", process.text)
    gone(pids)


def test_a_policy_that_cannot_be_loaded_ends_the_service(launch):
    process, _ = launch("sim.launch.py", "policy:=no_such_bundle")
    process.ends()
    assert "no_such_bundle" in process.text


def test_a_recorder_without_a_place_and_a_task_is_refused_before_anything_is_started(launch):
    process, _ = launch("record.launch.py")
    assert process.ends() != 0
    assert "record.output and record.tasks must not be empty" in process.text


def test_the_recorder_comes_up_with_the_service(launch, tmp_path):
    words = [f"policy:={SPEC}", f"output:={tmp_path / 'data'}", "tasks:=['pick up the red cube']", "device:=joy"]
    process, number = launch("record.launch.py", *words)
    deadline = time.monotonic() + PATIENCE
    while not (tmp_path / "data" / "meta" / "info.json").exists():
        assert process.popen.poll() is None, process.text
        assert time.monotonic() < deadline
        time.sleep(0.05)
    pids = children(process.popen.pid)
    assert len(pids) == 9
    process.signal(signal.SIGINT)
    assert process.ends() == 0
    gone(pids)
    assert left_of(number) == []


@pytest.fixture
def behind_kortex(tmp_path):
    """A configuration whose arm is the twin behind the Kortex protocol, on ports of its own."""
    ports = [free_port(socket.SOCK_STREAM), free_port(socket.SOCK_DGRAM)]
    twin = load("twin").model_dump(mode="json")
    arm = {"driver": "kortex", "address": "127.0.0.1", "port": ports[0], "feedback_port": ports[1]}
    path = tmp_path / "behind_kortex.yaml"
    path.write_text(yaml.safe_dump(twin | {"arm": arm, "twin": twin["twin"] | {"kortex": True}}))
    return path


def free_port(kind):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_the_robot_comes_up_disarmed_is_led_and_ctrl_c_leaves_nothing_behind(launch, behind_kortex):
    process, number = launch("robot.launch.py", f"config:={behind_kortex}", f"policy:={SPEC}", "speed:=0.1", sdk=True)
    process.says("[kortex] tool configuration set")
    pids = children(process.popen.pid)
    assert len(pids) == 7
    heard = ask(number, "stop")
    assert heard.returncode == 0, heard.stderr
    assert ask(number, "reset").returncode == 0
    said = ask(number, "say", "--enable", "go there")
    assert said.returncode == 0, said.stdout + said.stderr + process.text
    assert "arm: " in said.stdout
    arrives(number)
    process.signal(signal.SIGINT)
    assert process.ends() == 0
    gone(pids)
    assert not folder(number).exists()


def ask(number, *words):
    command = [sys.executable, "-m", "vla_ros.cli", *words, "--domain", str(number)]
    return subprocess.run(command, capture_output=True, text=True, timeout=90)


def arrives(number):
    """Wait until the tool is where the policy leads it."""
    feedback = Block.attach(folder(number) / "arm_feedback", blocks.FEEDBACK)
    deadline = time.monotonic() + PATIENCE
    while True:
        got = feedback.read()
        if got is not None and np.linalg.norm(blocks.unpack_feedback(got[1]).tool.position - TARGET) < 0.02:
            return
        assert time.monotonic() < deadline, "the tool did not get there"
        time.sleep(0.05)


def test_an_instruction_does_not_enable_a_robot(launch, behind_kortex):
    words = ["robot.launch.py", f"config:={behind_kortex}", f"policy:={SPEC}", "instruction:=go there"]
    process, number = launch(*words, sdk=True)
    process.says("process has finished cleanly")
    feedback = Block.attach(folder(number) / "arm_feedback", blocks.FEEDBACK)
    before = blocks.unpack_feedback(feedback.read()[1]).tool.position
    time.sleep(1.0)
    after = blocks.unpack_feedback(feedback.read()[1]).tool.position
    assert np.linalg.norm(after - before) < 1e-3


def test_a_robot_that_is_not_there_is_named_and_ends_the_service(launch, tmp_path):
    path = tmp_path / "nobody.yaml"
    robot = {
        "cameras": {name: {"driver": "topic"} for name in ("static", "wrist")},
        "arm": {"address": "127.0.0.1", "port": 1},
    }
    path.write_text(yaml.safe_dump(robot))
    process, _ = launch("robot.launch.py", f"config:=robot {path}", f"policy:={SPEC}", sdk=True)
    process.ends()
    assert "the arm at 127.0.0.1:1 refuses the connection" in process.text


def test_without_the_wheel_a_robot_is_refused_before_anything_is_started(launch):
    if standin.use() == "vendor":
        pytest.skip("the vendor's wheel is installed")
    process, number = launch("robot.launch.py", "cameras:=topic")
    assert process.ends() != 0
    assert re.search(r"nothing was started:\n.*kortex_api.*not installed.*pip install", process.text)
    assert "process started" not in process.text
    assert not folder(number).exists()


ARGUMENTS = {
    "sim": ["config", "dashboard", "instruction", "policy", "renderer", "seed"],
    "robot": ["address", "calibration", "cameras", "config", "dashboard", "instruction", "policy", "speed"],
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_the_arguments_are_those_of_the_docs(name):
    if importlib.util.find_spec("launch_ros") is None:
        pytest.skip("ros2 launch is not installed")
    code = (
        "import runpy, sys\n"
        f"made = runpy.run_path({str(FOLDER / f'{name}.launch.py')!r})['generate_launch_description']()\n"
        "print(*sorted(a.name for a, _ in made.get_launch_arguments_with_include_launch_description_actions()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ARGUMENTS[name], done.stderr
