"""The family's heads: one frame at a time gives what a sliding window gives; GPT-2 is that of transformers, and the authors'."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vla_ros.networks.heads.family import GPT_HEADS, GPT_LAYERS, HeadConfig, build_head  # noqa: E402
from vla_ros.networks.losses import family_loss  # noqa: E402

WIDTH, HIDDEN, WINDOW, CHUNK = 24, 16, 5, 3


def head(kind, hidden=HIDDEN, window=WINDOW):
    torch.manual_seed(3)
    made = build_head(HeadConfig(kind=kind, width=WIDTH, hidden=hidden, window=window, chunk=CHUNK)).eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return made


@pytest.mark.parametrize("kind", ["lstm", "gpt", "mlp"])
@pytest.mark.parametrize("window", [1, 2, 5])
@torch.no_grad()
def test_frame_by_frame_is_the_sliding_window(kind, window):
    made = head(kind, window=window)
    features = torch.randn(2 * window + 4, WIDTH)
    memory = made.fresh()
    for step in range(len(features)):
        chunk, *memory = made.decide(features[step : step + 1], *memory)
        seen = features[max(0, step + 1 - window) : step + 1]
        torch.testing.assert_close(chunk[0], made(seen[None])[0, -1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["lstm", "gpt"])
@torch.no_grad()
def test_a_fresh_memory_has_forgotten(kind):
    made = head(kind)
    first, *memory = made.decide(torch.ones(1, WIDTH), *made.fresh())
    second, *_ = made.decide(torch.ones(1, WIDTH), *memory)
    again, *_ = made.decide(torch.ones(1, WIDTH), *made.fresh())
    assert not torch.allclose(first, second, atol=1e-4)
    assert torch.equal(first, again)


@torch.no_grad()
def test_the_gpt_head_is_gpt2():
    transformers = pytest.importorskip("transformers")
    made = head("gpt", hidden=WIDTH)
    config = transformers.GPT2Config(
        n_layer=GPT_LAYERS,
        n_head=GPT_HEADS,
        n_embd=WIDTH,
        n_positions=WINDOW,
        vocab_size=1,
        attn_implementation="eager",
    )
    theirs = transformers.GPT2Model(config).eval()
    state = dict(made.gpt.state_dict())
    assert set(theirs.load_state_dict(state, strict=False).missing_keys) <= {"wte.weight"}
    features = torch.randn(2, WINDOW, WIDTH)
    wanted = theirs(inputs_embeds=features).last_hidden_state
    torch.testing.assert_close(made.gpt(features), wanted, atol=1e-5, rtol=1e-4)


def recorded_gpt():
    """The head whose answers are in recorded_gpt_head.npz, its features, and the numbers that were drawn after them.

    RoboVLMs' own GPTDecoder (Robot-VLAs/RoboVLMs at 8adc1d28, base_policy.py and trajectory_gpt2.py) with these weights answered
    features one by one, its history cleared before one of them, and gave the loss of a whole window under a mask.
    """
    said = dict(np.load(Path(__file__).with_name("recorded_gpt_head.npz")))
    sizes = {name: int(said[name]) for name in ("width", "hidden", "window", "chunk")}
    made = build_head(HeadConfig(kind="gpt", **sizes)).eval()
    random = np.random.default_rng(int(said["seed"]))
    for name, parameter in sorted(made.named_parameters()):
        flat = parameter.dim() == 1
        drawn = random.standard_normal(tuple(parameter.shape)) * (0.1 if flat else parameter.shape[-1] ** -0.5)
        parameter.data = torch.from_numpy((drawn + (flat and name.endswith(".weight"))).astype(np.float32))
    features = random.standard_normal((int(said["steps"]), sizes["width"])).astype(np.float32)
    return made, torch.from_numpy(features), random, said


@torch.no_grad()
def test_the_gpt_head_answers_what_the_authors_does():
    made, features, _, said = recorded_gpt()
    memory, chunks = made.fresh(), []
    for step in range(len(features)):
        memory = made.fresh() if step == said["reset_at"] else memory
        chunk, *memory = made.decide(features[step : step + 1], *memory)
        chunks.append(chunk[0].numpy())
    found = np.stack(chunks)
    assert len(found) > 3 * made.config.window  # the window slides, before and after the reset
    for name, values in (("arm", found[..., :6]), ("gripper_logit", found[..., 6])):
        assert np.abs(values - said[name]).max() <= 1e-5 * np.abs(said[name]).max()


@torch.no_grad()
def test_the_loss_is_that_of_the_authors():
    made, features, random, said = recorded_gpt()
    shape = (1, made.config.window, made.config.chunk)
    target = torch.from_numpy(random.uniform(-2, 2, (*shape, 6)).astype(np.float32))
    label = torch.from_numpy((random.uniform(size=shape) < 0.5).astype(np.float32))
    valid = torch.from_numpy((random.uniform(size=shape) < 0.7).astype(np.float32))
    assert 0 < valid.mean() < 1
    chunk = made(features[None, : made.config.window])
    loss, arm, gripper = family_loss(chunk, torch.cat([target, label[..., None]], -1), valid)
    assert float(arm) == pytest.approx(float(said["arm_loss"]), rel=1e-5)
    assert float(gripper) == pytest.approx(float(said["gripper_loss"]), rel=1e-5)
    assert float(loss) == pytest.approx(float(arm) + 0.01 * float(gripper), rel=1e-6)


def test_the_loss_of_the_family():
    chunk, target = torch.zeros(1, 1, 2, 7), torch.zeros(1, 1, 2, 7)
    target[..., :6] = 2.0
    target[0, 0, 1] = 100.0  # not valid
    valid = torch.tensor([[[1.0, 0.0]]])
    loss, arm, gripper = family_loss(chunk, target, valid)
    assert float(arm) == pytest.approx(1.5)  # Huber of 2 with delta 1
    assert float(gripper) == pytest.approx(0.693147, abs=1e-5)
    assert float(loss) == pytest.approx(1.5 + 0.01 * 0.693147, abs=1e-5)
    assert float(family_loss(chunk, target, valid, arm="mse")[1]) == pytest.approx(4.0)


def test_all_of_it_learns():
    for kind in ("lstm", "gpt", "mlp"):
        made = head(kind)
        chunk = made(torch.randn(2, WINDOW, WIDTH))
        family_loss(chunk, torch.zeros_like(chunk), torch.ones(chunk.shape[:3]))[0].backward()
        unmoved = [n for n, p in made.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
        assert unmoved == []
