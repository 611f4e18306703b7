"""The bundle of a network with random weights, as an import makes it of a released checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from tokenizers import Tokenizer

from vla_ros.networks.graphs import Precision
from vla_ros.networks.recorded import Arrays, Clip, Recorded
from vla_ros.networks.release_export import write_bundle
from vla_ros.networks.release_facts import TEMPLATE, ReleaseFacts
from vla_ros.networks.released import Family, Release
from vla_ros.networks.speed.models import CAMERAS, SENTENCE, TAIL
from vla_ros.policy.language import open_language
from vla_ros.policy.manifest import Manifest, save_manifest

CELL = 28
"""Pixels of a block of colour in a made-up image."""


def write_random_bundle(
    network: Family, tokenizer: Tokenizer, folder: Path, precision: Precision = "fp32", words: int = TAIL
) -> Manifest:
    """Write the bundle of `network` into `folder`. Its facts are the template's, and its record of verification says what it is."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "pieces.json"
    tokenizer.save(str(file))
    facts = ReleaseFacts.model_validate(yaml.safe_load(TEMPLATE) | {"text_length": words})
    settings = {"norm_action": True, "norm_min": -0.65, "norm_max": 0.65}
    head = network.head.config
    release = Release(head.kind, head.hidden, head.window, head.chunk, CAMERAS, settings)
    training = {"weights": "random: for measurements only"}
    written = write_bundle(network, release, facts, file, folder, precision, training)
    file.unlink()
    manifest = written.manifest.model_copy(update={"verification": {"random_weights": True}})
    save_manifest(manifest, folder)
    return manifest


def made_up(folder: Path, manifest: Manifest, frames: int, seed: int = 0, sentence: str = SENTENCE) -> Recorded:
    """Frames of blocks of colour under one sentence, as a recording in two clips."""
    random = np.random.default_rng(seed)
    text = open_language(folder, manifest.words).text(sentence).inputs
    drawn = [_frame(manifest, random, text) for _ in range(frames)]
    half = frames // 2
    return Recorded("blocks of colour", (Clip(sentence, tuple(drawn[:half])), Clip(sentence, tuple(drawn[half:]))))


def blocks(random: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """An image (1, height, width, 3) of blocks of colour: independent pixels would average to the same grey everywhere."""
    cells = random.integers(0, 256, (1, -(-height // CELL), -(-width // CELL), 3), np.uint8)
    return cells.repeat(CELL, 1).repeat(CELL, 2)[:, :height, :width].copy()


def _frame(manifest: Manifest, random: np.random.Generator, text: Arrays) -> Arrays:
    found: Arrays = {}
    for tensor in manifest.graphs["encode"].inputs:
        if tensor.role == "image":
            found[tensor.name] = blocks(random, *tensor.shape[1:3])
        else:
            found[tensor.name] = text[tensor.role]
    return found
