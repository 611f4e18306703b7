"""The raw log of a take: killed at any moment it is readable up to the last second, and a full disk ends it with a word."""

import random
import subprocess
import sys
import threading
import time

import pytest

from vla_ros.clock import SECOND
from vla_ros.episodes.interrupted import messages

from .bed import PATIENCE

PROGRAM = """
import resource, sys
from pathlib import Path
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import JointState
from vla_ros.nodes import convert
from vla_ros.nodes.process import make_executor, newest
from vla_ros.nodes.raw_log import RawLog

if len(sys.argv) > 2:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
rclpy.init()
node = Node("log")
log = RawLog(node, Path(sys.argv[1]), {"/joint_states": (JointState, newest(depth=50))})
log.begin()
publisher = node.create_publisher(JointState, "/joint_states", newest(depth=50))
heard = []
node.create_subscription(JointState, "/joint_states", lambda m: heard.append(convert.from_time(m.header.stamp)), newest(depth=50))
message = JointState(name=["a" * 200] * 10, position=[0.5] * 10)

def say():
    message.header.stamp = node.get_clock().now().to_msg()
    publisher.publish(message)
    if heard:
        print(heard[-1], log.trouble, flush=True)

node.create_timer(0.01, say)
executor = make_executor()
executor.add_node(node)
while True:
    executor.spin_once(timeout_sec=0.1)
"""


class Logger:
    """A process that hears itself; the stamps (ns) of what it has heard, and what it says of its log."""

    def __init__(self, folder, *words):
        self.said = []
        self.popen = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder), *map(str, words)], stdout=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=lambda: self.said.extend(self.popen.stdout), daemon=True)
        self._reader.start()

    def until(self, condition, what):
        deadline = time.monotonic() + 2 * PATIENCE
        while not condition():
            assert time.monotonic() < deadline, what
            assert self.popen.poll() is None, what
            time.sleep(0.01)

    def kill(self):
        self.popen.kill()
        self.popen.wait()
        self._reader.join(5.0)
        self.popen.stdout.close()


@pytest.mark.parametrize("seed", range(6))
def test_a_log_that_is_killed_reads_up_to_the_last_second(tmp_path, seed):
    logger = Logger(tmp_path)
    try:
        logger.until(lambda: len(logger.said) > 150, "it hears itself")
        time.sleep(random.Random(seed).uniform(0.0, 1.0))
    finally:
        logger.kill()
    heard = [int(line.split()[0]) for line in logger.said if line.endswith("\n")]
    [path] = (tmp_path / "mcap").glob("take-*.mcap")
    stamps = [message.log_time for _, _, message in messages(path)]
    assert len(stamps) > 50
    assert heard[-1] - stamps[-1] < SECOND
    assert stamps == sorted(stamps)


def test_a_full_disk_ends_the_log_with_a_word_and_nothing_else(tmp_path):
    logger = Logger(tmp_path, 40_000)
    try:
        logger.until(lambda: any("the MCAP file has ended" in line for line in logger.said[-5:]), "the disk is full")
        count = len(logger.said)
        logger.until(lambda: len(logger.said) > count + 50, "it goes on hearing")
    finally:
        logger.kill()
    [path] = (tmp_path / "mcap").glob("take-*.mcap")
    assert path.stat().st_size <= 40_000
    assert len(list(messages(path))) > 0
