"""The dashboard's process over real DDS: what it hears is on its page, and what its page asks for is done."""

import os
import signal
import socket
import threading
import time

import httpx
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import TwistStamped
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vla_ros.commands.live import port_near
from vla_ros.config import load
from vla_ros.nodes import convert
from vla_ros.nodes.client import Client
from vla_ros.nodes.dashboard import DashboardNode
from vla_ros.nodes.process import RefusalError, newest
from vla_ros.nodes.service import Service

from .bed import PATIENCE, arm_at
from .test_live import SPEC

pytest.importorskip("websockets")


@pytest.fixture
def port():
    return port_near(0)


def asked(ros, call):
    """The answer to a request, while the nodes are spun."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(call()))
    thread.start()
    ros.spin_until(lambda: bool(answers), "an answer")
    thread.join()
    return answers[0]


def test_what_is_heard_is_on_the_page(ros, port):
    node = ros.add(DashboardNode, **{"dashboard.port": port})
    probe = ros.node()
    status = probe.create_publisher(DiagnosticArray, "/arm/status", newest(depth=10))
    joints = probe.create_publisher(convert.JointState, "/joint_states", newest(reliable=False))
    tool = probe.create_publisher(convert.PoseStamped, "/arm/tool_pose", newest(reliable=False))
    moment = time.time_ns()

    def say():
        report = convert.diagnostic("arm", DiagnosticStatus.OK, "idle", {"mode": "IDLE"})
        status.publish(convert.diagnostics(moment, [report]))
        for publisher, message in zip((joints, tool), convert.from_arm(arm_at(0), moment), strict=True):
            publisher.publish(message)

    probe.create_timer(0.05, say)
    ros.spin_until(lambda: node.board.arm.get() and node.board.motion.get(), "the arm")
    found = asked(ros, lambda: httpx.get(f"http://127.0.0.1:{port}/api/status")).json()
    assert found["arm"]["values"] == {"mode": "IDLE"}
    assert found["motion"]["position"] == pytest.approx([0.45, 0.0, 0.2])
    assert [(e.topic, e.text) for e in node.board.verdicts.since(0)] == [("IDLE", "idle")]


def test_wishes_instructions_and_twists_reach_the_robot(ros, port):
    node = ros.add(DashboardNode, **{"dashboard.port": port})
    robot, heard = ros.node("robot"), []
    url = f"http://127.0.0.1:{port}"
    assert asked(ros, lambda: httpx.post(f"{url}/api/stop")).status_code == 503

    def answer(_, response):
        response.success, response.message = True, "stopped"
        return response

    robot.create_service(Trigger, "/arm/stop", answer)
    robot.create_subscription(String, "/vla/instruction", lambda m: heard.append(m.data), newest())
    robot.create_subscription(TwistStamped, "/teleop/twist", heard.append, newest(reliable=False))
    ros.spin_until(lambda: node.calls.ready(), "the robot")
    assert asked(ros, lambda: httpx.post(f"{url}/api/stop")).json() == {"text": "stopped"}
    assert asked(ros, lambda: httpx.post(f"{url}/api/instruction", json={"text": "go"})).status_code == 200
    ros.spin_until(lambda: "go" in heard, "the instruction")

    def drive():
        node.calls.drive((0.01, 0, 0, 0, 0, 0.1), True, None)
        return any(isinstance(message, TwistStamped) for message in heard)

    ros.spin_until(drive, "the twist")
    twist = next(message for message in heard if isinstance(message, TwistStamped))
    assert (twist.header.frame_id, twist.twist.linear.x, twist.twist.angular.z) == ("tool", 0.01, 0.1)
    assert [entry.text for entry in node.board.log.since(0) if entry.topic == "dashboard"][1:3] == [
        "stop: stopped",
        "instruction: go",
    ]


def test_a_port_that_is_taken_is_named(ros, port):
    ros.add(DashboardNode, **{"dashboard.port": port})
    with pytest.raises(RefusalError, match=rf"cannot have 127.0.0.1:{port}.*choose another"):
        DashboardNode(context=ros.context, parameter_overrides=ros.nodes[0]._parameter_overrides.values())


def test_a_recorder_is_shown_and_asked_once_it_is_heard(ros, port):
    node = ros.add(DashboardNode, **{"dashboard.port": port})
    url = f"http://127.0.0.1:{port}/api/recorder"
    assert asked(ros, lambda: httpx.get(url)).status_code == 503
    assert asked(ros, lambda: httpx.post(f"{url}/start")).status_code == 503
    recorder, pressed = ros.node("recorder"), []
    status = recorder.create_publisher(DiagnosticArray, "/recorder/status", newest(depth=10))

    def say():
        report = convert.diagnostic("recorder", DiagnosticStatus.OK, "armed", {"phase": "armed", "episodes": 4})
        status.publish(convert.diagnostics(time.time_ns(), [report]))

    def answer(_, response):
        pressed.append("start")
        response.success, response.message = False, "the arm is parking: a moment"
        return response

    recorder.create_timer(0.05, say)
    recorder.create_service(Trigger, "/recorder/start", answer)
    ros.spin_until(lambda: node.board.recorder.get(), "the recorder")
    assert asked(ros, lambda: httpx.get(url)).json()["values"] == {"phase": "armed", "episodes": "4"}
    ros.spin_until(lambda: asked(ros, lambda: httpx.post(f"{url}/start")).status_code == 409, "its answer")
    assert pressed


def test_a_machine_without_the_web_server_is_told_what_to_install(tmp_path, port, processes):
    (tmp_path / "fastapi.py").write_text("raise ModuleNotFoundError(\"No module named 'fastapi'\", name='fastapi')\n")
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH", ""))))
    words = ("--ros-args", "-p", f"dashboard.port:={port}")
    process = processes.start("vla_ros.nodes.dashboard", *words, PYTHONPATH=path)
    assert process.ends() == 2
    assert "no dashboard here (No module named 'fastapi'): pip install 'vla_ros[dashboard]'" in process.text


def test_a_service_runs_on_where_the_port_of_its_page_is_taken(monkeypatch, port):
    monkeypatch.delenv("ROS_DOMAIN_ID")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        config = load("twin", overrides=[f"policy.bundle={SPEC}", f"dashboard.port={port}"])
        with Service(config) as service, Client(service.check) as client:
            assert client.wait(lambda: bool(service.fallen()), PATIENCE)
            assert f"cannot have 127.0.0.1:{port}" in service.fallen()[0]
            client.bring_up("policy")
            before = client.arm.count
            assert client.wait(lambda: client.arm.count > before + 5, PATIENCE)


def test_no_port_is_no_dashboard(ros):
    with pytest.raises(RefusalError, match=r"dashboard\.port is 0"):
        ros.add(DashboardNode)


def test_cameras_are_subscribed_to_while_somebody_looks(ros, port):
    node = ros.add(DashboardNode, **{"dashboard.port": port})
    topic = "/static_camera/color/image_raw"
    assert node.count_subscribers(topic) == 0
    leave = node.board.pictures["static"].listen(lambda: None)
    ros.spin_until(lambda: node.count_subscribers(topic) == 1, "a subscription")
    leave()
    ros.spin_until(lambda: node.count_subscribers(topic) == 0, "no subscription")


def test_the_whole_service_is_seen_and_stopped_and_outlives_its_dashboard(monkeypatch, port):
    monkeypatch.delenv("ROS_DOMAIN_ID")
    config = load("twin", overrides=[f"policy.bundle={SPEC}", f"dashboard.port={port}"])
    url = f"http://127.0.0.1:{port}"
    with Service(config) as service, Client(service.check) as client:
        client.bring_up("policy")

        def tells(path, holds):
            try:
                answer = httpx.get(f"{url}{path}", timeout=5.0)
            except httpx.TransportError:
                return False
            return answer.status_code == 200 and holds(answer)

        assert client.wait(lambda: tells("/healthz", lambda _: True), PATIENCE)
        assert client.wait(
            lambda: tells("/cameras/wrist.jpg", lambda answer: answer.content[:2] == b"\xff\xd8"), PATIENCE
        )
        assert httpx.post(f"{url}/api/stop").json() == {"text": "stopped"}
        assert client.wait(lambda: client.arm.values.get("mode") == "STOPPED", PATIENCE)
        assert service.fallen() == []
        os.kill(service.pids()["dashboard"], signal.SIGKILL)
        assert client.wait(lambda: len(service.fallen()) == 1, PATIENCE)
        assert service.fallen()[0].startswith("dashboard was killed by SIGKILL")
        before = client.arm.count
        assert client.wait(lambda: client.arm.count > before + 5, PATIENCE)
