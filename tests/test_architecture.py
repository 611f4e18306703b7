"""Who may import whom: the floors of the house, read from the source of every module."""

import ast
import fnmatch
import re
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent

FLOORS = (
    {"values", "clock", "geometry", "kinematics", "config", "shared", "runtime", "paths", "faults", "folders"},
    {"cameras", "arms", "policy", "motion", "twin", "episodes", "teleop", "calibration"},
    {"networks", "training", "evaluation"},
    {"nodes", "dashboard", "bringup", "cli", "commands", "__main__"},
)
GROUND, FIRST = 0, 1

# The first floor knows only the ground floor, but for these: file -> modules of other rooms.
DOORS = {
    "arms/twin.py": ["vla_ros.twin", "vla_ros.twin.*"],
    "cameras/twin.py": ["vla_ros.twin", "vla_ros.twin.*"],
    # a recorded episode as a policy
    "policy/replay.py": ["vla_ros.episodes.layout", "vla_ros.episodes.reader", "vla_ros.episodes.replay"],
    # the two processes that hold an arm: its protocol, and what loads the driver that the configuration names
    "motion/servo.py": ["vla_ros.arms.arm", "vla_ros.arms.load", "vla_ros.arms.faulty"],
    "motion/watchdog.py": ["vla_ros.arms.arm", "vla_ros.arms.load"],
}

# Heavy or unwanted packages, and the files that may name them.
ROS = ("rclpy", "std_srvs", "*_msgs", "*_interfaces", "ament_index_python", "tf2_*", "cv_bridge")
HOMES = {
    # the last: a script that runs in LeRobot's environment
    "torch": ("networks/*", "training/*", "policy/engines/torch_engine.py", "commands/record_writers.py"),
    "torchvision": ("networks/*", "training/*"),
    "safetensors.torch": ("networks/*", "training/*", "policy/engines/torch_engine.py"),
    "mujoco": ("twin/*",),
    **dict.fromkeys(ROS, ("nodes/*",)),
    # besides the files in launch/, outside the package: what these have in common
    "launch": ("nodes/launching.py",),
    "launch_ros": ("nodes/launching.py",),
}

# Device SDKs, which are also only imported when the device is opened.
SDKS = {
    "cv2": ("calibration/*", "twin/board.py"),
    "kortex_api": ("arms/kortex*.py",),
    "pyrealsense2": ("cameras/realsense.py",),
    "pyk4a": ("cameras/azure_kinect.py",),
    "pyspacemouse": ("teleop/*",),
    "evdev": ("teleop/*",),
    "hid": ("teleop/*",),
    "pygame": ("teleop/*",),
}


class Import(NamedTuple):
    """One imported name: the dotted module, its line, and whether importing the file is enough to run it."""

    module: str
    line: int
    eager: bool


def imports(source: str, package: str) -> Iterator[Import]:
    """Yield what a module imports, by statement or by `import_module("...")`; `package` resolves dots."""
    tree = ast.parse(source)
    lazy = {id(node) for function in ast.walk(tree) if _defers(function) for node in ast.walk(function)}
    for node in ast.walk(tree):
        for module in _modules(node, package):
            yield Import(module, node.lineno, id(node) not in lazy)


