"""Whether a checkpoint computes here what it computed for its authors: the comparison with recorded tensors of the reference.

A folder holds checkpoint.pt, config.json, kosmos-2/config.json and expected.npz: what the reference answered, frame by frame, with
a reset in the middle (`feature`, `arm`, `gripper_logit`), and two controls: the first frame with the cameras swapped, and with one
word changed, which must give something else. The images follow from `seed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vla_ros.networks.release_file import ReleaseError
from vla_ros.networks.released import Family, load_release

TOLERANCE = 1e-4
"""Largest error, as a share of the tensor's largest magnitude; and least change of a control."""
TENSORS = ("feature", "arm", "gripper_logit")
_KEYS = (*TENSORS, "input_ids", "swapped_cameras_arm", "changed_word_input_ids", "changed_word_arm",
         "seed", "steps", "reset_at")  # fmt: skip
_PATCH, _CELLS = 28, 8
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Comparison:
    """One tensor: its error as a share of the largest magnitude, and whether that is right."""

    name: str
    value: float
    agrees: bool


def check_parity(folder: Path, attention: str = "sdpa") -> list[Comparison]:
    """Compare the checkpoint in `folder` with what its authors' code answered. Raises ReleaseError for an unusable folder."""
    network, _ = load_release(folder / "checkpoint.pt", folder / "config.json", folder / "kosmos-2", attention)
    expected = _expected(folder / "expected.npz")
    pixels = images(int(expected["seed"]), int(expected["steps"]))
    words, other = (_words(expected[name]) for name in ("input_ids", "changed_word_input_ids"))
    with torch.inference_mode():
        answers = stream(network, pixels, words, int(expected["reset_at"]))
        swapped = stream(network, pixels[:1, ::-1], words)["arm"][0]
        changed = stream(network, pixels[:1], other)["arm"][0]
    found = [_error(name, answers[name], expected[name]) for name in TENSORS]
    found += [_error("swapped_cameras_arm", swapped, expected["swapped_cameras_arm"])]
    found += [_error("changed_word_arm", changed, expected["changed_word_arm"])]
    found += [
        _change("cameras swapped", swapped, answers["arm"][0]),
        _change("word changed", changed, answers["arm"][0]),
    ]
    return found


def images(seed: int, steps: int) -> Floats:
    """Pixels (steps, 2 cameras, 3, 224, 224), already normalised: static, then wrist."""
    rng = np.random.default_rng(seed)
    rng.integers(5, 300, (1, 11))  # the words were drawn first
    cells = rng.standard_normal((steps, 2, 3, _CELLS, _CELLS), dtype=np.float32)
    return cells.repeat(_PATCH, axis=3).repeat(_PATCH, axis=4)


def stream(network: Family, pixels: Floats, words: Tensor, reset_at: int = -1) -> dict[str, Floats]:
    """What the network answers frame by frame: feature (n, D), arm (n, chunk, 6), gripper_logit (n, chunk)."""
    memory, features, chunks = network.head.fresh(), [], []
    for step, frame in enumerate(pixels):
        if step == reset_at:
            memory = network.head.fresh()
        cameras: Sequence[Tensor] = [torch.from_numpy(np.ascontiguousarray(image))[None] for image in frame]
        feature = network.eye(cameras, words)
        chunk, *following = network.head.decide(feature, *memory)
        memory = tuple(following)
        features.append(feature[0].numpy())
        chunks.append(chunk[0].numpy())
    stacked = np.stack(chunks)
    return {"feature": np.stack(features), "arm": stacked[..., :6], "gripper_logit": stacked[..., 6]}


def _expected(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        raise ReleaseError(f"cannot read {path}: {error}: name a folder with the tensors of the reference") from None
    missing = [name for name in _KEYS if name not in found]
    if missing:
        raise ReleaseError(f"{path} lacks {', '.join(missing)}")
    return found


def _words(ids: NDArray[np.generic]) -> Tensor:
    """Word numbers without the closing </s>, which stands behind the action token."""
    return torch.from_numpy(np.asarray(ids[:, :-1], np.int64))


def _error(name: str, answer: Floats, expected: NDArray[np.generic]) -> Comparison:
    wanted = np.asarray(expected, np.float64)
    if answer.shape != wanted.shape:
        raise ReleaseError(f"{name}: the network gives {answer.shape}, the reference {wanted.shape}")
    error = float(np.abs(answer - wanted).max() / np.abs(wanted).max())
    return Comparison(name, error, error <= TOLERANCE)


def _change(name: str, answer: Floats, before: Floats) -> Comparison:
    """A control: what must matter does."""
    change = float(np.abs(answer - before).max())
    return Comparison(name, change, change > TOLERANCE)
