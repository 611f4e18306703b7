"""A robot for the dashboard's tests: a board that is filled by hand, and commands that note what was asked."""

import io

import numpy as np
import PIL.Image

from vla_ros.clock import VirtualClock
from vla_ros.config import load
from vla_ros.dashboard.access import Access, access
from vla_ros.dashboard.app import create_app
from vla_ros.dashboard.commands import Answer
from vla_ros.dashboard.slots import Board, Command, Motion, Picture, Report
from vla_ros.geometry import Pose
from vla_ros.kinematics import TOOL_DOWN
from vla_ros.values import ActionChunk

PORT = 8099
URL = f"http://127.0.0.1:{PORT}"
WATCH, DRIVE, RECORD = (f"{name}-0123456789abcdef" for name in ("watch", "drive", "record"))


class Asked:
    """Commands that do nothing but note."""

    def __init__(self):
        self.wishes, self.instructions, self.drives, self.events = [], [], [], []
        self.answer = Answer(True, "done")

    def ask(self, name):
        return lambda: self.wish(name)

    def wish(self, name):
        self.wishes.append(name)
        return self.answer

    def instruct(self, text):
        self.instructions.append(text)
        return self.answer

    def record(self, event):
        self.events.append(event.value)
        return self.answer

    def drive(self, twist, in_tool, gripper):
        self.drives.append((twist, in_tool, gripper))


class Robot:
    """Board, commands, clock and the application around them."""

    def __init__(self, tokens=None, clock=None, port=PORT, **settings):
        settings = {"port": port} | settings
        self.config = load("twin", overrides=[f"dashboard.{name}={value}" for name, value in settings.items()])
        self.clock = clock or VirtualClock(10**12)
        self.board, self.commands = Board.of(self.config.cameras), Asked()
        self.access = access(self.config)
        if tokens is not None:
            self.access = Access(tokens, self.access.origins, self.access.hosts)
        self.app = self.made()

    def made(self):
        """An application anew, as a process that starts makes it: it belongs to one event loop."""
        tasks = ("pick up the red cube",)
        return create_app(self.board, self.commands, self.config, self.access, self.clock, tasks)

    def fill(self, mode="ACTIVE", verdict="ok"):
        now = self.clock.now()
        values = {"mode": mode, "verdict": "OK", "chunk_age_ms": "120", "feedback_age_ms": "4.5", "missed": "3"}
        self.board.arm.put(Report(0, verdict, values, now))
        self.board.policy.put(Report(0, "thinking", {"policy": "demo", "instruction": "pick up the red cube"}, now))
        self.board.motion.put(Motion(Pose(np.array([0.45, 0.0, 0.2]), TOOL_DOWN), (0.1,) * 7, 0.25, now))
        self.board.command.put(Command(0.05, 0.1, now))
        self.board.latency.put({"motion_p50_ms": 142.0, "delay_p50_ms": float("nan")})
        self.board.chunk.put(chunk(now))

    def take(self, phase="armed", **more):
        """A recorder is heard."""
        values = {
            "phase": phase,
            "instruction": "pick up the red cube",
            "next": "push the blue cube",
            "task": "0",
            "tasks": "2",
            "episodes": "3",
            "frames": "0",
            "repeated": "0",
            "skipped": "0",
            "lost": "0",
            "seconds": "0.0",
            "parking": "False",
            "obstacle": "",
            "log": "",
            "memory_s": "30.0",
            "free_gb": "12.5",
            "static_fps": "30.0",
            "static_age_ms": "12.0",
            "static_lost": "2",
            "wrist_fps": "29.9",
            "wrist_age_ms": "9",
            "wrist_lost": "0",
            **more,
        }
        self.board.recorder.put(Report(0, phase, values, self.clock.now()))

    def see(self, name="static", level=0):
        camera = self.config.cameras[name]
        shape = camera.roi[3] // camera.binning, camera.roi[2] // camera.binning, 3
        picture = Picture(np.full(shape, level, np.uint8), 1_700_000_000_000_000_000 + level, self.clock.now())
        self.board.pictures[name].put(picture)


def chunk(stamp, n=5):
    positions = np.array([[0.45, 0.01 * (k + 1), 0.2] for k in range(n)])
    return ActionChunk(stamp, 10**8, positions, np.tile(TOOL_DOWN, (n, 1)), np.zeros(n), n, "demo", "pick", 1)


def tokens():
    return (
        (WATCH, frozenset({"watch"})),
        (DRIVE, frozenset({"watch", "drive"})),
        (RECORD, frozenset({"watch", "record"})),
    )


WIRE = URL.replace("http", "ws")
CLOSED_BY_POLICY = 1008


def bearer(token):
    return {"authorization": f"Bearer {token}"}


def read_jpeg(data):
    return np.asarray(PIL.Image.open(io.BytesIO(data)))