def _defers(node: ast.AST) -> bool:
    """Tell whether imports below this node wait: for a call, or for a type checker."""
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.unparse(node.test)
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def _modules(node: ast.AST, package: str) -> list[str]:
    """Return the dotted names that one node imports, down to `from x import y` as x.y."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        return [".".join([*above, *filter(None, [node.module]), alias.name]) for alias in node.names]
    if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in (
        "import_module",
        "__import__",
    ):
        named = node.args[:1]
        return [arg.value for arg in named if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    return []


def floor(room: str) -> int | None:
    """Return the floor that a room is on, or None for a room that the plan does not have."""
    return next((level for level, rooms in enumerate(FLOORS) if room in rooms), None)


def violations(root: Path) -> list[str]:
    """Return every import below root/vla_ros that the plan forbids, as 'file:line: reason'."""
    package = root / "vla_ros"
    found = []
    for path in sorted(package.rglob("*.py")):
        file = PurePosixPath(path.relative_to(package))
        dotted = ".".join(["vla_ros", *file.parent.parts])
        for imported in imports(path.read_text(encoding="utf-8"), dotted):
            reason = _house(file, imported.module) or _home(file, imported)
            if reason:
                found.append(f"vla_ros/{file}:{imported.line}: {reason}")
    return found


def _room(file: PurePosixPath) -> str:
    return file.parts[0].removesuffix(".py")


def _house(file: PurePosixPath, module: str) -> str | None:
    """Return why this file may not import this module of ours, or None."""
    parts = module.split(".")
    if parts[0] != "vla_ros":
        return None
    room, other = _room(file), parts[1] if len(parts) > 1 else ""
    if floor(other) is None:
        known = other in ("", "__version__")
        return None if known else f"vla_ros.{other} is no room of the plan"
    if room == "__init__":
        return f"the package itself may not import {module}"
    own, theirs = floor(room), floor(other)
    if own is None:
        return f"{room} is no room of the plan"
    if room == other or theirs < own or (own == theirs and own != FIRST):
        return None
    if any(fnmatch.fnmatch(module, door) or module.startswith(f"{door}.") for door in DOORS.get(str(file), [])):
        return None
    return f"{room} may not import {module}"


def _home(file: PurePosixPath, imported: Import) -> str | None:
    """Return why this file may not import this third-party package, or None."""
    for package, homes in (HOMES | SDKS).items():
        depth = package.count(".") + 1
        name = ".".join(imported.module.split(".")[:depth])
        if not fnmatch.fnmatch(name, package):
            continue
        if not any(fnmatch.fnmatch(str(file), home) for home in homes):
            return f"{name} belongs in {' or '.join(homes)}"
        if package in SDKS and imported.eager:
            return f"{name} is to be imported when the device is opened, not with the file"
    return None


def test_no_module_imports_what_its_floor_forbids():
    assert violations(ROOT) == []


def test_every_room_is_on_a_floor():
    entries = [path for path in (ROOT / "vla_ros").iterdir() if path.suffix == ".py" or list(path.glob("*.py"))]
    rooms = {path.stem for path in entries} - {"__init__"}
    assert {room for room in rooms if floor(room) is None} == set()


def test_every_folder_with_code_is_a_package():
    folders = {path.parent for path in (ROOT / "vla_ros").rglob("*.py")}
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_a_camera_starts_where_only_its_sdk_is():
    foreign = {name: file for file in loaded("nodes/camera.py", "cameras/azure_kinect.py") for name in _foreign(file)}
    asked = (ROOT / "requirements/kinect.in").read_text(encoding="utf-8")
    packages = {re.match(r"[\w-]+", line)[0] for line in asked.splitlines() if line and line[0] != "#"}
    there = {*packages, "PIL", "yaml", *sys.stdlib_module_names}  # pillow and pyyaml by the names they are imported by
    assert {
        name: str(file)
        for name, file in foreign.items()
        if name not in there and not any(fnmatch.fnmatch(name, ros) for ros in ROS)
    } == {}


def loaded(*files: str) -> set[PurePosixPath]:
    """Every file of ours that is run when these are imported."""
    found, left = set(), {PurePosixPath(file) for file in files}
    while left:
        file = left.pop()
        found.add(file)
        for module in _eager(file):
            parts = module.split(".")
            places = [PurePosixPath(*parts[1:end]) for end in range(2, len(parts) + 1) if parts[0] == "vla_ros"]
            near = [path for place in places for path in (place / "__init__.py", place.with_suffix(".py"))]
            left |= {path for path in near if (ROOT / "vla_ros" / path).is_file()}
        left -= found
    return found


def _eager(file: PurePosixPath) -> list[str]:
    source = (ROOT / "vla_ros" / file).read_text(encoding="utf-8")
    return [each.module for each in imports(source, ".".join(["vla_ros", *file.parent.parts])) if each.eager]


def _foreign(file: PurePosixPath) -> set[str]:
    return {module.split(".")[0] for module in _eager(file)} - {"vla_ros"}


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("values.py", "import vla_ros.policy.history"),
        ("config/schema.py", "from vla_ros import cameras"),
        ("policy/policy.py", "from vla_ros.motion.player import Player"),
        ("policy/policy.py", "from ..twin import scene"),
        ("policy/engines/onnx_engine.py", "from ...arms import arm"),
        ("motion/player.py", "from vla_ros.arms.arm import Arm"),
        ("motion/servo.py", "from vla_ros.arms.kortex import KortexArm"),
        ("motion/servo.py", "def f():\n    import vla_ros.twin.physics"),
        ("arms/kortex.py", "from vla_ros.twin import physics"),
        ("evaluation/rollout.py", "from vla_ros.nodes import policy"),
        ("twin/scene.py", "import vla_ros.evaluation.rollout"),
        ("__init__.py", "from .policy import policy"),
        ("attic.py", "from vla_ros import values"),
        ("values.py", "from vla_ros import attic"),
        ("policy/policy.py", "import torch.nn"),
        ("evaluation/rollout.py", "def f():\n    from torch import nn"),
        ("policy/manifest.py", "from safetensors.torch import load_file"),
        ("cameras/twin.py", "import mujoco"),
        ("arms/arm.py", "import rclpy"),
        ("bringup.py", "from sensor_msgs.msg import Image"),
        ("cli.py", "importlib.import_module('rclpy')"),
        ("nodes/arm.py", "import launch"),
        ("cameras/camera.py", "def f():\n    import pyrealsense2"),
        ("cameras/realsense.py", "import pyrealsense2"),
        ("nodes/camera.py", "def f():\n    import pyk4a"),
        ("calibration/board.py", "import cv2"),
        ("twin/render.py", "def f():\n    import cv2"),
    ],
)
def test_a_planted_violation_is_found(tmp_path, file, line):
    _plant(tmp_path, file, line)
    assert len(violations(tmp_path)) == 1


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("values.py", "import numpy as np"),
        ("kinematics.py", "from vla_ros.geometry import Pose"),
        ("policy/policy.py", "from . import history, manifest"),
        ("policy/engines/torch_engine.py", "import torch"),
        ("arms/twin.py", "from vla_ros.twin import physics"),
        ("motion/servo.py", "from vla_ros.arms.arm import Arm"),
        ("motion/servo.py", "importlib.import_module(name)"),
        ("evaluation/rollout.py", "from vla_ros.policy.policy import Policy"),
        ("training/train.py", "import torch\nfrom vla_ros.networks import heads"),
        ("nodes/arm.py", "import rclpy\nfrom vla_ros.motion import servo"),
        ("cameras/realsense.py", "def f():\n    import pyrealsense2 as rs"),
        ("calibration/board.py", "def f():\n    import cv2"),
        ("policy/manifest.py", "from safetensors.numpy import load_file"),
        ("cli.py", "from vla_ros import __version__, bringup"),
    ],
)
def test_what_the_plan_allows_is_not_reported(tmp_path, file, line):
    _plant(tmp_path, file, line)
    assert violations(tmp_path) == []


def _plant(root: Path, file: str, source: str) -> None:
    path = root / "vla_ros" / file
    path.parent.mkdir(parents=True)
    path.write_text(source + "\n", encoding="utf-8")
