"""The real processes: servo, watchdog and twin, joined by shared blocks, and what happens when one of them hangs or dies.

Nothing here measures time: every wait is for a condition, and long enough for a busy machine.
"""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from vla_ros.clock import MILLISECOND
from vla_ros.config import load
from vla_ros.motion import blocks
from vla_ros.shared import Block, BlockError
from vla_ros.twin import blocks as twin_blocks
from vla_ros.values import ActionChunk, Mode

CONFIG = load()
PATIENCE = 30.0
# a busy machine stalls processes for longer than a robot's may: what is tested here is who stops whom, not how fast
LENIENT = [
    "deadlines.feedback_hold=0.8", "deadlines.feedback_stop=1.0", "deadlines.servo_silent=0.4", "deadlines.connection=5.0",
    "servo.priority=0",
]  # fmt: skip

pytestmark = pytest.mark.timeout(180)


class Service:
    """The processes, and the arm node's end of the blocks."""

    def __init__(self, runtime):
        self.runtime = runtime
        self.processes = {}
        self.chunk = Block.create(runtime / "servo_chunk", blocks.CHUNK)
        self.request = Block.create(runtime / "servo_request", blocks.REQUEST)
        self.record = np.zeros(1, blocks.REQUEST)
        self.record["cameras"] = self.record["changed"] = -1
        self.sequence = 0

    def start(self, name):
        module = {"twin": "twin.process", "servo": "motion.servo", "watchdog": "motion.watchdog"}[name]
        overrides = [word for item in LENIENT for word in ("--set", item)]
        command = [sys.executable, "-m", f"vla_ros.{module}", "--runtime", str(self.runtime), *overrides]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self.processes[name] = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)

    def read(self, name, dtype):
        try:
            block = Block.attach(self.runtime / name, dtype)
        except BlockError:
            return None
        got = block.read()
        block.close()
        return None if got is None else got[1]

    def status(self):
        return self.read("servo_status", blocks.STATUS)

    def mode(self):
        status = self.status()
        return None if status is None else blocks.mode(status)

    def speed(self):
        """Fastest joint, rad/s."""
        return float(np.abs(self.read("arm_feedback", twin_blocks.FEEDBACK)["velocities"]).max())

    def live(self):
        self.record["cameras"][0, : len(CONFIG.cameras)] = time.monotonic_ns()
        self.record["policy"] = self.record["beat"] = time.monotonic_ns()
        self.request.write(self.record[0])

    def play(self):
        """From where the arm is, towards the middle of the box and round it: never at an end."""
        feedback = self.read("arm_feedback", twin_blocks.FEEDBACK)
        position = feedback["position"]
        goal = np.array([0.47, 0.12 if self.sequence % 100 < 50 else -0.12, 0.2])
        way = (goal - position) / max(1e-6, np.linalg.norm(goal - position))
        count, self.sequence = 10, self.sequence + 1
        chunk = ActionChunk(
            time.monotonic_ns(), 100 * MILLISECOND, position + (np.arange(count) + 1)[:, None] * 0.008 * way,
            np.tile(feedback["quaternion"], (count, 1)), np.zeros(count), count, "test", "go", self.sequence,
        )  # fmt: skip
        self.chunk.write(blocks.pack_chunk(chunk))

    def until(self, condition, *, live=True, play=False):
        end = time.monotonic() + PATIENCE
        last = 0.0
        while not condition():
            assert time.monotonic() < end, f"waited for {PATIENCE} s; mode {self.mode()}, status {self.status()}"
            if live:
                self.live()
            if play and time.monotonic() - last > 0.1:
                self.play()
                last = time.monotonic()
            time.sleep(0.005)

    def ask(self, name, mode):
        def asked_and_done():
            if self.mode() is mode:
                return True
            if time.monotonic() > self.again:
                self.record[name] += 1
                self.again = time.monotonic() + 0.5
            return False

        self.again = 0.0
        self.until(asked_and_done)

    def moving(self):
        self.start("twin")
        self.until(lambda: self.read("arm_feedback", twin_blocks.FEEDBACK) is not None)
        self.start("servo")
        self.until(lambda: self.mode() is Mode.DISARMED)
        self.start("watchdog")
        self.until(lambda: (self.runtime / "arm_stop_watchdog").exists())
        self.ask("enable", Mode.IDLE)
        self.until(lambda: self.mode() is Mode.ACTIVE and self.speed() > 0.05, play=True)

    def still(self):
        """The arm has come to rest and stays there for a while."""
        self.until(lambda: self.speed() < 0.01)
        for _ in range(30):
            time.sleep(0.01)
            assert self.speed() < 0.02

    def stops(self):
        value = self.read("arm_stop_watchdog", twin_blocks.STOP)
        return 0 if value is None else int(value["counter"])

    def close(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stderr.close()


@pytest.fixture
def service(tmp_path):
    service = Service(tmp_path)
    yield service
    service.close()


def test_the_servo_moves_the_twin_and_stops_it_on_request(service):
    service.moving()
    status = service.status()
    assert blocks.arm_state(status).is_finite()
    assert np.linalg.norm(status["twist"][:3]) > 0.0
    service.record["stop"] += 1
    service.until(lambda: service.mode() is Mode.STOPPED, play=True)
    service.still()
    service.ask("reset", Mode.DISARMED)
    service.ask("enable", Mode.IDLE)


def test_the_watchdog_stops_the_arm_of_a_servo_that_hangs(service):
    service.moving()
    os.kill(service.processes["servo"].pid, signal.SIGSTOP)
    service.until(lambda: service.stops() > 0)
    service.still()
    os.kill(service.processes["servo"].pid, signal.SIGCONT)
    service.until(lambda: service.mode() is Mode.STOPPED, play=True)
    assert blocks.verdict(service.status()).name == "STOP_WATCHDOG"
    service.still()


def test_the_watchdog_stops_the_arm_of_a_servo_that_was_killed(service):
    service.moving()
    service.processes["servo"].kill()
    service.processes["servo"].wait()
    service.until(lambda: service.stops() > 0)
    service.still()
    # a new servo starts disarmed, and the watchdog leaves it in peace
    service.start("servo")
    service.until(lambda: service.mode() is Mode.DISARMED and service.status()["beat"] > time.monotonic_ns() - 10**9)
    service.ask("enable", Mode.IDLE)


def test_a_killed_servo_without_watchdog_is_the_connections_silence(service):
    service.moving()
    service.processes["watchdog"].kill()
    service.processes["servo"].kill()
    service.still()


def test_sigterm_leads_to_rest_and_leaves_no_servo_block(service):
    service.moving()
    service.processes["servo"].terminate()
    assert service.processes["servo"].wait(PATIENCE) == 0
    assert not (service.runtime / "servo_status").exists()
    assert not (service.runtime / "arm_command").exists()
    service.still()


def test_a_servo_without_an_arm_says_what_to_do(service):
    service.start("servo")
    _, said = service.processes["servo"].communicate(timeout=PATIENCE)
    assert service.processes["servo"].returncode == 1
    assert "the twin does not run" in said
    assert "vla-ros sim" in said


def test_a_bad_option_ends_with_the_text_of_the_error(tmp_path):
    command = [sys.executable, "-m", "vla_ros.motion.servo", "--runtime", str(tmp_path), "--set", "limits.speed=9"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 2
    assert "limits.speed: Input should be less than or equal to 0.25 (got 9)" in done.stderr
    assert list(tmp_path.iterdir()) == []
