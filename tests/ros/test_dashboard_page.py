"""The whole service through its page: a person opens it in Chromium, says what to do, sees the arm do it, stops it, and records."""

import contextlib
import json
import os
import signal

import httpx
import numpy as np
import pytest

from tests.dashboard.browser import holds, opened, until
from vla_ros.commands.live import port_near
from vla_ros.config import load
from vla_ros.episodes.reader import DatasetReader
from vla_ros.nodes.client import Client
from vla_ros.nodes.service import Service
from vla_ros.shared import Block
from vla_ros.twin import blocks

from .bed import PATIENCE

TARGET = (0.44, -0.12, 0.28)
SPEC = "constant:" + ",".join(map(str, TARGET))
TASKS = ["pick up the red cube", "push the blue cube"]
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser():
    with opened() as browser:
        yield browser


class Bed:
    """A service with its page open in a browser."""

    def __init__(self, service, client, page):
        self.service, self.client, self.page = service, client, page
        self._feedback = Block.attach(service.runtime / "arm_feedback", blocks.FEEDBACK)

    @property
    def position(self):
        return np.array(self._feedback.read()[1]["position"])

    def text(self, name, wanted):
        """Wait for an element of the page to say something."""
        until(self.page, f"document.getElementById('{name}').textContent === {json.dumps(wanted)}", wanted, PATIENCE)

    def mode(self, wanted):
        """Wait for the page to show a mode."""
        self.text("mode", wanted)

    def armed(self):
        """Enable by the page, again until nothing is in the way: a busy machine may disarm."""

        def done():
            if self.page.inner_text("#mode") == "STOPPED":
                self.page.click("#reset")
                self.page.wait_for_timeout(500)
            if self.page.inner_text("#mode") == "DISARMED":
                self.page.click("#enable")
                self.page.wait_for_timeout(500)
            return self.page.inner_text("#mode") in ("IDLE", "ACTIVE", "HOLD", "TELEOP")

        holds(self.page, done, PATIENCE)

    def drive(self, label, done):
        """Hold a button of the pad until it is done."""
        button = self.page.locator("#pad button", has_text=label)
        button.scroll_into_view_if_needed()
        button.hover()
        self.page.mouse.down()
        holds(self.page, done, PATIENCE)
        self.page.mouse.up()


def answers(url, path="healthz", **options):
    try:
        return httpx.get(f"{url}{path}", **options).status_code == 200
    except httpx.TransportError:
        return False


@contextlib.contextmanager
def brought_up(browser, **settings):
    """A service with the page of its dashboard."""
    port = port_near(0)
    given = {"policy.bundle": SPEC, "dashboard.port": port} | settings
    config = load("twin", overrides=[f"{name}={value}" for name, value in given.items()])
    with Service(config) as service, Client(service.check) as client:
        client.bring_up("policy")
        url = f"http://127.0.0.1:{port}/"
        assert client.wait(lambda: answers(url), PATIENCE)
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        page.goto(url)
        try:
            yield Bed(service, client, page)
        finally:
            page.context.close()


@pytest.fixture
def bed(monkeypatch, browser):
    monkeypatch.delenv("ROS_DOMAIN_ID")
    with brought_up(browser) as bed:
        bed.text("link", "live")
        yield bed


def test_an_instruction_is_seen_to_be_done_and_stop_stops(bed):
    began = bed.position
    bed.armed()

    def far():
        bed.armed()
        if bed.page.inner_text("#current") != "go there":
            bed.page.fill("#instruction", "go there")
            bed.page.click("#say button")
        bed.page.wait_for_timeout(200)
        return np.linalg.norm(bed.position - TARGET) < np.linalg.norm(began - TARGET) - 0.03

    holds(bed.page, far, PATIENCE)
    until(bed.page, "vlaRos.views.every(view => view.latencies.length > 5)", "pictures", PATIENCE)
    assert bed.page.is_hidden("#recorder")
    bed.page.click("#robot")
    bed.page.keyboard.press("Space")
    bed.mode("STOPPED")
    bed.page.wait_for_timeout(500)
    rest = bed.position
    bed.page.wait_for_timeout(500)
    assert np.linalg.norm(bed.position - rest) < 1e-3
    verdicts = bed.page.inner_text("#verdicts")
    assert "STOPPED" in verdicts.splitlines()[0]
    assert "ACTIVE" in verdicts


