"""The launch files, where `ros2 launch` is installed: it is on no package index, so elsewhere this is skipped."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vla_ros.nodes import domain

from .bed import Process, children
from .test_live import SPEC, folder, gone, left_of

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


@pytest.fixture
def launch():
    """Starts a launch file in a domain of its own: the process and the domain."""
    if importlib.util.find_spec("launch_ros") is None:
        pytest.skip("ros2 launch is not installed")
    started = []

    def start(name, *words):
        number, held = domain.claim()
        held.close()
        environment = os.environ | {"ROS_DOMAIN_ID": str(number)}
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


@pytest.mark.parametrize(("name", "brings"), [("robot", "Kortex"), ("record", "recorder")])
def test_what_is_not_in_this_version_says_what_a_later_one_brings(launch, name, brings):
    process, _ = launch(f"{name}.launch.py")
    assert process.ends() != 0
    assert re.search(rf"{name}.launch.py is not in this version.*{brings}", process.text)


def test_the_arguments_are_those_of_the_readme():
    if importlib.util.find_spec("launch_ros") is None:
        pytest.skip("ros2 launch is not installed")
    code = (
        "import runpy, sys\n"
        f"made = runpy.run_path({str(FOLDER / 'sim.launch.py')!r})['generate_launch_description']()\n"
        "print(*sorted(a.name for a, _ in made.get_launch_arguments_with_include_launch_description_actions()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["config", "instruction", "policy", "renderer", "seed"], done.stderr
