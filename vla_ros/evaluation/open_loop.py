"""Open loop: what a policy says of recorded observations, against what was recorded, and against saying nothing at all.

No physics: the arm goes where it went in the recording, whatever the policy says. It tells whether a policy has learnt a dataset, not
whether it succeeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros import geometry
from vla_ros.clock import SECOND
from vla_ros.config import load
from vla_ros.episodes.layout import DatasetError
from vla_ros.episodes.reader import DatasetReader, Episode
from vla_ros.evaluation.recorded import RecordedEpisode, Targets
from vla_ros.geometry import Array, Pose
from vla_ros.policy.policy import Policy, load_policy
from vla_ros.policy.words import InstructionError
from vla_ros.values import ActionChunk, Observation

PREDICTORS = ("policy", "still", "previous")
"""The policy; a tool that stands still; one that goes on as in the step before."""
DIMENSIONS = ("x_mm", "y_mm", "z_mm", "rx_mrad", "ry_mrad", "rz_mrad", "gripper_wrong")
SCALES = np.array([1e3, 1e3, 1e3, 1e3, 1e3, 1e3, 1.0])
OPEN = 0.5
"""Gripper positions up to here count as open."""
RESAMPLES = 1000


@dataclass(frozen=True)
class OpenLoop:
    """What to compare: `episodes` of the dataset (None: all), in the words of each or under `instruction`."""

    policy: str
    dataset: Path
    episodes: range | None = None
    instruction: str = ""
    config: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scores:
    """One episode: errors (chunks, steps, 7) of each predictor as DIMENSIONS, signed, NaN behind the end of the recording.

    `step` ns and `execute` are the chunks'. `refused`: why the policy would not follow its words; then there are no errors.
    """

    index: int
    task: str
    errors: Mapping[str, Array]
    step: int = 0
    execute: int = 0
    refused: str = ""


def open_loop(plan: OpenLoop, done: Callable[[Scores], None] = lambda scores: None) -> tuple[list[Scores], str]:
    """Play every episode through the policy; `done` hears of each as it ends. The scores, and what they are held against:
    `achieved` or `commanded`, as the policy's manifest has its label.

    Raises ConfigError, BundleError, and DatasetError where the dataset does not fit or no episode could be scored.
    """
    config = load(*plan.config, overrides=plan.overrides)
    reader = DatasetReader(plan.dataset)
    policy = load_policy(plan.policy, config)
    manifest = getattr(policy, "manifest", None)
    label = manifest.action.label if manifest is not None else "achieved"
    scored = []
    for episode in chosen(reader, plan.episodes):
        recorded = RecordedEpisode(reader, episode, config)
        if label == "commanded" and not recorded.has_commands():
            raise DatasetError(
                f"{reader.path} has neither commanded nor action_chunk, and the policy was trained on commands"
            )
        scored.append(score(policy, recorded, plan.instruction or episode.task, label == "commanded"))
        done(scored[-1])
    if not any(scores.errors for scores in scored):
        why = next((scores.refused for scores in scored if scores.refused), "no chunk has an end in the recording")
        raise DatasetError(f"{reader.path}: nothing to compare: {why}")
    return scored, label


def chosen(reader: DatasetReader, wanted: range | None) -> list[Episode]:
    """The episodes of a range. Raises DatasetError where one of them is not there, or there is none at all."""
    if wanted is not None and wanted.stop > len(reader.episodes):
        raise DatasetError(f"{reader.path} has no episode {wanted.stop - 1}: it has {len(reader.episodes)}")
    if not reader.episodes:
        raise DatasetError(f"{reader.path} has no episodes yet")
    return [reader.episodes[k] for k in wanted] if wanted is not None else reader.episodes


def score(policy: Policy, recorded: RecordedEpisode, instruction: str, commanded: bool) -> Scores:
    """Offer every observation to the policy, as its node does, and hold each chunk against the recording."""
    episode = recorded.episode
    policy.set_instruction("")
    errors: dict[str, list[Array]] = {name: [] for name in PREDICTORS}
    chunk = None
    try:
        policy.set_instruction(instruction)
        policy.reset()
        for place, observation, gripper in recorded.observations():
            said = policy.act(observation, gripper)
            if said is None or not len(said):
                continue
            chunk = said
            truth = recorded.targets(place, said.step, len(said), commanded)
            for name, targets in predictions(said, observation, gripper, recorded.before(place, said.step)).items():
                errors[name].append(compared(targets, truth))
    except InstructionError as error:
        return Scores(episode.index, instruction, {}, refused=str(error))
    if chunk is None:
        return Scores(episode.index, instruction, {}, refused="the policy said nothing")
    arrays = {name: np.stack(found) for name, found in errors.items()}
    return Scores(episode.index, instruction, arrays, chunk.step, min(chunk.execute, len(chunk)))


def predictions(chunk: ActionChunk, observation: Observation, gripper: float, before: Pose) -> dict[str, Targets]:
    """What the policy says of the targets, and what one would say who knows only where the tool is, and was."""
    tool, count = observation.arm.tool, len(chunk)
    turn = geometry.difference(tool.quaternion, before.quaternion)
    way, steps = tool.position - before.position, np.arange(1, count + 1)[:, None]
    turned = np.array([geometry.multiply(geometry.exp(k * turn), tool.quaternion) for k in range(1, count + 1)])
    closed = np.full(count, gripper)
    return {
        "policy": (chunk.positions, chunk.quaternions, chunk.grippers),
        "still": (np.tile(tool.position, (count, 1)), np.tile(tool.quaternion, (count, 1)), closed),
        "previous": (tool.position + steps * way, turned, closed),
    }


def compared(targets: Targets, truth: Targets) -> Array:
    """Errors (n, 7): way in m and turn as a rotation vector in rad, base frame; 1 where the gripper is wrong, else 0."""
    known = np.isfinite(truth[2])
    errors = np.full((len(known), 7), np.nan)
    errors[:, :3] = targets[0] - truth[0]
    for k in np.flatnonzero(known):
        errors[k, 3:6] = geometry.difference(targets[1][k], truth[1][k])
    errors[known, 6] = (targets[2][known] > OPEN) != (truth[2][known] > OPEN)
    return errors


@dataclass(frozen=True)
class Figure:
    """A mean over all targets of some steps, with the bounds that hold it with 95 % by resampling episodes; `n` targets."""

    value: float
    low: float | None
    high: float | None
    n: int


def magnitudes(errors: Array) -> Array:
    """Sizes (…, 9) of errors (…, 7) in mm, mrad, and 0 or 1: DIMENSIONS, then the lengths of way and turn."""
    way, turn = np.linalg.norm(errors[..., :3], axis=-1), np.linalg.norm(errors[..., 3:6], axis=-1)
    return np.concatenate([np.abs(errors) * SCALES, 1e3 * way[..., None], 1e3 * turn[..., None]], axis=-1)


NAMES = (*DIMENSIONS, "way_mm", "turn_mrad")


def figures(scored: Sequence[Scores], predictor: str, first: int, last: int) -> dict[str, Figure]:
    """Mean errors of steps first … last - 1 by name of NAMES."""
    sizes = [magnitudes(s.errors[predictor][:, first:last]).reshape(-1, len(NAMES)) for s in scored if s.errors]
    parts = [size[np.isfinite(size).all(1)] for size in sizes]
    sums, counts = np.array([part.sum(0) for part in parts]), np.array([len(part) for part in parts])
    lows, highs = _bounds(sums, counts)
    total = int(counts.sum())
    means = sums.sum(0) / total if total else np.full(len(NAMES), np.nan)
    return {name: Figure(float(means[k]), lows[k], highs[k], total) for k, name in enumerate(NAMES)}


def _bounds(sums: Array, counts: NDArray[np.int64]) -> tuple[list[Any], list[Any]]:
    """Of the mean, by drawing episodes with replacement: targets of one episode are anything but independent."""
    nothing = [None] * len(NAMES)
    if len(counts) < 2 or not counts.any():
        return nothing, nothing
    drawn = np.random.default_rng(0).integers(len(counts), size=(RESAMPLES, len(counts)))
    totals = counts[drawn].sum(1)
    means = sums[drawn].sum(1)[totals > 0] / totals[totals > 0, None]
    return np.percentile(means, 2.5, axis=0).tolist(), np.percentile(means, 97.5, axis=0).tolist()


def document(scored: Sequence[Scores], label: str) -> dict[str, Any]:
    """What --json writes: means over the steps that are executed, their ratios to the baselines; step by step; by episode."""
    from dataclasses import asdict

    from vla_ros.evaluation.wilson import machine

    execute, steps, step = shape(scored)
    means = {name: figures(scored, name, 0, execute) for name in PREDICTORS}
    summary = {f"{name}_{k}": _plain(asdict(figure)) for name, found in means.items() for k, figure in found.items()}
    for name in PREDICTORS[1:]:
        for size in ("way_mm", "turn_mrad", "gripper_wrong"):
            ours, theirs = means["policy"][size], means[name][size]
            ratio = ours.value / theirs.value if theirs.value > 0 else None
            summary[f"{size.rpartition('_')[0]}_over_{name}"] = {"value": ratio, "low": None, "high": None, "n": ours.n}
    items: list[dict[str, Any]] = [{"label": label, "execute": execute, "step_s": step / SECOND}]
    for k in range(steps):
        by_step = {name: {d: f.value for d, f in figures(scored, name, k, k + 1).items()} for name in PREDICTORS}
        items.append({"step": k + 1} | {name: _plain(found) for name, found in by_step.items()})
    for scores in scored:
        own = figures([scores], "policy", 0, execute) if scores.errors else {}
        chunks = len(scores.errors["policy"]) if scores.errors else 0
        about = {"episode": scores.index, "task": scores.task, "chunks": chunks, "refused": scores.refused}
        items.append(about | _plain({name: figure.value for name, figure in own.items()}))
    return {"summary": summary, "items": items, "machine": machine()}


def shape(scored: Sequence[Scores]) -> tuple[int, int, int]:
    """Steps that are executed, steps of a chunk, and their length in ns."""
    first = next(scores for scores in scored if scores.errors)
    return first.execute, first.errors["policy"].shape[1], first.step


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no NaN."""
    return {name: None if isinstance(v, float) and np.isnan(v) else v for name, v in values.items()}
