"""Where the processes of one service meet."""

import subprocess
import sys
from pathlib import Path

import pytest

from vla_ros import runtime
from vla_ros.config import load

HOLDER = """
import sys
from pathlib import Path
from vla_ros import runtime
held = runtime.lock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_the_folder_is_the_configured_one():
    assert runtime.folder(load(overrides=["runtime=/tmp/somewhere"])) == Path("/tmp/somewhere")


def test_every_ros_domain_has_a_folder_of_its_own(monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "7")
    seven = runtime.folder(load())
    monkeypatch.delenv("ROS_DOMAIN_ID")
    assert seven.parent == Path("/dev/shm")
    assert seven != runtime.folder(load())
    monkeypatch.setenv("ROS_DOMAIN_ID", "")
    assert runtime.folder(load()).name.endswith("-0")


def test_a_second_service_is_refused_with_a_remedy(tmp_path):
    first = runtime.lock(tmp_path / "service")
    with pytest.raises(runtime.RuntimeBusyError, match=r"already runs in .*service: stop it, or choose another"):
        runtime.lock(tmp_path / "service")
    first.close()
    runtime.lock(tmp_path / "service").close()


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    arguments = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        with pytest.raises(runtime.RuntimeBusyError):
            runtime.lock(tmp_path)
        holder.kill()
        holder.wait()
    runtime.lock(tmp_path).close()


def test_only_the_user_may_look_into_the_folder(tmp_path):
    runtime.lock(tmp_path / "service").close()
    assert (tmp_path / "service").stat().st_mode & 0o077 == 0
