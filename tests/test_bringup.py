"""Which processes make a service, and how one of them is started."""

import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from vla_ros import bringup
from vla_ros.config import load
from vla_ros.nodes import start


def test_the_twin_needs_these_processes_and_the_servo_is_the_first_to_stop():
    processes = {process.name: process for process in bringup.processes(load("twin"))}
    assert set(processes) == {"twin", "servo", "watchdog", "arm", "static_camera", "wrist_camera", "policy"}
    assert [p.name for p in processes.values() if p.kind == "lifecycle"] == ["policy"]
    assert processes["servo"].stage < processes["watchdog"].stage < processes["twin"].stage
    assert processes["static_camera"].needs == ("twin_state",)
    assert all(process.critical for process in processes.values())


def test_a_robot_has_no_twin_and_a_camera_of_somebody_else_no_process():
    config = load("robot", overrides=["cameras.wrist.driver=topic"])
    processes = {process.name: process for process in bringup.processes(config)}
    assert set(processes) == {"servo", "watchdog", "arm", "static_camera", "policy"}
    assert not any(process.needs for process in processes.values())


def test_a_dashboard_is_a_process_where_it_has_a_port_and_may_die():
    processes = {
        process.name: process for process in bringup.processes(load("twin", overrides=["dashboard.port=8099"]))
    }
    assert processes["dashboard"].module == "vla_ros.nodes.dashboard"
    assert [name for name, process in processes.items() if not process.critical] == ["dashboard"]
    assert processes["dashboard"].stage > processes["servo"].stage


def test_every_process_is_a_module_that_can_be_run():
    for process in bringup.processes(load("twin", overrides=["dashboard.port=8099"])):
        path = Path(bringup.__file__).parent.parent / f"{process.module.replace('.', '/')}.py"
        assert "__main__" in path.read_text()


def test_a_command_names_its_parent_its_needs_and_its_files():
    processes = {process.name: process for process in bringup.processes(load("twin"))}
    words = processes["wrist_camera"].command(Path("/run/x"), 42)
    assert words[:6] == [sys.executable, "-m", "vla_ros.nodes.start", "--parent", "42", "--needs"]
    assert words[6] == "/run/x/twin_state"
    assert words[-2:] == ["-p", "camera:=wrist"]
    assert "__node:=wrist_camera" in words
    assert processes["servo"].command(Path("/run/x"))[-4:] == ["--runtime", "/run/x", "--config", "/run/x/config.yaml"]


def test_plain_processes_read_the_configuration_that_was_prepared(tmp_path):
    config = bringup.prepare(load("twin", overrides=["limits.speed=0.11"]), tmp_path / "made")
    assert config.runtime == str(tmp_path / "made")
    assert load(tmp_path / "made" / bringup.CONFIG) == config


