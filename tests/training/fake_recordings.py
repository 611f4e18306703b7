"""Recorded episodes without recordings: a small world where the step to take is in the pictures and in the words."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np

COLOURS = {"red": (220, 30, 30), "blue": (30, 40, 220), "green": (30, 200, 40)}


class FakeReader:
    """Stands for a DatasetReader: squares of two colours; the tool is to go towards the named one."""

    def __init__(self, path: Path, lengths: list[int], seed: int = 0) -> None:
        self.path = path
        self.decoded = 0
        random = np.random.default_rng(seed)
        made = [_episode(length, random) for length in lengths]
        self.episodes = [SimpleNamespace(length=n, task=e["task"]) for n, e in zip(lengths, made, strict=True)]
        self._videos = [
            {"observation.images.static": e["static"], "observation.images.wrist": e["wrist"]} for e in made
        ]
        self._columns = {
            "observation.state": np.concatenate([e["state"] for e in made]),
            "action_chunk": np.concatenate([e["chunks"] for e in made]),
        }

    def column(self, name: str) -> np.ndarray:
        return self._columns[name]

    def video(self, episode: int, camera: str) -> np.ndarray:
        self.decoded += 1
        return self._videos[episode][camera]


def _episode(length: int, random: np.random.Generator) -> dict:
    names = random.choice(list(COLOURS), 2, replace=False)
    places = random.uniform([0, 0], [100, 60], (2, 2)).astype(int)
    static = np.full((length, 80, 120, 3), 120, np.uint8)
    wrist = random.integers(0, 256, (length, 60, 80, 3)).astype(np.uint8)
    for name, (x, y) in zip(names, places, strict=True):
        static[:, y : y + 16, x : x + 16] = COLOURS[name]
    target = (places[0] / [50, 30] - 1) * 0.01
    chunks = np.zeros((length, 10, 7), np.float32)
    chunks[:, :, :2] = target
    chunks[:, 5:, 6] = 1
    state = np.tile(np.array([0.45, 0, 0.1, 0, 0, 0, 0, 0], np.float32), (length, 1))
    state[:, 7] = np.arange(length)  # tells frames apart in tests of the order
    return {
        "task": f"take the {names[0]} cube",
        "static": static,
        "wrist": wrist,
        "state": state,
        "chunks": chunks.reshape(length, 70),
    }
