"""Learning from one's own mistakes: the policy drives, the expert says what it would have done, training goes on with both.

DAgger (Ross et al. 2011). Without it a policy is lost in states that no demonstration visits.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from vla_ros.networks.checkpoints import load_checkpoint
from vla_ros.networks.export import export
from vla_ros.policy.manifest import MANIFEST
from vla_ros.training.train import CHECKPOINT, TrainConfig, train

Collect = Callable[[Path, range, Path], object]
"""collect(bundle, seeds, dataset): let the policy of `bundle` play the episodes `seeds` and record them with the expert's labels."""


class DaggerConfig(BaseModel):
    """Rounds of collecting and training. `train` names the demonstrations; its `output` holds one folder per round.

    Round r plays `episodes` seeds from `first_seed + r · episodes` on, and trains for `train.steps` from the checkpoint before.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    initial: Path
    train: TrainConfig
    rounds: int = Field(3, ge=1)
    episodes: int = Field(250, ge=1)
    first_seed: int = Field(500_000, ge=0)


def dagger(config: DaggerConfig, collect: Collect) -> Path:
    """Play all rounds and return the last checkpoint. What is already done in `train.output` is not done again."""
    checkpoint, datasets = config.initial, list(config.train.on_policy)
    for number in range(config.rounds):
        folder = config.train.output / f"round_{number}"
        datasets.append(_played(config, number, checkpoint, folder, collect))
        checkpoint = train(_continued(config, checkpoint, datasets, folder), resume=True)
    return checkpoint


def _played(config: DaggerConfig, number: int, checkpoint: Path, folder: Path, collect: Collect) -> Path:
    bundle, dataset, done = folder / "bundle", folder / "episodes", folder / "episodes.done"
    if not (bundle / MANIFEST).is_file():  # written last by the export
        export(load_checkpoint(checkpoint), bundle, "dagger")
    if not done.is_file():
        first = config.first_seed + number * config.episodes
        collect(bundle, range(first, first + config.episodes), dataset)
        done.touch()
    return dataset


def _continued(config: DaggerConfig, checkpoint: Path, datasets: list[Path], folder: Path) -> TrainConfig:
    changes = {"initial": checkpoint, "on_policy": tuple(datasets), "output": folder / "train"}
    return config.train.model_copy(update=changes)


def last_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of the newest round in `folder` that has one."""
    rounds = sorted(folder.glob(f"round_*/train/{CHECKPOINT}"))
    return rounds[-1] if rounds else None
