"""The recorder and its episodes, as the application tells them."""

from tests.episodes.recordings import record
from vla_ros.clock import SECOND
from vla_ros.dashboard.commands import Answer
from vla_ros.episodes.recorder import Event

from .fake import DRIVE, RECORD, WATCH, bearer, read_jpeg


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
