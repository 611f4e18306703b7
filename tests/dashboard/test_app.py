"""What the application answers, asked as a browser asks it, around a robot that is filled by hand."""

import json
import re
import struct
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from vla_ros.clock import SECOND, MonotonicClock
from vla_ros.dashboard.commands import Answer

from .fake import URL, WIRE, Robot, read_jpeg


def test_the_status_is_what_the_board_holds(robot, client):
    assert client.get("/api/status").json()["arm"] is None
    robot.fill()
    robot.clock.sleep_until(robot.clock.now() + SECOND // 10)
    status = client.get("/api/status").json()
    assert status["arm"]["values"]["mode"] == "ACTIVE"
    assert status["arm"]["age_ms"] == pytest.approx(100)
    assert status["motion"]["position"] == [0.45, 0.0, 0.2]
    assert status["latency"] == {"motion_p50_ms": 142.0, "delay_p50_ms": None}
    assert client.get("/api/latency").json() == status["latency"]


def test_healthz_tells_whether_the_arm_node_is_heard(robot, client):
    assert client.get("/healthz").status_code == 503
    robot.fill()
    assert client.get("/healthz").status_code == 200
    robot.clock.sleep_until(robot.clock.now() + 3 * SECOND)
    assert client.get("/healthz").status_code == 503


def test_an_arm_without_a_servo_is_not_healthy(robot, client):
    robot.fill()
    arm = robot.board.arm.get()
    robot.board.arm.put(replace(arm, values=arm.values | {"mode": "NONE"}))
    answer = client.get("/healthz")
    assert (answer.status_code, answer.text) == (503, "the servo is not running\n")


@pytest.mark.parametrize("name", ["stop", "enable", "disable", "reset"])
def test_wishes_are_asked_and_answered(robot, client, name):
    answer = client.post(f"/api/{name}")
    assert (answer.status_code, answer.json()) == (200, {"text": "done"})
    assert robot.commands.wishes == [name]


def test_stop_does_not_wait_behind_calls_that_nobody_answers():
    robot = Robot(clock=MonotonicClock())
    answer, called, ended = robot.commands.answer, [], threading.Event()

    def wish(name):
        called.append(name)
        if name == "enable":
            ended.wait(20.0)
        return answer

    robot.commands.wish = wish
    with TestClient(robot.app, base_url=URL) as client:
        waiting = [threading.Thread(target=client.post, args=("/api/enable",)) for _ in range(40)]
        for thread in waiting:
            thread.start()
        while "enable" not in called:
            ended.wait(0.01)
        assert client.post("/api/stop").status_code == 200
        ended.set()
        for thread in waiting:
            thread.join()


def test_a_refusal_is_a_conflict_and_an_absent_robot_unavailable(robot, client):
    robot.commands.answer = Answer(False, "a camera is stale")
    assert client.post("/api/enable").status_code == 409
    robot.commands.answer = Answer(False, "nobody offers /arm/stop", reached=False)
    answer = client.post("/api/stop")
    assert (answer.status_code, answer.json()["detail"]) == (503, "nobody offers /arm/stop")


def test_an_instruction_is_given_and_a_long_one_refused(robot, client):
    assert client.post("/api/instruction", json={"text": " pick up the red cube "}).status_code == 200
    assert client.post("/api/instruction", json={"text": "x" * 600}).status_code == 422
    assert client.post("/api/instruction", json={"txt": "x"}).status_code == 422
    assert client.post("/api/instruction", content=b"\x80\x04garbage").status_code == 422
    assert robot.commands.instructions == ["pick up the red cube"]


def test_the_configuration_hides_what_opens_doors(client):
    values = client.get("/api/configuration").json()
    assert values["arm"]["password"] == "(hidden)"
    assert values["limits"]["speed"] == 0.15


def test_the_policies_come_with_manifest_and_verification(client):
    (demo,) = [card for card in client.get("/api/policies").json() if card["name"] == "demo"]
    assert demo["active"]
    assert demo["problem"] == ""
    assert demo["verification"]
    assert demo["chunk"] == "10 steps of 100 ms, 5 played"


def test_verdicts_are_a_history_with_numbers(robot, client):
    for k in range(3):
        robot.board.verdicts.write(k, "HOLD", f"reason {k}", 1)
    assert [entry["text"] for entry in client.get("/api/verdicts?since=1").json()] == ["reason 1", "reason 2"]
    assert client.get("/api/verdicts?since=3").json() == []


def test_the_api_describes_itself(client):
    paths = client.get("/openapi.json").json()["paths"]
    wanted = {
        "status",
        "instruction",
        "enable",
        "disable",
        "stop",
        "reset",
        "policies",
        "configuration",
        "latency",
        "verdicts",
    }
    assert {f"/api/{name}" for name in wanted} <= set(paths)
    assert {"/metrics", "/healthz"} <= set(paths)


COPY = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"


def told(document):
    """What a program relies on; the framework's own schemas of errors change with it."""
    own = {name: part for name, part in document["components"]["schemas"].items() if "ValidationError" not in name}
    return document["paths"], own


def test_the_copy_in_the_documentation_is_of_this_version(client):
    assert told(client.get("/openapi.json").json()) == told(json.loads(COPY.read_text())), (
        "write it anew: vla-ros dashboard --openapi docs/openapi.json"
    )


LINE = re.compile(r"""([a-z_]+)(?:\{([a-z_]+="[^"\n]*"(?:,[a-z_]+="[^"\n]*")*)\})? (-?[0-9.e+-]+)""")


def parsed(text):
    """Exposition format 0.0.4, strictly: name -> (type, {labels: value}). A sample belongs to the family above it."""
    families, name = {}, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            assert name not in families
        elif line.startswith("# TYPE "):
            assert line.split(" ")[2] == name
            families[name] = (line.split(" ")[3], {})
        else:
            found = LINE.fullmatch(line)
            assert found, line
            assert found[1] == name
            assert found[2] not in families[name][1]
            families[name][1][found[2]] = float(found[3])
    return families


def test_every_metric_can_be_read_by_the_format_s_rules(robot, client):
    robot.fill()
    robot.take("recording", frames="73")
    families = parsed(client.get("/metrics").text)
    assert all(kind in ("gauge", "counter") and samples for kind, samples in families.values())
    assert all(name.endswith("_total") for name, (kind, _) in families.items() if kind == "counter")
    assert families["vla_ros_recorder_phase"][1]['phase="recording"'] == 1
    assert families["vla_ros_recorder_frames"][1] == {None: 73}
    assert families["vla_ros_heard_seconds"][1].keys() == {'node="arm"', 'node="policy"', 'node="recorder"'}


def test_metrics_are_prometheus_text(robot, client):
    robot.fill()
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert 'vla_ros_arm_mode{mode="ACTIVE"} 1' in lines
    assert 'vla_ros_arm_mode{mode="STOPPED"} 0' in lines
    assert "vla_ros_servo_missed_total 3" in lines
    assert 'vla_ros_age_seconds{of="chunk"} 0.12' in lines
    assert 'vla_ros_latency{name="motion_p50_ms"} 142' in lines
    assert not any("nan" in line.lower() for line in lines)


def test_telemetry_tells_the_snapshot_and_each_line_of_a_journal_once(robot, client):
    robot.fill()
    robot.board.log.write(1, "arm", "hello")
    with client.websocket_connect(f"{WIRE}/api/telemetry") as socket:
        first, second = json.loads(socket.receive_text()), json.loads(socket.receive_text())
        assert first["snapshot"]["arm"]["values"]["mode"] == "ACTIVE"
        assert [entry["text"] for entry in second["log"]] == ["hello"]
        robot.board.log.write(2, "arm", "again")
        said = [json.loads(socket.receive_text()) for _ in range(4)]
        assert [entry["text"] for message in said for entry in message.get("log", [])] == ["again"]


def test_a_camera_sends_stamp_and_jpeg_of_what_it_sees(robot, client):
    with client.websocket_connect(f"{WIRE}/cameras/static") as socket:
        client.portal.call(waited_for, robot)
        robot.see(level=120)
        packet = socket.receive_bytes()
    assert struct.unpack_from(">Q", packet)[0] == 1_700_000_000_000_000_120
    picture = read_jpeg(packet[8:])
    assert picture.shape == (80, 120, 3)
    assert abs(picture.astype(int) - 120).max() <= 2


async def waited_for(robot):
    """Until somebody listens to the slot."""
    import asyncio

    while not robot.board.pictures["static"]._listeners:
        await asyncio.sleep(0.005)


def test_an_unknown_camera_is_named(client):
    assert client.get("/cameras/ceiling.jpg").json()["detail"] == "no camera 'ceiling': there are static, wrist"


def wish(t, clutch=True, **more):
    return json.dumps({"t": t, "clutch": clutch, "move": [1, 0, 0, 0, 0, 0]} | more)


def test_the_pad_drives_with_a_share_of_the_caps_while_it_is_held(robot, client):
    with client.websocket_connect(f"{WIRE}/api/teleop") as socket:
        socket.send_text(wish(0, gripper=1.0))
        socket.send_text(wish(10, clutch=False))
        socket.send_text(wish(20, move=[0, -9, 0, 0, 0, 0], tool=True))
        socket.send_text("garbage")
        with pytest.raises(WebSocketDisconnect) as left:
            socket.receive_text()
    assert left.value.code == 1007
    cap = robot.config.limits.speed * 0.6
    assert robot.commands.drives == [
        (pytest.approx((cap, 0, 0, 0, 0, 0)), False, 1.0),
        (pytest.approx((0, -cap, 0, 0, 0, 0)), True, None),
    ]


@pytest.mark.parametrize(
    "garbage", ["", "[]", "{}", '{"t": 1, "clutch": true, "move": [NaN, 0, 0, 0, 0, 0]}', '{"t": 1e99, "clutch": true}']
)
def test_garbage_ends_the_pad_and_moves_nothing(robot, client, garbage):
    with client.websocket_connect(f"{WIRE}/api/teleop") as socket:
        socket.send_text(garbage)
        with pytest.raises(WebSocketDisconnect):
            socket.receive_text()
    assert robot.commands.drives == []
