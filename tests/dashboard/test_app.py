"""What the application answers, asked as a browser asks it, around a robot that is filled by hand."""

import io
import json
import re
import struct
import threading
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from tests.episodes.recordings import record
from vla_ros.clock import SECOND, MonotonicClock
from vla_ros.dashboard.commands import Answer
from vla_ros.dashboard.guard import BODY
from vla_ros.episodes.recorder import Event

from .fake import DRIVE, PORT, RECORD, URL, WATCH, Robot, tokens


@pytest.fixture
def robot():
    return Robot()


@pytest.fixture
def client(robot):
    with TestClient(robot.app, base_url=URL) as client:
        yield client


@pytest.fixture
def guarded():
    robot = Robot(tokens())
    with TestClient(robot.app, base_url=URL) as client:
        yield robot, client


WIRE = URL.replace("http", "ws")
CLOSED_BY_POLICY = 1008


def bearer(token):
    return {"authorization": f"Bearer {token}"}


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


def test_the_page_may_load_nothing_from_elsewhere(client):
    answer = client.get("/")
    assert answer.status_code == 200
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_without_a_token_only_health_and_the_page_are_told(guarded):
    _, client = guarded
    assert client.get("/api/status").status_code == 401
    assert client.get("/metrics").status_code == 401
    assert client.get("/cameras/static.jpg").status_code == 401
    assert client.post("/api/stop").status_code == 401
    assert client.get("/").status_code == 200
    assert client.get("/healthz").status_code == 503
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(f"{WIRE}/api/telemetry"):
        pass


def test_who_may_watch_may_stop_and_nothing_else(guarded):
    robot, client = guarded
    watch = bearer(WATCH)
    assert client.get("/api/status", headers=watch).status_code == 200
    assert client.post("/api/stop", headers=watch).status_code == 200
    refused = [client.post(f"/api/{name}", headers=watch).status_code for name in ("enable", "disable", "reset")]
    assert refused == [403] * 3
    assert client.post("/api/instruction", headers=watch, json={"text": "x"}).status_code == 403
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(f"{WIRE}/api/teleop", headers=watch):
        pass
    assert robot.commands.wishes == ["stop"]
    assert client.post("/api/enable", headers=bearer(DRIVE)).status_code == 200


def test_a_token_becomes_a_cookie_that_scripts_cannot_read(guarded):
    _, client = guarded
    assert client.post("/api/session", json={"token": "wrong"}).status_code == 401
    answer = client.post("/api/session", json={"token": WATCH})
    assert answer.status_code == 204
    assert "httponly" in answer.headers["set-cookie"].lower()
    assert "samesite=strict" in answer.headers["set-cookie"].lower()
    assert client.get("/api/page").json()["scopes"] == ["watch"]


def test_a_foreign_page_or_name_is_refused(robot, client):
    evil = {"origin": "http://evil.example"}
    assert client.post("/api/enable", headers=evil).status_code == 403
    assert client.get("/api/status", headers={"host": f"rebound.example:{PORT}"}).status_code == 421
    with pytest.raises(WebSocketDisconnect) as left, client.websocket_connect(f"{WIRE}/api/teleop", headers=evil):
        pass
    assert (left.value.code, "origin" in left.value.reason) == (CLOSED_BY_POLICY, True)
    assert robot.commands.wishes == []


def test_a_page_of_another_site_may_not_even_look(robot, client):
    for path in ("api/status", "cameras/static.mjpg", "metrics", "api/episodes"):
        for site in ("cross-site", "same-site"):
            foreign = {"sec-fetch-site": site}
            assert client.get(f"/{path}", headers=foreign).status_code == 403
            assert client.get(f"/{path}", headers=foreign | {"origin": "http://evil.example"}).status_code == 403
    assert client.get("/", headers={"sec-fetch-site": "cross-site"}).status_code == 200
    for site in ("none", "same-origin"):
        assert client.get("/api/status", headers={"sec-fetch-site": site}).status_code == 200


def test_who_tries_tokens_takes_nothing_from_those_who_have_one(guarded):
    _, client = guarded
    answers = [client.post("/api/session", json={"token": f"guess-{k}"}).status_code for k in range(30)]
    assert answers == [401] * 20 + [429] * 10
    assert [client.post("/").status_code for _ in range(80)] == [405] * 80
    assert client.post("/api/enable", headers=bearer(DRIVE)).status_code == 200