def test_the_environment_keeps_what_was_set_and_adds_what_images_need():
    made = bringup.environment({"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET", "OTHER": "kept"})
    assert made["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "SUBNET"
    assert made["OTHER"] == "kept"
    assert Path(made["FASTRTPS_DEFAULT_PROFILES_FILE"]).is_file()
    assert {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "OMP_NUM_THREADS"} <= set(made)
    assert bringup.environment({})["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"


def test_the_profile_has_a_segment_that_holds_images():
    size = ElementTree.parse(bringup.PROFILE).find(".//{*}segment_size").text
    assert int(size) >= 32 * 1024 * 1024


@pytest.mark.skipif(not hasattr(bringup, "_for_wheels"), reason="wheels only")
@pytest.mark.parametrize(("middleware", "kept"), [("rmw_cyclonedds_cpp", False), ("rmw_fastrtps_cpp", True)])
def test_the_wheels_know_one_middleware_and_find_their_libraries_anew(middleware, kept):
    variables = {
        "RMW_IMPLEMENTATION": middleware,
        "_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1",
        "LD_LIBRARY_PATH": "/elsewhere",
    }
    bringup._for_wheels(variables)
    assert ("RMW_IMPLEMENTATION" in variables) is kept
    assert "_ROS_WHEELS_BOOTSTRAP_COMPLETE" not in variables


def run_start(*words, **arguments):
    return subprocess.Popen([sys.executable, "-m", "vla_ros.nodes.start", *map(str, words)], **arguments)


def test_start_becomes_the_command_once_what_it_needs_is_there(tmp_path):
    needed = tmp_path / "block"
    script = "import os, sys; print(os.getpid(), *sys.argv[1:])"
    words = ["--needs", needed, "--", sys.executable, "-c", script, "--needs", "kept"]
    process = run_start(*words, stdout=subprocess.PIPE, text=True)
    needed.touch()
    assert process.communicate(timeout=30)[0].split() == [str(process.pid), "--needs", "kept"]
    assert process.returncode == 0


def test_start_names_what_it_waited_for(tmp_path, capsys):
    assert start.main(["--needs", str(tmp_path / "block"), "--patience", "0", "--", "true"]) == 1
    assert "block did not appear" in capsys.readouterr().err


def test_a_camera_with_an_interpreter_of_its_own_is_started_by_it():
    config = load("twin", overrides=["cameras.static.driver=azure_kinect", "cameras.static.python=/other/python"])
    processes = {process.name: process for process in bringup.processes(config)}
    words = processes["static_camera"].command(Path("/run/x"))
    assert words[0] == sys.executable
    assert words[words.index("--") + 1 :][:3] == ["/other/python", "-m", "vla_ros.nodes.camera"]
    assert processes["wrist_camera"].command(Path("/run/x")).count(sys.executable) == 2


def test_a_program_of_another_installation_does_not_get_the_libraries_of_our_wheels():
    libraries = os.pathsep.join([f"{sys.prefix}/lib", "/elsewhere", f"{sys.prefix}/lib/x.libs"])
    given = os.environ | {"_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1", "LD_LIBRARY_PATH": libraries}
    show = "import os; print(os.environ.get('_ROS_WHEELS_BOOTSTRAP_COMPLETE'), os.environ['LD_LIBRARY_PATH'])"
    python = Path(sys.base_prefix) / "bin/python3"
    other = run_start("--", python, "-I", "-S", "-c", show, env=given, stdout=subprocess.PIPE, text=True)
    assert other.communicate(timeout=30)[0].split() == ["None", "/elsewhere"]
    same = run_start("--", sys.executable, "-c", show, env=given, stdout=subprocess.PIPE, text=True)
    assert same.communicate(timeout=30)[0].split() == ["1", libraries]


def test_an_interpreter_that_is_not_there_is_named(capsys):
    assert start.main(["--", "/no/such/python"]) == 1
    said = capsys.readouterr().err
    assert "'/no/such/python' cannot be started (No such file or directory)" in said
    assert "`python` of a camera" in said


def test_a_started_process_ends_when_its_parent_is_killed(tmp_path):
    mark = tmp_path / "pid"
    child = f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    parent = (
        "import os, subprocess, sys, time\n"
        f"words = [sys.executable, '-m', 'vla_ros.nodes.start', '--parent', str(os.getpid()), '--', sys.executable, '-c', {child!r}]\n"
        "subprocess.Popen(words, start_new_session=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", parent])
    _until(lambda: mark.exists() and mark.read_text())
    pid = int(mark.read_text())
    process.send_signal(signal.SIGKILL)
    process.wait()
    _until(lambda: not _alive(pid))


def test_a_process_that_is_started_after_its_parent_has_died_leaves():
    process = run_start("--parent", 1 if os.getpid() != 1 else 2, "--", "true")
    assert process.wait(30) == 1


def _until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_twin_has_nothing_in_its_way():
    assert bringup.obstacles(load("twin")) == []


def test_what_is_missing_for_a_robot_is_named_with_its_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(bringup.importlib.util, "find_spec", lambda name: None)
    overrides = ["policy.bundle=no_such", f"cameras.wrist.python={tmp_path / 'python'}"]
    found = bringup.obstacles(load("robot", overrides=overrides))
    wanted = [
        "kortex_api",
        "cameras.static.driver azure_kinect: pyk4a",
        "cameras.wrist.python",
        "no policy bundle 'no_such'",
    ]
    assert [any(text in line for line in found) for text in wanted] == [True] * 4
    assert len(found) == 4
    (tmp_path / "python").touch(0o755)
    assert len(bringup.obstacles(load("robot", overrides=overrides))) == 3


def test_a_recorder_is_part_of_the_service_where_a_dataset_is_named():
    config = load("twin", overrides=["record.output=data", "record.tasks=[a]", "teleop.device=joy"])
    processes = {process.name: process for process in bringup.processes(config)}
    assert processes["recorder"].stage == processes["teleop"].stage == 0


def test_what_recording_lacks_is_an_obstacle_with_its_remedy(monkeypatch):
    monkeypatch.setattr(bringup.importlib.util, "find_spec", lambda name: None if name == "mcap" else name)
    config = load("twin", overrides=["record.output=data"])
    assert "record.log=false" in bringup.without_recorder(config)
    assert bringup.without_recorder(load("twin", overrides=["record.output=data", "record.log=false"])) == ""
    assert bringup.without_recorder(load("twin")) == ""
