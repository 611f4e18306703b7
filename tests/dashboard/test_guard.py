"""Who may do what, from where, and how often."""

import pytest
from starlette.websockets import WebSocketDisconnect

from vla_ros.clock import SECOND
from vla_ros.dashboard.guard import BODY

from .fake import CLOSED_BY_POLICY, DRIVE, PORT, WATCH, WIRE, bearer


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
