"""A process that drives the arm is put to sleep in motion and woken again: the arm stops by itself, no old twist goes out, and it
is told to rest once more.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time

from tests.arms import standin
from tests.arms.driving import orders_of, rests, sets_moving, speed, until

DRIVER = """
import sys, time
import numpy as np
from vla_ros.arms.kortex import KortexArm
from vla_ros.config import load

arm = KortexArm(load("twin", overrides=sys.argv[1:]))
arm.open()
print("open", flush=True)
last, awake = time.monotonic_ns(), True
while True:  # a loop that commands until it finds that it has slept, and from then on only looks
    now = time.monotonic_ns()
    awake, last = awake and now - last < 1_000_000_000, now
    state = arm.read(now)
    if awake:
        arm.send(now, np.array([0, 0.04, 0, 0, 0, 0]), 0.0)
    elif state is not None and not state.fault and now - state.stamp < 100_000_000:
        print("awake", flush=True)
    time.sleep(0.01)
"""


def test_a_driver_that_slept_sends_nothing_from_before(running):
    arm = running.config.arm
    settings = [f"arm.port={arm.port}", f"arm.feedback_port={arm.feedback_port}", "arm.call_timeout=0.1"]
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, "arm.driver=kortex", f"arm.address={arm.address}", *settings],
        env=standin.environment(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert driver.stdout is not None
    try:
        assert driver.stdout.readline() == "open\n"
        until(lambda: speed(running) > 0.03, "motion")
        driver.send_signal(signal.SIGSTOP)
        assert rests(running)
        time.sleep(1.2)  # longer than what the driver takes for sleep
        taken = orders_of(running)
        driver.send_signal(signal.SIGCONT)
        assert driver.stdout.readline() == "awake\n"
        time.sleep(0.2)
        assert not any(sets_moving(order) for order in taken)
        assert speed(running) == 0.0
    finally:
        driver.kill()
        driver.wait()
        driver.stdout.close()
