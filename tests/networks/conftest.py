"""A network with random weights, as a checkpoint."""

from typing import Any

import pytest

from vla_ros.config import load
from vla_ros.policy.manifest import Action, Chunk, History, Robot
from vla_ros.policy.words import make_tokenizer

WINDOW = 4


@pytest.fixture(scope="session")
def checkpoint() -> Any:
    """Small in the head, full size in the images: the twin's cameras are what it is checked against."""
    import torch

    from vla_ros.networks.checkpoints import Checkpoint, Facts
    from vla_ros.networks.formulations import NetworkConfig, build
    from vla_ros.training.facts import cameras_of

    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = load("twin")
    tokenizer = make_tokenizer(["pick up the red cube", "lift the blue block"])
    scale = (0.015,) * 3 + (0.035,) * 3
    facts = Facts(
        cameras=cameras_of(config, ("static", "wrist")),
        action=Action(low=tuple(-s for s in scale), high=scale, label="commanded", anchor="measured"),
        chunk=Chunk(length=5, step_ms=100, execute=3),
        history=History(window=WINDOW, stride_ms=100),
        robot=Robot(name=config.robot, control_rate=100),
    )
    network = NetworkConfig(
        sizes=tuple(camera.image_shape for camera in facts.cameras),
        vocabulary=tokenizer.get_vocab_size(),
        words=8,
        embedding=16,
        width=32,
        window=WINDOW,
        chunk=5,
        state_mean=(0.0,) * 8,
        state_std=(1.0,) * 8,
    )
    weights = build(network).state_dict()
    return Checkpoint(network, facts, tokenizer.to_str(), weights, {"steps": 0})
