"""A bundle computes what its network does, and is served."""
# ruff: noqa: E402 (what needs torch is imported once it is known to be there)

import dataclasses
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from vla_ros.clock import VirtualClock
from vla_ros.config import load
from vla_ros.kinematics import HOME, forward
from vla_ros.networks.checkpoints import Checkpoint
from vla_ros.networks.export import DecideGraph, EncodeGraph, export
from vla_ros.networks.verify import VerificationError, verify
from vla_ros.policy.actions import deltas_from_poses
from vla_ros.policy.manifest import Manifest, check, load_manifest
from vla_ros.policy.policy import BundlePolicy, load_policy
from vla_ros.policy.preprocess import robot_state
from vla_ros.values import ArmState, Frame, Observation

STRIDE = 100_000_000


@pytest.fixture(scope="module")
def bundle(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "small"
    export(checkpoint, folder)
    return folder


def observation(number: int, random: np.random.Generator) -> Observation:
    arm = ArmState(number * STRIDE, HOME, np.zeros(7), np.zeros(7), forward(HOME), 0.3, np.zeros(3))
    shapes = {"static": (80, 120, 3), "wrist": (60, 80, 3)}
    frames = {n: Frame(random.integers(0, 256, s, np.uint8), arm.stamp, arm.stamp, number) for n, s in shapes.items()}
    return Observation(arm.stamp, frames, arm, 0)


def test_the_manifest_records_the_proof_and_the_twin_accepts_it(bundle: Path) -> None:
    manifest = load_manifest(bundle)
    check(manifest, load("twin"))
    assert manifest.verification["torch_onnxruntime_difference"] <= 1e-4
    assert set(manifest.verification["depends_on"]) == {"static", "wrist", "text"}
    assert sum(path.stat().st_size for path in bundle.iterdir()) < 15e6


@torch.no_grad()
def test_the_policy_serves_what_the_network_computes(bundle: Path, checkpoint: Checkpoint) -> None:
    policy = load_policy(str(bundle), load("twin"), VirtualClock())
    assert isinstance(policy, BundlePolicy)
    policy.set_instruction("lift the red cube")
    network = checkpoint.build().eval()
    random = np.random.default_rng(0)
    seen = [observation(k, random) for k in range(6)]
    served = [policy.act(o, 1.0) for o in seen]
    last = seen[-network.config.window :]
    images = [torch.from_numpy(np.stack([o.frames[n].image for o in last]))[None] for n in ("static", "wrist")]
    state = torch.from_numpy(np.stack([robot_state(o.arm, 1.0) for o in last]))[None]
    ids = [policy._words._tokenizer.token_to_id(word) for word in ("lift", "the", "red", "cube")]
    words = torch.tensor([ids + [0] * 4])
    expected = network(images, words, (words > 0).float(), state, torch.ones(1, len(last)))[0, -1].numpy()
    chunk = served[-1]
    assert chunk is not None
    steps = deltas_from_poses(seen[-1].arm.tool, chunk.positions, chunk.quaternions, chunk.grippers)
    scale = np.array(checkpoint.facts.action.high)
    np.testing.assert_allclose(steps[:, :6] / scale, np.clip(expected[:, :6], -1, 1), atol=1e-3)
    np.testing.assert_array_equal(chunk.grippers, expected[:, 6] > 0)


def test_other_weights_are_found_out(bundle: Path, checkpoint: Checkpoint) -> None:
    network = checkpoint.build().eval()
    with torch.no_grad():
        network.head.out[0].weight.mul_(1.01)
    with pytest.raises(VerificationError, match="differs from torch by"):
        verify({"encode": EncodeGraph(network), "decide": DecideGraph(network)}, bundle, load_manifest(bundle))


@pytest.mark.parametrize("ignored", ["static", "wrist", "text"])
def test_a_network_that_ignores_an_input_is_found_out(
    bundle: Path, ignored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vla_ros.networks import verify as module

    blind = Blind(module.OnnxEngine(bundle, load_manifest(bundle)), ignored)
    monkeypatch.setattr(module, "OnnxEngine", lambda folder, manifest: blind)
    monkeypatch.setattr(module, "torch_runner", lambda modules, manifest: blind.run)
    with pytest.raises(VerificationError, match=f"ignores its input {ignored}"):
        verify({}, bundle, load_manifest(bundle))


class Blind:
    """An engine that sees zeros instead of one input."""

    def __init__(self, engine: object, ignored: str) -> None:
        self._engine, self._ignored = engine, ignored

    def run(self, graph: str, inputs: dict) -> dict:
        blanked = {n: np.zeros_like(v) if n == self._ignored else v for n, v in inputs.items()}
        return self._engine.run(graph, blanked)


def test_the_manifest_is_complete(bundle: Path, checkpoint: Checkpoint) -> None:
    manifest: Manifest = load_manifest(bundle)
    assert [c.name for c in manifest.cameras] == ["static", "wrist"]
    assert manifest.name == "small"
    assert dataclasses.asdict(checkpoint)["training"] == manifest.training
    assert manifest.graphs["encode"].inputs[0].shape == (1, 80, 120, 3)
