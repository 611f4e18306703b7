"""Where the processes of one service meet."""

import os
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


AHEAD = """
import os, threading
from vla_ros import runtime
ended = threading.Event()
threading.Thread(target=ended.wait).start()
permitted = runtime.run_ahead(-5)
threading.Thread(target=ended.wait).start()
threads = [int(name) for name in os.listdir("/proc/self/task")]
print(permitted, len(threads), {(os.sched_getscheduler(t), os.sched_getparam(t).sched_priority) for t in threads})
ended.set()
"""


def test_every_thread_runs_ahead_where_that_is_permitted():
    said = subprocess.run([sys.executable, "-c", AHEAD], capture_output=True, text=True, check=True).stdout.strip()
    fifo, ordinary = os.SCHED_FIFO, os.SCHED_OTHER
    assert said in (f"True 3 {{({fifo}, 1)}}", f"False 3 {{({ordinary}, 0)}}")


def test_where_it_is_not_permitted_that_is_said(monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert not runtime.run_ahead(40)