def test_the_pad_moves_the_arm_while_it_is_held(bed):
    bed.armed()
    began = bed.position
    bed.drive("up", lambda: bed.position[2] > began[2] + 0.01)
    holds(bed.page, lambda: bed.page.inner_text("#mode") != "TELEOP", PATIENCE)
    bed.page.wait_for_timeout(500)
    rest = bed.position
    bed.page.wait_for_timeout(400)
    assert np.linalg.norm(bed.position - rest) < 1e-3


def test_a_dashboard_that_dies_is_seen_and_another_one_is_found_by_the_same_page(bed, processes):
    os.kill(bed.service.pids()["dashboard"], signal.SIGKILL)
    until(bed.page, "!document.getElementById('stale').hidden", "old", PATIENCE)
    assert "s old" in bed.page.inner_text("#stale")
    bed.text("link", "no connection")
    before = bed.client.arm.count
    assert bed.client.wait(lambda: bed.client.arm.count > before + 20, PATIENCE)
    words = ("dashboard", "--port", bed.service.config.dashboard.port, "--domain", bed.service.domain)
    processes.start("vla_ros.cli", *words)
    bed.text("link", "live")
    assert bed.page.is_hidden("#stale")
    bed.page.click("#stop")
    bed.mode("STOPPED")


def test_an_episode_is_recorded_and_kept_through_the_page(monkeypatch, browser, tmp_path):
    monkeypatch.delenv("ROS_DOMAIN_ID")
    settings = {"record.output": tmp_path / "data", "record.tasks": json.dumps(TASKS), "record.park": False}
    # this machine may be busy
    settings |= {"record.rate_tolerance": 0.95, "deadlines.camera_hold": 1.0, "deadlines.camera_disarm": 4.0}
    with brought_up(browser, **settings) as bed:
        bed.armed()  # nothing is recorded of an arm that is not enabled
        bed.text("phase", "armed")
        bed.text("sentence", TASKS[0])
        began = bed.position
        bed.page.click("#keys [data-event=toggle]")
        bed.text("phase", "recording")
        bed.drive("up", lambda: bed.position[2] > began[2] + 0.02)
        bed.page.wait_for_timeout(500)
        assert bed.page.is_visible("#take")
        bed.page.click("#keys [data-event=toggle]")
        bed.text("phase", "deciding")
        bed.page.click("#robot")
        bed.page.keyboard.press("y")
        bed.text("phase", "armed")
        bed.text("sentence", TASKS[1])
        until(bed.page, "document.querySelectorAll('#list tr').length === 1", "the episode", PATIENCE)
        row = bed.page.inner_text("#list tr").split("\t")
        assert (row[2], row[3]) == (TASKS[0], "success")
        bed.page.click("#list button")
        until(bed.page, "document.querySelector('#list img')?.naturalWidth > 300", "its pictures", PATIENCE)
        bed.page.click("#keys [data-event=success]", force=True)  # nothing is being recorded: it cannot be pressed
        assert bed.page.is_disabled("#keys [data-event=success]")
    reader = DatasetReader(tmp_path / "data")
    (episode,) = reader.episodes
    assert episode.task == TASKS[0]
    assert reader.part("success", 0).all()
    height = reader.part("observation.state", 0)[:, 2]
    assert height[-1] - height[0] > 0.015
    assert all(len(reader.video(0, camera)) == episode.length for camera in reader.cameras)


def test_a_robot_behind_tokens_is_stopped_by_who_may_watch_and_by_nobody_else(monkeypatch, browser, tmp_path):
    monkeypatch.delenv("ROS_DOMAIN_ID")
    tokens = tmp_path / "tokens"
    tokens.write_text("watch-0123456789abcdef watch\n")
    tokens.chmod(0o600)
    with brought_up(browser, **{"dashboard.tokens": tokens}) as bed:
        until(bed.page, "!document.getElementById('login').hidden", "the question for a token", PATIENCE)
        assert bed.page.is_hidden("main")
        bed.page.click("#stop")
        until(bed.page, "/token is needed/.test(document.getElementById('answer').textContent)", "a refusal", PATIENCE)
        assert bed.client.wait(lambda: bed.client.arm.values.get("mode") == "DISARMED", PATIENCE)
        bed.page.fill("#token", "watch-0123456789abcdef")
        bed.page.click("#login button")
        bed.text("link", "live")
        assert bed.page.is_disabled("#enable")
        bed.page.click("#stop")
        bed.mode("STOPPED")
