"""What training sees and what service computes are the same function; what must not matter does not."""
# ruff: noqa: E402 (what needs torch is imported once it is known to be there)

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor

from vla_ros.networks.backbones.tiny import Eye, Words
from vla_ros.networks.checkpoints import Checkpoint, load_checkpoint
from vla_ros.networks.formulations import PolicyHead
from vla_ros.networks.heads.lstm import Cell, LstmHead
from vla_ros.networks.losses import BETA, GRIPPER_WEIGHT, chunk_loss


@pytest.fixture(scope="module")
def network(checkpoint: Checkpoint) -> PolicyHead:
    return checkpoint.build().eval()


def window(network: PolicyHead, frames: int) -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
    """Random images, words, mask and states of one window."""
    images = [torch.randint(0, 256, (1, frames, *size, 3), dtype=torch.uint8) for size in network.config.sizes]
    words = torch.tensor([[2, 3, 4, 0, 0, 0, 0, 0]])
    return images, words, (words > 0).float(), torch.randn(1, frames, 8)


def frame_by_frame(network: PolicyHead, images: list[Tensor], words: Tensor, mask: Tensor, state: Tensor) -> Tensor:
    """The chunks of `encode` and `decide`, one frame at a time."""
    past = network.config.window - 1
    memory, valid = torch.zeros(1, past, network.config.width), torch.zeros(1, past)
    text, chunks = network.embedding(words), []
    for k in range(state.shape[1]):
        feature = network.encode([i[:, k] for i in images], text, mask, state[:, k])
        chunk, memory, valid = network.decide(memory, valid, feature)
        chunks.append(chunk)
    return torch.stack(chunks, 1)


def played(chunk: Tensor) -> Tensor:
    """What `decide` makes of the network's output."""
    return torch.cat([chunk[..., :6].clamp(-1, 1), chunk[..., 6:].sigmoid()], -1)


@torch.no_grad()
def test_sliding_is_training_on_the_last_frames(network: PolicyHead) -> None:
    images, words, mask, state = window(network, 7)
    slid = frame_by_frame(network, images, words, mask, state)
    size = network.config.window
    for newest in range(7):
        first = max(0, newest - size + 1)
        cut = slice(first, newest + 1)
        count = newest + 1 - first
        trained = network([i[:, cut] for i in images], words, mask, state[:, cut], torch.ones(1, count))
        torch.testing.assert_close(slid[:, newest], played(trained[:, -1]), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_frames_behind_the_end_of_an_episode_change_nothing_before_it(network: PolicyHead) -> None:
    images, words, mask, state = window(network, 4)
    valid = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    whole = network(images, words, mask, state, valid)
    other = network(images, words, mask, state, torch.ones(1, 4))
    torch.testing.assert_close(whole[:, :2], other[:, :2])


@torch.no_grad()
def test_gains_are_per_window_and_colour(network: PolicyHead) -> None:
    images, words, mask, state = window(network, 3)
    valid, ones = torch.ones(1, 3), [torch.ones(1, 3)] * 2
    plain = network(images, words, mask, state, valid)
    torch.testing.assert_close(network(images, words, mask, state, valid, ones), plain)
    redder = network(images, words, mask, state, valid, [torch.tensor([[1.3, 1.0, 1.0]]), ones[1]])
    assert (redder - plain).abs().max() > 1e-4


@torch.no_grad()
def test_padding_behind_the_words_cannot_matter() -> None:
    words = Words(4, 6).eval()
    rows, mask = torch.randn(1, 8, 4), torch.tensor([[1.0, 1.0, 1.0, 0, 0, 0, 0, 0]])
    other = rows.clone()
    other[:, 3:] = torch.randn(1, 5, 4)
    torch.testing.assert_close(words(rows, mask), words(other, mask))
    torch.testing.assert_close(words(rows, mask), words(rows[:, :3], mask[:, :3]))


@torch.no_grad()
def test_a_full_sentence_is_read_to_its_last_word() -> None:
    words = Words(4, 6).eval()
    rows, mask = torch.randn(1, 3, 4), torch.ones(1, 3)
    torch.testing.assert_close(words(rows, mask), words.gru(rows)[0][:, -1])


@torch.no_grad()
def test_the_cell_is_torchs_lstm() -> None:
    cell, reference = Cell(5, 7), torch.nn.LSTMCell(5, 7)
    reference.weight_ih.copy_(cell.x.weight)
    reference.weight_hh.copy_(cell.h.weight)
    reference.bias_ih.copy_(cell.x.bias)
    reference.bias_hh.zero_()
    x, h, c = torch.randn(2, 5), torch.randn(2, 7), torch.randn(2, 7)
    torch.testing.assert_close(cell(x, h, c), reference(x, (h, c)))


@torch.no_grad()
def test_memories_that_do_not_exist_do_not_count() -> None:
    head = LstmHead(6, chunk=2).eval()
    features = torch.randn(1, 4, 6)
    late = head(torch.cat([torch.randn(1, 2, 6), features], 1), torch.tensor([[0.0, 0, 1, 1, 1, 1]]))
    torch.testing.assert_close(late[:, 2:], head(features, torch.ones(1, 4)))


@torch.no_grad()
def test_an_eye_says_where_it_sees_something() -> None:
    torch.manual_seed(1)
    eye = Eye((80, 120), text=4).eval()
    left, right = torch.zeros(1, 3, 80, 120), torch.zeros(1, 3, 80, 120)
    left[..., 30:50, 10:30] = 3
    right[..., 30:50, 90:110] = 3
    text = torch.zeros(1, 4)
    points = 2 * eye.keypoints.out_channels
    shift = (eye(right, text) - eye(left, text))[0, :points].view(-1, 2).abs().mean(0)
    assert shift[0] > 3 * shift[1]


@pytest.mark.parametrize("size", [(84, 84), (60, 90), (50, 80)])
def test_an_image_size_that_does_not_divide_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="multiples of 20"):
        Eye(size, text=4)


