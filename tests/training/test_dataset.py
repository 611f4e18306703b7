"""Windows hold what was recorded, in its order, and never frames of two episodes."""
# ruff: noqa: E402 (what needs torch is imported once it is known to be there)

from pathlib import Path

import numpy as np
import pytest

from .fake_recordings import FakeReader

torch = pytest.importorskip("torch")

from tokenizers import Tokenizer

from vla_ros.config import load
from vla_ros.policy.codec import Codec, Range
from vla_ros.policy.words import InstructionError, make_tokenizer
from vla_ros.training.dataset import Recording, Windows, concatenated, open_recording
from vla_ros.training.facts import LEAST_TURN, action_scale, facts_of, network_of, state_scale, word_encoder

CAMERAS = ("static", "wrist")
LOW, HIGH = (-0.02,) * 6, (0.02,) * 6
CODEC = Codec(stages=(Range(low=LOW, high=HIGH),))
WINDOW = 6


def encoder(recording: Recording):
    return word_encoder(make_tokenizer(recording.tasks), 8)


@pytest.fixture
def recording(reader: FakeReader) -> Recording:
    return open_recording(reader, CAMERAS)


@pytest.fixture
def windows(recording: Recording) -> Windows:
    return Windows([recording], encoder(recording), CODEC, WINDOW)


def test_videos_are_decoded_once(reader: FakeReader) -> None:
    first = open_recording(reader, CAMERAS)
    count = reader.decoded
    second = open_recording(reader, CAMERAS)
    assert reader.decoded == count
    for a, b in zip(first.images, second.images, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(first.images[0][9:12], reader.video(1, "observation.images.static"))


def test_a_dataset_that_has_grown_is_decoded_again(tmp_path: Path) -> None:
    open_recording(FakeReader(tmp_path / "demos", [5]), CAMERAS)
    grown = open_recording(FakeReader(tmp_path / "demos", [5, 7]), CAMERAS)
    assert len(grown.images[0]) == len(grown.states) == 12


def test_a_dataset_without_episodes(tmp_path: Path) -> None:
    reader = FakeReader(tmp_path / "demos", [5])
    reader.episodes = []
    with pytest.raises(ValueError, match="demos has no episodes yet"):
        open_recording(reader, CAMERAS)


def test_every_window_of_every_episode_is_there(windows: Windows) -> None:
    assert len(windows) == (9 - WINDOW + 1) + 1 + (12 - WINDOW + 1)
    drawn = set(windows.sample(np.random.default_rng(0), 500))
    assert len(drawn) == len(windows)


def test_a_window_is_consecutive_frames_of_one_episode(windows: Windows, recording: Recording) -> None:
    batch = windows.batch([(0, 0, 2), (0, 1, 9), (0, 2, 18)])
    np.testing.assert_array_equal(batch.state[0, :, 7], [2, 3, 4, 5, 6, 7])
    np.testing.assert_array_equal(batch.state[1, :, 7], [0, 1, 2, 2, 2, 2])
    np.testing.assert_array_equal(batch.state[2, :, 7], [6, 7, 8, 9, 10, 11])
    np.testing.assert_array_equal(batch.valid, [[1] * 6, [1, 1, 1, 0, 0, 0], [1] * 6])
    np.testing.assert_array_equal(batch.images[0][0], recording.images[0][2:8])
    np.testing.assert_array_equal(batch.images[1][2], recording.images[1][18:24])
    assert batch.target.shape == (3, 6, 10, 7)
    np.testing.assert_allclose(batch.target[0, :, :, :2], recording.labels[2:8, :, :2] / 0.02, atol=1e-6)


def test_the_words_are_those_of_the_episode(windows: Windows, recording: Recording) -> None:
    tokenizer = make_tokenizer(recording.tasks)
    batch = windows.batch([(0, 2, 12)])
    ids = tokenizer.encode(recording.tasks[2]).ids
    np.testing.assert_array_equal(batch.words[0], ids + [0] * (8 - len(ids)))
    np.testing.assert_array_equal(batch.mask[0], [1] * len(ids) + [0] * (8 - len(ids)))


def test_batches_join(windows: Windows) -> None:
    one, two = windows.batch([(0, 0, 0)]), windows.batch([(0, 2, 12), (0, 2, 13)])
    joined = concatenated([one, two])
    assert [len(joined.valid), len(joined.images[0]), len(joined.words)] == [3, 3, 3]
    assert concatenated([one]) is one


def test_an_instruction_with_new_words_is_refused_in_training_too(recording: Recording) -> None:
    with pytest.raises(InstructionError, match="'take'"):
        Windows([recording], word_encoder(make_tokenizer(["go"]), 8), CODEC, WINDOW)


def test_scales_hold_nearly_all_labels(recording: Recording) -> None:
    scale = action_scale([recording])
    assert scale[0] == scale[1] == scale[2]
    assert (np.abs(recording.labels[..., :3]) <= scale[0] * 1.01).mean() > 0.97
    assert scale[3:] == (LEAST_TURN,) * 3
    assert min(state_scale([recording])[1]) > 0


def test_images_of_another_size_than_configured_are_refused(recording: Recording) -> None:
    config = load("twin", overrides=["cameras.static.binning=2"])
    facts = facts_of([recording], config, CAMERAS, WINDOW, 5)
    with pytest.raises(ValueError, match=r"static was recorded as \(80, 120\).*\(160, 240\)"):
        network_of(facts, [recording], 10)


def test_the_tokenizer_survives_its_file() -> None:
    tokenizer = make_tokenizer(["Take the red cube."])
    again = Tokenizer.from_str(tokenizer.to_str())
    assert (
        word_encoder(again, 5)("take THE red cube!")[0].tolist()
        == word_encoder(tokenizer, 5)("take the red cube")[0].tolist()
    )
