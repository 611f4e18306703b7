"""The whole service through its page: a person opens it in Chromium, says what to do, sees the arm do it, and stops it."""

import json

import httpx
import numpy as np
import pytest

from tests.dashboard.browser import holds, opened, until
from vla_ros.commands.live import port_near
from vla_ros.config import load
from vla_ros.nodes.client import Client
from vla_ros.nodes.service import Service
from vla_ros.shared import Block
from vla_ros.twin import blocks

from .bed import PATIENCE

TARGET = (0.44, -0.12, 0.28)
SPEC = "constant:" + ",".join(map(str, TARGET))
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

    def mode(self, wanted):
        """Wait for the page to show a mode."""
        until(self.page, f"document.getElementById('mode').textContent === {json.dumps(wanted)}", wanted, PATIENCE)

    def armed(self):
        """Enable by the page, again until nothing is in the way: a busy machine may disarm."""

        def done():
            if self.page.inner_text("#mode") == "STOPPED":
                self.page.click("#reset")
                self.page.wait_for_timeout(500)
            if self.page.inner_text("#mode") == "DISARMED":
                self.page.click("#enable")
                self.page.wait_for_timeout(500)
            return self.page.inner_text("#mode") in ("IDLE", "ACTIVE", "HOLD")

        holds(self.page, done, PATIENCE)


@pytest.fixture
def bed(monkeypatch, browser):
    monkeypatch.delenv("ROS_DOMAIN_ID")
    port = port_near(0)
    config = load("twin", overrides=[f"policy.bundle={SPEC}", f"dashboard.port={port}"])
    with Service(config) as service, Client(service.check) as client:
        client.bring_up("policy")
        url = f"http://127.0.0.1:{port}/"

        def served():
            try:
                return httpx.get(f"{url}healthz").status_code == 200
            except httpx.TransportError:
                return False

        assert client.wait(served, PATIENCE)
        page = browser.new_page()
        page.goto(url)
        until(page, "document.getElementById('link').textContent === 'live'", seconds=PATIENCE)
        yield Bed(service, client, page)
        page.close()


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
    button = bed.page.locator("#pad button", has_text="up")
    button.scroll_into_view_if_needed()
    began = bed.position
    button.hover()
    bed.page.mouse.down()
    holds(bed.page, lambda: bed.position[2] > began[2] + 0.01, PATIENCE)
    bed.page.mouse.up()
    holds(bed.page, lambda: bed.page.inner_text("#mode") != "TELEOP", PATIENCE)
    bed.page.wait_for_timeout(500)
    rest = bed.position
    bed.page.wait_for_timeout(400)
    assert np.linalg.norm(bed.position - rest) < 1e-3
