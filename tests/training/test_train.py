"""Training goes on exactly where it stopped, and learns."""
# ruff: noqa: E402 (what needs torch is imported once it is known to be there)

from pathlib import Path

import numpy as np
import pytest

from .fake_recordings import FakeReader

torch = pytest.importorskip("torch")

from vla_ros.networks.checkpoints import load_checkpoint
from vla_ros.training import train as module
from vla_ros.training.dagger import DaggerConfig, dagger, last_checkpoint
from vla_ros.training.dataset import open_recording
from vla_ros.training.train import TrainConfig, mean_action_loss, train


@pytest.fixture(autouse=True)
def readers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Datasets are made up from the number at the end of their names."""

    def recordings(config: TrainConfig, folders: list[Path], report: object) -> list:
        made = [FakeReader(path, [8, 8], seed=int(path.name[-1])) for path in folders]
        return [open_recording(reader, config.cameras) for reader in made]

    monkeypatch.setattr(module, "_recordings", recordings)


def settings(tmp_path: Path, name: str, **changes: object) -> TrainConfig:
    values = {
        "datasets": (tmp_path / "demos1",),
        "output": tmp_path / name,
        "steps": 6,
        "batch": 2,
        "window": 3,
        "checkpoint_every": 2,
        "log_every": 1,
        "quiet": True,
        "precision": "float32",
    }
    return TrainConfig(**(values | changes))


def losses(folder: Path) -> list[float]:
    return np.loadtxt(folder / "loss.csv", delimiter=",", skiprows=1)[:, 1].tolist()


class InterruptionError(Exception):
    """The machine went down."""


def test_a_run_that_was_interrupted_ends_like_one_that_was_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(settings(tmp_path, "whole"))
    step = module.Trainer.step

    def failing(self: module.Trainer, batch: module.Batch) -> tuple[float, float]:
        if self._step == 5:
            raise InterruptionError
        return step(self, batch)

    monkeypatch.setattr(module.Trainer, "step", failing)
    with pytest.raises(InterruptionError):
        train(settings(tmp_path, "parts"))
    monkeypatch.setattr(module.Trainer, "step", step)
    train(settings(tmp_path, "parts"), resume=True)
    assert losses(tmp_path / "parts") == pytest.approx(losses(tmp_path / "whole"), rel=1e-4)
    one, two = (load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("whole", "parts"))
    torch.testing.assert_close(one.weights, two.weights, rtol=1e-3, atol=1e-5)
    assert one.training == two.training


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    path = train(settings(tmp_path, "run", steps=2))
    before = load_checkpoint(path).weights
    train(settings(tmp_path, "run", steps=2), resume=True)
    torch.testing.assert_close(load_checkpoint(path).weights, before)


def test_resuming_another_run_is_refused(tmp_path: Path) -> None:
    train(settings(tmp_path, "run", steps=2))
    with pytest.raises(ValueError, match="of another run"):
        train(settings(tmp_path, "run", steps=3), resume=True)


def test_on_policy_data_is_half_of_every_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []
    sample = module.Windows.sample

    def counting(self: module.Windows, random: np.random.Generator, count: int) -> list:
        counts.append(count)
        return sample(self, random, count)

    monkeypatch.setattr(module.Windows, "sample", counting)
    start = train(settings(tmp_path, "first", steps=1))
    counts.clear()
    train(settings(tmp_path, "second", steps=1, batch=4, initial=start, on_policy=(tmp_path / "own1",)))
    assert counts == [2, 2]


def test_a_start_from_a_checkpoint_keeps_words_and_scales(tmp_path: Path) -> None:
    start = train(settings(tmp_path, "first", steps=1))
    path = train(settings(tmp_path, "second", steps=1, initial=start, learning_rate=1e-9))
    one, two = load_checkpoint(start), load_checkpoint(path)
    assert (one.tokenizer, one.facts, one.network) == (two.tokenizer, two.facts, two.network)
    torch.testing.assert_close(one.weights, two.weights, atol=1e-6, rtol=1e-6)
    assert two.training["started_from"]["steps"] == 1


def test_dagger_plays_and_trains_in_rounds_and_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vla_ros.training import dagger as rounds

    exported, played = [], []

    def fake_export(checkpoint: object, folder: Path, name: str) -> None:
        folder.mkdir(parents=True)
        (folder / "manifest.yaml").touch()
        exported.append(folder)

    def collect(bundle: Path, seeds: range, dataset: Path) -> None:
        played.append((bundle, seeds, dataset))

    monkeypatch.setattr(rounds, "export", fake_export)
    monkeypatch.setattr(module, "_recordings", _any_name)
    start = train(settings(tmp_path, "start", steps=1))
    config = DaggerConfig(
        initial=start, train=settings(tmp_path, "dagger", steps=1), rounds=2, episodes=10, first_seed=100
    )
    last = dagger(config, collect)
    assert [seeds for _, seeds, _ in played] == [range(100, 110), range(110, 120)]
    assert last == last_checkpoint(tmp_path / "dagger")
    assert load_checkpoint(last).training["datasets"] == ["demos1", "episodes", "episodes"]
    assert load_checkpoint(last).training["started_from"]["started_from"]["steps"] == 1
    dagger(config, collect)
    assert len(played) == len(exported) == 2


def _any_name(config: TrainConfig, folders: list[Path], report: object) -> list:
    return [open_recording(FakeReader(path, [8, 8]), config.cameras) for path in folders]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_loss_falls_within_a_few_steps(tmp_path: Path, precision: str) -> None:
    train(settings(tmp_path, "run", steps=25, precision=precision, brightness=0.0, colour=0.0))
    seen = losses(tmp_path / "run")
    assert np.mean(seen[-5:]) < 0.7 * np.mean(seen[:5])


@pytest.mark.slow
def test_two_episodes_are_learnt_by_heart(tmp_path: Path) -> None:
    config = settings(tmp_path, "run", steps=120, batch=4, window=4)
    path = train(config)
    recording = open_recording(FakeReader(config.datasets[0], [8, 8], seed=1), config.cameras)
    level = mean_action_loss([recording], load_checkpoint(path).facts)
    assert np.mean(losses(tmp_path / "run")[-10:]) < 0.05 * level
