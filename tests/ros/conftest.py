"""Real nodes over real DDS, in a domain of this process's own. Nothing here needs launch_testing."""

import atexit
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from vla_ros import bringup
from vla_ros.nodes import domain

if importlib.util.find_spec("rclpy") is None:
    collect_ignore_glob = ["test_*.py"]
else:
    # Before rclpy is imported anywhere, and in the whole process: each xdist worker is one.
    os.environ.pop("ROS_LOCALHOST_ONLY", None)
    os.environ.pop("RMW_IMPLEMENTATION", None)
    os.environ.update(bringup.environment(os.environ))
    NUMBER, _HELD = domain.claim()
    os.environ["ROS_DOMAIN_ID"] = str(NUMBER)
    os.environ["ROS_LOG_DIR"] = tempfile.mkdtemp(prefix="vla_ros-log-")
    atexit.register(shutil.rmtree, os.environ["ROS_LOG_DIR"], ignore_errors=True)


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.ros)


@pytest.fixture
def ros():
    """A ROS context of this test's own, with an executor: nothing leaks into the next test."""
    from .bed import Ros

    with Ros() as bed:
        yield bed


@pytest.fixture
def processes():
    """Starts commands of this project; whatever is left of them at the end is killed."""
    from .bed import Processes

    with Processes() as started:
        yield started
