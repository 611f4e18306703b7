"""A recorded episode on the live arm: led along through the teleop input, and served as a policy; both through the governor."""

import numpy as np
import pytest

from vla_ros.commands.live import enable
from vla_ros.config import load
from vla_ros.episodes.lerobot import DatasetWriter
from vla_ros.episodes.reader import DatasetReader
from vla_ros.episodes.replay import track
from vla_ros.geometry import Pose
from vla_ros.nodes.client import Client
from vla_ros.nodes.drive import Driver
from vla_ros.nodes.service import Service

from .bed import PATIENCE

START, WAY, SECONDS, FPS = (0.45, -0.05, 0.25), 0.10, 3.0, 30
LOOSE = (
    "deadlines.camera_hold=2.0",
    "deadlines.camera_disarm=8.0",
    "deadlines.feedback_hold=0.5",
    "deadlines.feedback_stop=4.0",
)


def record(path):
    """One episode: along y, slow at both ends, the gripper closing half way."""
    with DatasetWriter(path, {"observation.state": ("float32", (8,))}, FPS, "kinova_gen3_2f85") as writer:
        writer.begin("push")
        for k in range(round(SECONDS * FPS) + 1):
            share = (1 - np.cos(np.pi * k / (SECONDS * FPS))) / 2
            closed = float(share > 0.5)
            position = (START[0], START[1] + WAY * share, START[2])
            writer.add({}, {"observation.state": [*position, 0.0, 0.0, 0.0, closed, closed]})
        writer.commit()
    return path


@pytest.fixture(scope="module")
def replaying(tmp_path_factory):
    """A service whose policy is a recorded episode, enabled; and the way of it."""
    path = record(tmp_path_factory.mktemp("replay") / "data")
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("ROS_DOMAIN_ID")
        config = load("twin", overrides=[f"policy.bundle=replay:{path}#0", *LOOSE])
        with Service(config) as service, Client(service.check) as client:
            client.bring_up("policy")
            enable(client, PATIENCE)
            yield service, client, path, Driver(client, config)


def test_the_command_leads_the_arm_to_where_an_episode_begins_and_along_it(replaying, processes):
    service, _, path, driver = replaying
    words = ["episodes", "replay", path, "0", "--speed", "1.0", "--domain", service.domain]
    process = processes.start("vla_ros.cli", *words, ROS_DOMAIN_ID=None)
    assert process.ends(3 * PATIENCE) == 0, process.text
    assert "mm from the recorded way" in process.text
    end = np.array(START) + np.array([0.0, WAY, 0.0])
    assert np.linalg.norm(driver.tool.position - end) < 0.02


def test_as_a_policy_it_refuses_to_begin_elsewhere_and_goes_its_way_from_where_it_begins(replaying):
    _, client, path, driver = replaying
    away = Pose(np.array(START) + np.array([0.0, 0.15, 0.0]), driver.tool.quaternion)
    assert driver.go(away)
    driver.rest()
    client.instruct("go")
    assert client.wait(lambda: "lead it within" in client.policy.message, PATIENCE), client.policy
    assert client.policy.level > 0
    assert "begins at (0.450, -0.050, 0.250)" in client.policy.message
    client.instruct("")
    assert client.wait(lambda: not client.policy.values.get("instruction", "?"), PATIENCE)
    way = track(DatasetReader(path), 0)
    assert driver.go(way.at(0.0))
    driver.rest()
    client.instruct("go")
    end = way.at(way.seconds).position
    assert client.wait(lambda: np.linalg.norm(driver.tool.position - end) < 0.01, PATIENCE), driver.tool
    assert client.arm.values["mode"] == "ACTIVE", client.arm
    assert client.wait(lambda: float(client.arm.values["gripper_command"]) == 1.0, PATIENCE)
    client.instruct("")