@pytest.mark.parametrize("body", [b"[" * 15_000, b'{"text":' * 1500, b'{"text": 1e999}', b'"', b'{"text": "\xff"}'])
def test_a_body_that_is_no_instruction_is_refused_with_words(robot, client, body):
    answer = client.post("/api/instruction", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["detail"]
    assert robot.commands.instructions == []


@pytest.mark.parametrize(
    "path", ["//api/enable", "/api/../api/enable", "/API/enable", "/x/..//api/enable", "/api/stop/../enable"]
)
def test_no_spelling_of_a_path_passes_the_guard(guarded, path):
    robot, client = guarded
    assert client.post(path, headers=bearer(WATCH)).status_code in (403, 404, 405)
    assert robot.commands.wishes == []


def test_many_requests_are_slowed_and_stop_never(robot, client):
    answers = [client.post("/api/disable").status_code for _ in range(80)]
    assert answers.count(200) == 60
    assert answers.count(429) == 20
    assert [client.post("/api/stop").status_code for _ in range(80)] == [200] * 80
    robot.clock.sleep_until(robot.clock.now() + SECOND)
    assert client.post("/api/disable").status_code == 200


def test_many_questions_are_slowed_too(robot, client):
    answers = [client.get("/api/latency").status_code for _ in range(410)]
    assert answers == [200] * 400 + [429] * 10
    assert client.post("/api/stop").status_code == 200


def test_guessing_tokens_is_slowed_for_those_who_guess(guarded):
    _, client = guarded
    answers = [client.get("/api/status", headers=bearer(f"guess-{k}")).status_code for k in range(30)]
    assert answers == [401] * 20 + [429] * 10
    assert client.post("/api/stop", headers=bearer(WATCH)).status_code == 200


def test_a_large_body_is_refused_and_stop_does_not_look_at_it(robot, client):
    assert client.post("/api/instruction", content=b"x" * (BODY + 1)).status_code == 413
    assert client.post("/api/stop", content=b"x" * (10 * BODY)).status_code == 200
    assert robot.commands.instructions == []


def test_the_recorder_is_asked_by_those_who_may(guarded):
    robot, client = guarded
    for token in (WATCH, DRIVE):
        assert client.post("/api/recorder/start", headers=bearer(token)).status_code == 403
    assert client.post("/api/recorder/start", headers=bearer(RECORD)).json() == {"text": "done"}
    assert client.post("/api/recorder/explode", headers=bearer(RECORD)).status_code == 422
    assert client.post("/api/enable", headers=bearer(RECORD)).status_code == 403
    assert client.post("/api/stop", headers=bearer(RECORD)).status_code == 200
    robot.commands.answer = Answer(False, "nothing is being recorded: start first")
    answer = client.post("/api/recorder/success", headers=bearer(RECORD))
    assert (answer.status_code, answer.json()["detail"]) == (409, "nothing is being recorded: start first")
    assert robot.commands.events == ["start", "success"]


def test_every_button_of_the_recorder_can_be_pressed(robot, client):
    for event in Event:
        assert client.post(f"/api/recorder/{event.value}").status_code == 200
    assert robot.commands.events == [event.value for event in Event]


def test_a_recorder_that_is_not_heard_is_told_with_the_remedy(robot, client):
    for path in ("recorder", "episodes", "episodes/0.jpg"):
        answer = client.get(f"/api/{path}")
        assert (answer.status_code, "vla-ros record" in answer.json()["detail"]) == (503, True)
    robot.take("recording", frames="73")
    assert client.get("/api/recorder").json()["values"]["frames"] == "73"
    assert client.get("/api/status").json()["recorder"]["values"]["phase"] == "recording"
    robot.clock.sleep_until(robot.clock.now() + 3 * SECOND)
    assert client.get("/api/recorder").status_code == 503


def test_the_episodes_of_the_running_dataset_come_with_their_health_and_pictures(robot, client, tmp_path):
    root = record(tmp_path / "data", 7, 5)
    robot.take(dataset=str(root), episodes="2")
    first, second = client.get("/api/episodes").json()
    assert (first["index"], first["frames"], first["seconds"], first["task"]) == (0, 7, 0.7, "push the red cube 0")
    assert first["success"] is None
    assert second["bad"]
    assert any("jumps" in text for text in second["findings"])
    record(tmp_path / "data", 6)
    robot.take(dataset=str(root), episodes="3")
    assert [card["index"] for card in client.get("/api/episodes").json()] == [0, 1, 2]
    sheet = client.get("/api/episodes/2.jpg")
    assert sheet.headers["content-type"] == "image/jpeg"
    assert read_jpeg(sheet.content).shape[1] > 6 * 100
    answer = client.get("/api/episodes/3.jpg")
    assert (answer.status_code, answer.json()["detail"]) == (404, "there is no episode 3: the dataset has 3")
    assert client.get("/api/episodes/../../etc.jpg").status_code == 404


def test_a_dataset_that_was_made_anew_is_read_anew(robot, client, tmp_path):
    robot.take(dataset=str(record(tmp_path / "data", 7, 5)), episodes="2")
    assert len(client.get("/api/episodes").json()) == 2
    (tmp_path / "data").rename(tmp_path / "old")
    record(tmp_path / "data", 4, task="lift")
    assert [card["task"] for card in client.get("/api/episodes").json()] == ["lift 0"]


def test_a_dataset_that_is_no_dataset_is_named(robot, client, tmp_path):
    robot.take(dataset=str(tmp_path / "none"))
    assert "cannot be read" in client.get("/api/episodes").json()["detail"]
    robot.take(dataset=str(tmp_path))
    assert "is not a dataset" in client.get("/api/episodes").json()["detail"]


def read_jpeg(data):
    return np.asarray(PIL.Image.open(io.BytesIO(data)))


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
