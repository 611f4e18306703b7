"""Checkpoints: weights together with all that an export needs, so that a bundle can be made from the file alone."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict

from vla_ros.networks.formulations import NetworkConfig, PolicyHead, build
from vla_ros.policy.manifest import Action, Camera, Chunk, History, Robot


class Facts(BaseModel):
    """What the manifest will say about data and robot."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cameras: tuple[Camera, ...]
    action: Action
    chunk: Chunk
    history: History
    robot: Robot
    on_instruction: Literal["reset", "keep"] = "reset"


@dataclass
class Checkpoint:
    """A network, its words (`tokenizer` is tokenizer.json) and the records of its training.

    `progress` is what training needs to go on; a finished checkpoint may do without.
    """

    network: NetworkConfig
    facts: Facts
    tokenizer: str
    weights: dict[str, torch.Tensor]
    training: dict[str, Any] = field(default_factory=dict)
    progress: dict[str, Any] | None = None

    def build(self) -> PolicyHead:
        """The network with these weights. Raises RuntimeError when any weight is missing or left over."""
        network = build(self.network)
        network.load_state_dict(self.weights, strict=True)
        return network

    def save(self, path: Path) -> None:
        """Write the file whole or not at all: a crash leaves the former checkpoint."""
        content = {
            "network": self.network.model_dump_json(),
            "facts": self.facts.model_dump_json(),
            "tokenizer": self.tokenizer,
            "weights": self.weights,
            "training": self.training,
            "progress": self.progress,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        torch.save(content, temporary)
        os.replace(temporary, path)


def load_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in `path`; nothing in it is executed."""
    with torch.serialization.safe_globals([torch.torch_version.TorchVersion]):  # a str with a comparison
        content = torch.load(path, map_location="cpu", weights_only=True)
    return Checkpoint(
        NetworkConfig.model_validate_json(content["network"]),
        Facts.model_validate_json(content["facts"]),
        content["tokenizer"],
        content["weights"],
        content["training"],
        content["progress"],
    )
