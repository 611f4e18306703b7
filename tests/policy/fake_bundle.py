"""A bundle whose graphs are computed here, in numpy: everything around an engine can be tested without one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from safetensors.numpy import save_file

from vla_ros.config import load
from vla_ros.kinematics import HOME, forward
from vla_ros.policy.manifest import MANIFEST, sha256
from vla_ros.policy.words import ROWS, make_tokenizer
from vla_ros.values import ArmState, Frame, Observation

CONFIG = load("twin")
STRIDE = 100_000_000
WORDS = 8
WINDOW = 4
CHUNK = 5
FEATURE = 3


def write_bundle(folder: Path) -> Path:
    """A bundle in `folder`; its graph files hold no graphs."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(["pick up the red cube", "lift the blue block"])
    tokenizer.save(str(folder / "tokenizer.json"))
    rows = np.arange(tokenizer.get_vocab_size() * 2, dtype=np.float32).reshape(-1, 2)
    save_file({ROWS: rows}, folder / "text.safetensors")
    for graph in ("encode", "decide"):
        (folder / f"{graph}.onnx").write_bytes(graph.encode())
    (folder / MANIFEST).write_text(yaml.safe_dump(manifest_values(folder)))
    return folder


def manifest_values(folder: Path) -> dict[str, Any]:
    """The manifest of the bundle in `folder`, as YAML has it."""
    hashes = {path.name: sha256(path) for path in folder.iterdir()}
    camera = CONFIG.cameras
    return {
        "format": 1,
        "name": "fake",
        "graphs": {
            "encode": _graph("encode", hashes, _encode_inputs(), ["feature"]),
            "decide": _graph("decide", hashes, _decide_inputs(), ["chunk", "memory_next", "valid_next"]),
        },
        "cameras": [
            {
                "name": name,
                "sensor": [c.width, c.height],
                "roi": list(c.roi),
                "binning": c.binning,
                "mean": [0.5] * 3,
                "std": [0.25] * 3,
            }
            for name, c in camera.items()
        ],
        "robot_state": ["x", "y", "z", "rx", "ry", "rz", "gripper", "gripper_command"],
        "words": {
            "sha256": {name: hashes[name] for name in ("tokenizer.json", "text.safetensors")},
            "length": WORDS,
        },
        "history": {"window": WINDOW, "stride_ms": 100.0},
        "action": {
            "low": [-0.01] * 3 + [-0.02] * 3,
            "high": [0.01] * 3 + [0.02] * 3,
            "label": "commanded",
            "anchor": "measured",
        },
        "chunk": {"length": CHUNK, "step_ms": 100.0, "execute": 3},
        "on_instruction": "reset",
        "robot": {"name": CONFIG.robot, "control_rate": 100.0},
        "training": {},
        "verification": {"steps": 1},
    }


def _graph(name: str, hashes: Mapping[str, str], inputs: list[Any], outputs: list[str]) -> dict[str, Any]:
    return {"file": f"{name}.onnx", "sha256": hashes[f"{name}.onnx"], "inputs": inputs, "outputs": outputs}


def _encode_inputs() -> list[dict[str, Any]]:
    images = [
        {"name": n, "role": "image", "camera": n, "dtype": "uint8", "shape": [1, *_shape(n), 3]} for n in CONFIG.cameras
    ]
    return [
        *images,
        {"name": "text", "role": "text", "shape": [1, WORDS, 2]},
        {"name": "text_mask", "role": "text_mask", "shape": [1, WORDS]},
        {"name": "robot_state", "role": "robot_state", "shape": [1, 8]},
    ]


def _decide_inputs() -> list[dict[str, Any]]:
    return [
        {"name": "memory", "role": "memory", "shape": [1, WINDOW - 1, FEATURE]},
        {"name": "valid", "role": "memory", "shape": [1, WINDOW - 1]},
        {"name": "feature", "role": "feature", "shape": [1, FEATURE]},
    ]


def _shape(name: str) -> tuple[int, int]:
    camera = CONFIG.cameras[name]
    return camera.roi[3] // camera.binning, camera.roi[2] // camera.binning


class FakeEngine:
    """The feature is (static's brightness, first word's row, gripper command). A chunk's dx and dy, in every step, are the number
    of valid memories and the oldest remembered brightness, both in hundredths; its gripper is the gripper command."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def run(self, graph: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        self.calls.append(graph)
        if graph == "encode":
            numbers = [inputs["static"].mean(), inputs["text"][0, 0, 0], inputs["robot_state"][0, 7]]
            return {"feature": np.array([numbers], np.float32)}
        memory, valid, feature = inputs["memory"], inputs["valid"], inputs["feature"]
        chunk = np.zeros((1, CHUNK, 7), np.float32)
        chunk[0, :, 0], chunk[0, :, 1] = valid.sum() / 100, memory[0, 0, 0] / 100
        chunk[0, :, 6] = feature[0, 2]
        return {
            "chunk": chunk,
            "memory_next": np.concatenate([memory[:, 1:], feature[:, None]], 1),
            "valid_next": np.concatenate([valid[:, 1:], np.ones((1, 1), np.float32)], 1),
        }


def observation(stamp: int = 0, brightness: int = 0) -> Observation:
    """The arm at home and two images of one grey."""
    arm = ArmState(stamp, HOME, np.zeros(7), np.zeros(7), forward(HOME), 0.0, np.zeros(3))
    frames = {
        name: Frame(np.full((*_shape(name), 3), brightness, np.uint8), stamp, stamp, 0) for name in CONFIG.cameras
    }
    return Observation(stamp, frames, arm, 0)
