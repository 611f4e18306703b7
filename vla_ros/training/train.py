"""Training on recorded episodes: one loop, resumable after any crash, on one CPU core or a GPU."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from tokenizers import Tokenizer

from vla_ros.config import load
from vla_ros.networks.checkpoints import Checkpoint, Facts, load_checkpoint
from vla_ros.networks.formulations import PolicyHead, build
from vla_ros.networks.losses import chunk_loss
from vla_ros.policy.words import make_tokenizer
from vla_ros.training.dataset import Batch, Recording, Windows, concatenated, open_recording
from vla_ros.training.facts import facts_of, network_of, word_encoder
from vla_ros.training.report import Report

CHECKPOINT = "checkpoint.pt"


class TrainConfig(BaseModel):
    """One training run. Datasets are LeRobot folders; with `on_policy`, that share of every batch comes from those."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    datasets: tuple[Path, ...] = Field(min_length=1)
    on_policy: tuple[Path, ...] = ()
    on_policy_share: float = Field(0.5, gt=0, lt=1)
    output: Path
    initial: Path | None = Field(None, description="checkpoint whose weights, words and scales to start from")
    steps: int = Field(3500, gt=0)
    batch: int = Field(32, gt=1, description="windows")
    window: int = Field(6, ge=2, description="frames")
    learning_rate: float = Field(8e-4, gt=0)
    warm_up: float = Field(0.08, gt=0, lt=1, description="share of the steps")
    weight_decay: float = Field(1e-4, ge=0)
    brightness: float = Field(0.15, ge=0, lt=1, description="random gain of a camera in a window")
    colour: float = Field(0.05, ge=0, lt=1, description="random gain of one colour on top")
    execute: int = Field(5, ge=1)
    cameras: tuple[str, ...] = ("static", "wrist")
    config: str = Field("twin", description="configuration that the data was recorded with")
    seed: int = 0
    device: Literal["cpu", "cuda"] = "cpu"
    precision: Literal["bfloat16", "float32"] = "bfloat16"
    threads: int = Field(1, ge=1)
    checkpoint_every: int = Field(100, gt=0)
    log_every: int = Field(25, gt=0)
    quiet: bool = False


def train(config: TrainConfig, resume: bool = False) -> Path:
    """Train and return the path of the checkpoint, which is written every `checkpoint_every` steps and at the end.

    With `resume`, go on where the checkpoint in `output` was written; a finished run returns at once.
    """
    torch.set_num_threads(config.threads)
    path = config.output / CHECKPOINT
    report = Report(config.output, config.steps, config.batch * config.window, config.quiet)
    report.say("reading " + ", ".join(str(path) for path in (*config.datasets, *config.on_policy)))
    base, extra = _recordings(config, config.datasets, report), _recordings(config, config.on_policy, report)
    trainer = Trainer(config, base, extra, report)
    report.say(f"the mean action would cost {mean_action_loss(base, trainer.checkpoint.facts):.4f} for the arm")
    if resume and path.is_file():
        trainer.restore(load_checkpoint(path))
    trainer.run(path)
    return path


def _recordings(config: TrainConfig, folders: Sequence[Path], report: Report) -> list[Recording]:
    from vla_ros.episodes.reader import DatasetReader

    return [open_recording(DatasetReader(folder), config.cameras, report.progress) for folder in folders]