def test_the_loss_looks_at_valid_frames_only() -> None:
    chunk, target, valid = torch.zeros(2, 3, 4, 7), torch.zeros(2, 3, 4, 7), torch.zeros(2, 3)
    valid[0, 0] = 1
    chunk[0, 0, :, :6] = 0.5
    chunk[1] = 100.0
    loss, arm, gripper = chunk_loss(chunk, target, valid)
    assert arm.item() == pytest.approx(0.5 - BETA / 2)
    assert gripper.item() == pytest.approx(torch.log(torch.tensor(2.0)).item())
    assert loss.item() == pytest.approx(arm.item() + GRIPPER_WEIGHT * gripper.item())


def test_no_valid_frame_is_no_loss_and_not_nan() -> None:
    assert chunk_loss(torch.ones(1, 1, 2, 7), torch.zeros(1, 1, 2, 7), torch.zeros(1, 1))[0].item() == 0


def test_a_checkpoint_comes_back_as_it_was(checkpoint: Checkpoint, tmp_path) -> None:
    checkpoint.save(tmp_path / "a" / "checkpoint.pt")
    loaded = load_checkpoint(tmp_path / "a" / "checkpoint.pt")
    assert (loaded.network, loaded.facts, loaded.tokenizer) == (
        checkpoint.network,
        checkpoint.facts,
        checkpoint.tokenizer,
    )
    torch.testing.assert_close(loaded.weights, checkpoint.weights)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["checkpoint.pt"]


def test_a_checkpoint_with_other_weights_does_not_load(checkpoint: Checkpoint) -> None:
    weights = dict(checkpoint.weights)
    weights["surplus"] = weights.pop("embedding.weight")
    broken = Checkpoint(checkpoint.network, checkpoint.facts, checkpoint.tokenizer, weights)
    with pytest.raises(RuntimeError, match=r"embedding\.weight"):
        broken.build()
