"""What the tests of nodes have in common."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions

from vla_ros.config import load
from vla_ros.geometry import Pose
from vla_ros.kinematics import TOOL_DOWN
from vla_ros.nodes import convert
from vla_ros.nodes.process import make_executor
from vla_ros.values import ArmState

PATIENCE = 30.0
"""Seconds that anything may take: generous, since the machine may be busy."""


class Ros:
    """A context, its nodes and their executor."""

    def __enter__(self):
        self.context, self.nodes, self.clients = rclpy.Context(), [], {}
        rclpy.init(context=self.context, signal_handler_options=SignalHandlerOptions.NO)
        self.executor = make_executor(self.context)
        return self

    def __exit__(self, *_):
        self.executor.shutdown()
        for node in self.nodes:
            getattr(node, "close", lambda: None)()
            node.destroy_node()
        rclpy.try_shutdown(context=self.context)

    def add(self, kind, **parameters):
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        node = kind(context=self.context, parameter_overrides=overrides)
        self.nodes.append(node)
        self.executor.add_node(node)
        return node

    def node(self, name="probe"):
        node = Node(name, context=self.context)
        self.nodes.append(node)
        self.executor.add_node(node)
        return node

    def spin_until(self, condition, what="", seconds=PATIENCE):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"timed out: {what}"
            self.executor.spin_once(timeout_sec=0.02)

    def call(self, node, kind, name, request):
        client = self.clients.get((node, name)) or node.create_client(kind, name)
        self.clients[node, name] = client  # one that was matched once stays so; each new one has to be discovered
        self.spin_until(client.service_is_ready, name)
        future = client.call_async(request)
        self.spin_until(future.done, name)
        return future.result()


class Statuses:
    """Every status of a name that came, newest last."""

    def __init__(self, node, topic, name):
        self._name, self.got = name, []
        node.create_subscription(DiagnosticArray, topic, self._hear, 10)

    def _hear(self, message):
        self.got += [(message.header.stamp, status) for status in convert.named(message, self._name)]

    @property
    def newest(self):
        return self.got[-1][1]

    def says(self, text):
        return any(text in status.message for _, status in self.got)

    def values(self):
        return convert.values(self.newest) if self.got else {}


def arm_at(stamp, position=(0.45, 0.0, 0.2), gripper=0.0):
    return ArmState(
        stamp, np.zeros(7), np.zeros(7), np.zeros(7), Pose(np.array(position), TOOL_DOWN), gripper, np.zeros(3)
    )


def small_config(**overrides):
    return load("twin", overrides=[f"{name}={value}" for name, value in overrides.items()])


class Process:
    """A started command and the lines it wrote."""

    def __init__(self, words, environment):
        self.popen = subprocess.Popen(
            words,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.popen.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def text(self):
        return "\n".join(self.lines)

    def says(self, text, seconds=PATIENCE):
        deadline = time.monotonic() + seconds
        while text not in self.text:
            assert time.monotonic() < deadline, f"never said {text!r}:\n{self.text}"
            assert self.popen.poll() is None or text in self._rest(), f"ended without {text!r}:\n{self.text}"
            time.sleep(0.02)
        return self.text

    def _rest(self):
        self._reader.join(2.0)
        return self.text

    def ends(self, seconds=PATIENCE):
        try:
            status = self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end:\n{self.text}") from None
        self._reader.join(2.0)
        return status

    def signal(self, number):
        self.popen.send_signal(number)


class Processes:
    """Starts processes, and leaves none."""

    def __enter__(self):
        self._started = []
        return self

    def __exit__(self, *_):
        for process in self._started:
            if process.popen.poll() is None:
                process.signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.popen.wait(12.0)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.popen.pid, signal.SIGKILL)
            process.popen.wait()

    def start(self, module, *words, **environment):
        variables = {k: v for k, v in (os.environ | environment).items() if v is not None}
        process = Process([sys.executable, "-m", module, *map(str, words)], variables)
        self._started.append(process)
        return process


def children(pid):
    """Process ids of a process's children, by what they run."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError):
            with open(f"/proc/{name}/stat") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
            with open(f"/proc/{name}/cmdline") as file:
                words = file.read().split("\0")
            if parent == pid and "-m" in words:
                found[int(name)] = " ".join(words[words.index("-m") + 1 :])
    return found


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
