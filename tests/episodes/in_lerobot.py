"""What the tests let LeRobot itself do with datasets: a program for its own environment (`make env-lerobot`), which lacks vla_ros.

python in_lerobot.py read ROOT OUT       every frame, one by one: OUT is an npz of the columns and of the bar codes
python in_lerobot.py windows ROOT OUT    the same through a DataLoader, with what was seen one step before
python in_lerobot.py append ROOT OUT     two more episodes of 4 frames, by LeRobot's own recorder
python in_lerobot.py create ROOT OUT     a dataset of LeRobot's own, of 2 episodes
"""

import sys
from pathlib import Path

import numpy as np
import torch
from bars import LENGTHS, TASKS, coded, decoded

# torchvision is built for another torch, and asks for this operator when it is imported; nothing here uses it
OPERATORS = torch.library.Library("torchvision", "DEF")
OPERATORS.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from lerobot.datasets.lerobot_dataset import LeRobotDataset  # noqa: E402

CREATED = {
    "observation.images.top": {"dtype": "video", "shape": (96, 128, 3), "names": ["height", "width", "channels"]},
    "observation.images.hand": {"dtype": "video", "shape": (64, 80, 3), "names": ["height", "width", "channels"]},
    "observation.state": {"dtype": "float32", "shape": (8,), "names": list("abcdefgh")},
    "action": {"dtype": "float32", "shape": (7,), "names": None},
    "done": {"dtype": "bool", "shape": (1,), "names": None},
}


def opened(root, **wanted):
    """The dataset as LeRobot has it, read with PyAV."""
    return LeRobotDataset("local/dataset", root=root, video_backend="pyav", **wanted)


def numbers(item):
    """Columns of one frame, or of a batch, as arrays; pictures (…, 3, H, W) as their bar codes."""
    row = {}
    for name, value in item.items():
        if isinstance(value, str) or (isinstance(value, list) and isinstance(value[0], str)):
            row[name] = np.array(value)
        elif name.startswith("observation.images.") and not name.endswith("_is_pad"):
            pictures = value.reshape(-1, *value.shape[-3:]).permute(0, 2, 3, 1).numpy()
            row[name] = np.array([decoded(picture) for picture in pictures]).reshape(value.shape[:-3])
        else:
            row[name] = value.numpy()
    return row


def read(root):
    """Every frame, one by one."""
    data = opened(root)
    rows = [numbers(data[k]) for k in range(len(data))]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def windows(root):
    """Batches of a DataLoader: each frame with the one before it, and the next three actions."""
    fps = opened(root).fps
    past = {name: [-1 / fps, 0.0] for name in opened(root).meta.video_keys}
    data = opened(root, delta_timestamps={**past, "action": [k / fps for k in range(3)]})
    batches = [numbers(batch) for batch in torch.utils.data.DataLoader(data, batch_size=5, shuffle=False)]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def append(root):
    """Go on where somebody else has ended."""
    data = opened(root, vcodec="h264")
    first = data.num_frames
    _fill(data, first)
    return {"first": np.array(first)}


def create(root):
    """A dataset as LeRobot's own recorder makes it: both episodes in one parquet, and in one mp4 (AV1) for each camera."""
    data = LeRobotDataset.create("local/made", 10, CREATED, root, "so100")
    _fill(data, 0)
    return {"first": np.array(0)}


def _fill(data, number):
    for length, task in zip(LENGTHS, TASKS, strict=True):
        for _ in range(length):
            data.add_frame({**_frame(data, number), "task": task})
            number += 1
        data.save_episode()
    data.finalize()


def _frame(data, number):
    """Values that name their frame, for every column that a recorder fills."""
    frame = {}
    for name, feature in data.features.items():
        if feature["dtype"] == "video":
            frame[name] = coded(number, feature["shape"])
        elif name not in ("timestamp", "frame_index", "episode_index", "index", "task_index"):
            frame[name] = np.full(feature["shape"], number, feature["dtype"])
    return frame


if __name__ == "__main__":
    work, root, out = sys.argv[1:]
    done = {"read": read, "windows": windows, "append": append, "create": create}[work](Path(root))
    np.savez(out, **done)
