"""What a user types."""

import argparse
from pathlib import Path

import pytest

pytest.importorskip("torch")

from vla_ros.training import cli


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    cli.add_commands(parser.add_subparsers())
    return parser.parse_args(words)


def test_train_options_make_a_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    from vla_ros.training import train as module

    asked = []
    monkeypatch.setattr(module, "train", lambda config, resume: asked.append((config, resume)))
    options = parse("train", "a", "b", "--output", "out", "--steps", "7", "--on-policy", "c", "--resume")
    assert options.run(options) == 0
    config, resume = asked[0]
    assert (config.datasets, config.on_policy, config.output) == ((Path("a"), Path("b")), (Path("c"),), Path("out"))
    assert (config.steps, config.learning_rate, config.window, resume) == (7, 8e-4, 6, True)
