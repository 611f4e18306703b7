"""A policy of the family in service, against its network: the same images, by the service's code and as the authors prepare them."""

import numpy as np
import torch
from PIL import Image
from PIL.Image import Resampling

from tests.networks.releases import make_tokenizer
from vla_ros import geometry
from vla_ros.config import load
from vla_ros.kinematics import HOME, forward
from vla_ros.networks.backbones.kosmos2 import PIXEL_MEAN, PIXEL_STD, PROMPT
from vla_ros.networks.released import load_release
from vla_ros.policy.policy import load_policy
from vla_ros.values import ArmState, Frame, Observation

SAID = "pick up the red cube"
SENSORS = ("cameras.static.roi=[0, 0, 1280, 720]", "cameras.wrist.roi=[0, 0, 640, 480]")
CONFIG = load("twin", overrides=[*SENSORS, "cameras.static.binning=1", "cameras.wrist.binning=1"])


def parts(folder):
    return folder / "checkpoint.pt", folder / "config.json", folder / "kosmos-2"


def observation(step):
    random = np.random.default_rng(step)
    frames = {}
    for name, (height, width) in (("static", (720, 1280)), ("wrist", (480, 640))):
        blocks = random.integers(0, 256, (height // 40, width // 40, 3), np.uint8)
        frames[name] = Frame(blocks.repeat(40, 0).repeat(40, 1), step * 100_000_000, step * 100_000_000, step)
    arm = ArmState(step * 100_000_000, HOME, np.zeros(7), np.zeros(7), forward(HOME), 0.0, np.zeros(3))
    return Observation(arm.stamp, frames, arm, 0)


def by_the_authors(release, observations, reset_at):
    """What the network itself makes of the frames, resized as torchvision's Resize of a PIL image does."""
    network, _ = load_release(*parts(release))
    ids = make_tokenizer().encode(PROMPT.format(SAID), add_special_tokens=False).ids
    words = torch.tensor([[0, *ids]])
    memory, chunks = network.head.fresh(), []
    mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in (PIXEL_MEAN, PIXEL_STD))
    with torch.no_grad():
        for step, seen in enumerate(observations):
            memory = network.head.fresh() if step == reset_at else memory
            small = (
                Image.fromarray(seen.frames[n].image).resize((224, 224), Resampling.BICUBIC)
                for n in ("static", "wrist")
            )
            pixels = [(torch.from_numpy(np.array(i)).permute(2, 0, 1)[None] / 255 - mean) / std for i in small]
            chunk, *memory = network.head.decide(network.eye(pixels, words), *memory)
            chunks.append(chunk[0].numpy())
    return chunks


def check_service(bundle, release, observations, reset_at):
    """The chunks of the service are the network's, frame by frame, memory and all."""
    policy = load_policy(str(bundle), CONFIG)
    policy.set_instruction(SAID)
    for step, (seen, wanted) in enumerate(
        zip(observations, by_the_authors(release, observations, reset_at), strict=True)
    ):
        if step == reset_at:
            policy.reset()
        chunk = policy.act(seen, 0.0)
        assert chunk is not None
        steps = wanted[:, :6].astype(float) * 0.65
        positions = seen.arm.tool.position + np.cumsum(steps[:, :3], 0)
        np.testing.assert_allclose(chunk.positions, positions, atol=2e-4)
        assert chunk.grippers.tolist() == [0.0 if logit > 0 else 1.0 for logit in wanted[:, 6]]  # its label 1 is open
        turned = geometry.multiply(geometry.exp(steps[0, 3:]), seen.arm.tool.quaternion)
        assert np.linalg.norm(geometry.difference(chunk.quaternions[0], turned)) < 2e-4
