"""Clients who send too much, nonsense or nothing, over a living service: its arm goes where it was to go, and can be stopped."""

import contextlib
import random
import socket
import threading

import httpx
import numpy as np
import pytest

from vla_ros.commands.live import enable, port_near
from vla_ros.config import load
from vla_ros.motion import blocks as motion_blocks
from vla_ros.nodes.client import Client
from vla_ros.nodes.service import Service
from vla_ros.shared import Block
from vla_ros.twin import blocks

from .bed import PATIENCE

websockets = pytest.importorskip("websockets.sync.client")
TARGET = np.array((0.44, -0.12, 0.28))
SPEC = "constant:" + ",".join(map(str, TARGET))
NEAR = 0.01
"""m from its target within which the arm has arrived."""
HEADER = b"GET / HTTP/1.1\r\nHost: x\r\n"
GARBAGE = [
    b"\x16\x03\x01\x02\x00",
    HEADER + b"x: " + b"y" * 40000,
    b"\x00" * 3000,
    b"POST /api/stop HTTP/9\r\n\r\n",
    b"",
]


class Mob:
    """Threads that misbehave until it is over."""

    def __init__(self, port):
        self.port, self.url = port, f"http://127.0.0.1:{port}/"
        self._ended = threading.Event()
        self.turns = {}
        kinds = (self.garbage, self.oversize, self.silent, self.deaf, self.greedy, self.wild)
        self._threads = [threading.Thread(target=self._run, args=(kind,), daemon=True) for kind in kinds]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _run(self, kind):
        with contextlib.ExitStack() as held:
            while not self._ended.wait(0.02):
                with contextlib.suppress(Exception):  # to be sent away is what it expects
                    kind(held)
                self.turns[kind.__name__] = self.turns.get(kind.__name__, 0) + 1

    def _socket(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=5)

    def garbage(self, _):
        with self._socket() as raw:
            raw.sendall(random.choice(GARBAGE) or random.randbytes(2000))

    def oversize(self, _):
        httpx.post(f"{self.url}api/instruction", content=b"x" * 2_000_000)
        httpx.post(f"{self.url}api/recorder/start", content=b"x" * 2_000_000)
        with websockets.connect(f"ws://127.0.0.1:{self.port}/api/teleop") as wire:
            wire.send('{"t": 1, "clutch": true, "move": [' + "0," * 100_000)
            wire.recv(timeout=5)

    def silent(self, held):
        """Begins a request and never ends it."""
        held.enter_context(raw := self._socket())
        raw.sendall(HEADER)

    def deaf(self, held):
        """Asks for every picture and reads none."""
        raw = held.enter_context(self._socket())
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.sendall(b"GET /cameras/static.mjpg HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % self.port)

    def greedy(self, _):
        for path in ("api/policies", "api/status", "metrics", "openapi.json", "api/episodes", "api/verdicts"):
            httpx.get(f"{self.url}{path}", timeout=5)

    def wild(self, _):
        """Says what is no wish of a hand."""
        for text in (
            "{}",
            "[1]",
            '{"t": 1e99, "clutch": true}',
            "\x00",
            '{"t": 1, "clutch": true, "move": [9e999,0,0,0,0,0]}',
        ):
            with websockets.connect(f"ws://127.0.0.1:{self.port}/api/teleop") as wire:
                wire.send(text)
                wire.recv(timeout=5)


@pytest.fixture
def running(monkeypatch):
    monkeypatch.delenv("ROS_DOMAIN_ID")
    port = port_near(0)
    # a busy machine is late with pictures, which is not what is tested
    given = {
        "policy.bundle": SPEC,
        "dashboard.port": port,
        "deadlines.camera_hold": 1.0,
        "deadlines.camera_disarm": 4.0,
    }
    config = load("twin", overrides=[f"{name}={value}" for name, value in given.items()])
    with Service(config) as service, Client(service.check) as client:
        client.bring_up("policy")
        yield service, client, port


def healthy(port):
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=10).status_code == 200
    except httpx.TransportError:
        return False


def test_a_mob_disturbs_neither_the_arm_nor_stop(running):
    service, client, port = running
    assert client.wait(lambda: healthy(port), PATIENCE)
    status = Block.attach(service.runtime / "servo_status", motion_blocks.STATUS)
    feedback = Block.attach(service.runtime / "arm_feedback", blocks.FEEDBACK)

    def position():
        return np.array(feedback.read()[1]["position"])

    assert np.linalg.norm(position() - TARGET) > 10 * NEAR
    with Mob(port) as mob:
        assert client.wait(lambda: len(mob.turns) == 6 and min(mob.turns.values()) > 3, PATIENCE)
        before = status.read()[0]

        def arrives():
            if client.arm.values.get("mode") in ("DISARMED", "STOPPED"):
                enable(client, PATIENCE)
            if client.policy.values.get("instruction") != "go there":
                client.instruct("go there")
            client.sleep(0.2)
            return np.linalg.norm(position() - TARGET) < NEAR

        assert client.wait(arrives, 2 * PATIENCE), (position(), client.arm, client.policy)
        assert status.read()[0] > before + 100
        assert httpx.post(f"http://127.0.0.1:{port}/api/stop", timeout=PATIENCE).json() == {"text": "stopped"}
        assert client.wait(lambda: client.arm.values.get("mode") == "STOPPED", PATIENCE)
        turns = dict(mob.turns)
    assert all(count > 3 for count in turns.values()), turns
    assert service.fallen() == []
    assert client.wait(lambda: healthy(port), PATIENCE)
    metrics = httpx.get(f"http://127.0.0.1:{port}/metrics").text.splitlines()
    refused = next(line.split()[1] for line in metrics if line.startswith("vla_ros_requests_refused_total "))
    assert float(refused) > 0
