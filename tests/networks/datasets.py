"""A dataset of the twin's cameras whose robot state names its episode and frame."""

from pathlib import Path

import numpy as np

from tests.episodes.recordings import FEATURES, STATIC, WRIST, table
from vla_ros.episodes.layout import Feature
from vla_ros.episodes.lerobot import DatasetWriter
from vla_ros.policy.manifest import STATE_NAMES


def dataset(path: Path, lengths, task="pick up the red cube", names=STATE_NAMES, fps=10) -> Path:
    """Write it; each state is 100 times the episode, plus the frame."""
    features = FEATURES | {"observation.state": Feature("float32", (8,), tuple(names))}
    with DatasetWriter(path, features, fps, "kinova_gen3") as writer:
        for episode, length in enumerate(lengths):
            writer.begin(task)
            for frame in range(length):
                values = {
                    "observation.state": np.full(8, 100 * episode + frame, np.float32),
                    "action": np.zeros(7),
                    "observation.stamp_ns": frame,
                    "expert": True,
                }
                writer.add({name: table(name, frame)[0] for name in (STATIC, WRIST)}, values)
            writer.commit()
    return path