class Trainer:
    """Network, optimiser and schedule, and the random numbers: everything that a checkpoint must bring back."""

    def __init__(
        self, config: TrainConfig, base: Sequence[Recording], on_policy: Sequence[Recording], report: Report
    ) -> None:
        torch.manual_seed(config.seed)
        self._config, self._report = config, report
        self._random = np.random.default_rng(config.seed)
        self._step = 0
        start = load_checkpoint(config.initial) if config.initial else _fresh(config, base)
        self.checkpoint = start
        self._origin: Any = start.training if config.initial else "random weights"
        self.network: PolicyHead = start.build().to(config.device)
        self._optimiser = torch.optim.AdamW(
            self.network.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimiser, config.learning_rate, config.steps + 1, pct_start=config.warm_up, final_div_factor=50
        )
        encode = word_encoder(Tokenizer.from_str(start.tokenizer), start.network.words)
        codec = start.facts.action.stages
        sets = [Windows(r, encode, codec, start.network.window) for r in (base, on_policy) if r]
        self._sources = list(zip(sets, _shares(config, len(sets)), strict=True))

    def run(self, path: Path) -> None:
        """Train to the last step, writing checkpoints to `path`."""
        config = self._config
        self.network.train()
        self._report.start(self._step, [len(windows) for windows, _ in self._sources])
        while self._step < config.steps:
            arm, gripper = self.step(self.sample())
            self._report.add(arm, gripper, self._schedule.get_last_lr()[0])
            if self._step % config.log_every == 0:
                self._report.log(self._step)
            if self._step % config.checkpoint_every == 0 and self._step < config.steps:
                self.save(path)
        self.save(path)
        self._report.finish()

    def sample(self) -> Batch:
        """The next batch."""
        return concatenated([w.batch(w.sample(self._random, count)) for w, count in self._sources])

    def step(self, batch: Batch) -> tuple[float, float]:
        """One update; returns the losses of arm and gripper."""
        device, images = self._config.device, [torch.from_numpy(i) for i in batch.images]
        gains = [g.to(device) for g in self._gains(len(batch.valid), len(images))]
        rest = (torch.from_numpy(a).to(device) for a in (batch.words, batch.mask, batch.state, batch.valid))
        with torch.autocast(device, torch.bfloat16, enabled=self._config.precision == "bfloat16"):
            chunk = self.network([i.to(device) for i in images], *rest, gains)
        target, valid = torch.from_numpy(batch.target).to(device), torch.from_numpy(batch.valid).to(device)
        loss, arm, gripper = chunk_loss(chunk, target, valid)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimiser.step()
        self._schedule.step()
        self._step += 1
        return arm.item(), gripper.item()

    def _gains(self, windows: int, cameras: int) -> list[torch.Tensor]:
        """Per camera a gain (windows, 3), the same over a window: lamps do not flicker from frame to frame."""
        brightness, colour = self._config.brightness, self._config.colour
        gains = []
        for _ in range(cameras):
            grey = self._random.uniform(1 - brightness, 1 + brightness, (windows, 1))
            tint = self._random.uniform(1 - colour, 1 + colour, (windows, 3))
            gains.append(torch.from_numpy((grey * tint).astype(np.float32)))
        return gains

    def save(self, path: Path) -> None:
        """Write the checkpoint."""
        start = self.checkpoint
        weights = {name: value.detach().cpu() for name, value in self.network.state_dict().items()}
        progress = {
            "step": self._step,
            "optimiser": self._optimiser.state_dict(),
            "schedule": self._schedule.state_dict(),
            "numpy": json.dumps(self._random.bit_generator.state),
            "torch": torch.get_rng_state(),
            "history": self._report.rows,
        }
        Checkpoint(start.network, start.facts, start.tokenizer, weights, self._record(), progress).save(path)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on where `checkpoint` was written by a run of the same configuration. Raises ValueError for another."""
        progress = checkpoint.progress
        if progress is None or checkpoint.training.get("steps") != self._config.steps:
            raise ValueError("the checkpoint is of another run: resume with the same steps, or train into a new folder")
        self.checkpoint = checkpoint
        self._origin = checkpoint.training["started_from"]
        self.network.load_state_dict(checkpoint.weights)
        self._optimiser.load_state_dict(progress["optimiser"])
        self._schedule.load_state_dict(progress["schedule"])
        self._random.bit_generator.state = json.loads(progress["numpy"])
        torch.set_rng_state(progress["torch"])
        self._step = progress["step"]
        self._report.rows = progress["history"]

    def _record(self) -> dict[str, Any]:
        """What the manifest will say about the training. Paths are names only: they mean nothing elsewhere."""
        config = self._config
        return {
            "datasets": [path.name for path in (*config.datasets, *config.on_policy)],
            "windows": sum(len(windows) for windows, _ in self._sources),
            "steps": config.steps,
            "step": self._step,
            "batch": config.batch,
            "learning_rate": config.learning_rate,
            "seed": config.seed,
            "precision": config.precision,
            "started_from": self._origin,
            "torch": str(torch.__version__),
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
        }


def _shares(config: TrainConfig, sources: int) -> list[int]:
    """Windows of a batch from each source."""
    if sources == 1:
        return [config.batch]
    other = min(max(round(config.batch * config.on_policy_share), 1), config.batch - 1)
    return [config.batch - other, other]


def _fresh(config: TrainConfig, recordings: Sequence[Recording]) -> Checkpoint:
    """A checkpoint with random weights for these recordings."""
    tokenizer = make_tokenizer(task for r in recordings for task in r.tasks)
    facts: Facts = facts_of(recordings, load(config.config), config.cameras, config.window, config.execute)
    network = network_of(facts, recordings, tokenizer.get_vocab_size())
    return Checkpoint(network, facts, tokenizer.to_str(), build(network).state_dict())


def mean_action_loss(recordings: Sequence[Recording], facts: Facts) -> float:
    """Loss of the arm for a network that always gives the mean chunk: what a network that learns must beat."""
    labels: NDArray[Any] = np.concatenate([r.labels for r in recordings])
    target = torch.from_numpy(facts.action.stages.forward(labels).astype(np.float32))[:, None]
    mean = target.mean((0, 1), keepdim=True).expand_as(target)
    return float(chunk_loss(mean, target, torch.ones(target.shape[:2]))[1])
