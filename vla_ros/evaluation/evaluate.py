"""Success of a policy over seeded episodes of the twin, with Wilson intervals, and controls that tell why it succeeds."""

from __future__ import annotations

import dataclasses
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from vla_ros.config import load
from vla_ros.evaluation.expert_policy import ExpertPolicy
from vla_ros.evaluation.rollout import Result, Studio, run
from vla_ros.policy.policy import load_policy
from vla_ros.twin.tasks import COLOURS, Episode, instruction_for, sample

CONTROLS = ("none", "blank-cameras", "shuffled-words", "other-colour")
"""blank-cameras: every picture grey; shuffled-words: the sentence names another of the six colours than the one asked for, at random;
other-colour: the same scene with another of its cubes named, which is then the one to pick."""


@dataclass(frozen=True)
class Trial:
    """One evaluated episode."""

    seed: int
    instruction: str
    success: bool
    wrong_object: bool
    seconds: float
    mode: str
    top_speed: float
    verdicts: dict[str, int]


@dataclass(frozen=True)
class Evaluation:
    """What to evaluate: `policy` is a bundle, or "expert"."""

    policy: str
    seeds: range
    control: str = "none"
    processes: int = 2
    config: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()


def evaluate(evaluation: Evaluation, done: Callable[[Trial], None] = lambda trial: None) -> list[Trial]:
    """Run every seed, in `processes` processes; `done` hears of each trial as it ends. Sorted by seed.

    Raises ConfigError and BundleError before the first episode.
    """
    config = load(*evaluation.config, overrides=evaluation.overrides)
    if evaluation.policy != "expert":
        load_policy(evaluation.policy, config)
    if evaluation.processes <= 1:
        trials = list(_heard(_trials(evaluation, evaluation.seeds), done))
    else:
        parts = [(evaluation, evaluation.seeds[i :: evaluation.processes * 4]) for i in range(evaluation.processes * 4)]
        context = multiprocessing.get_context("spawn")
        with context.Pool(evaluation.processes) as pool:
            trials = list(_heard((t for part in pool.imap_unordered(_part, parts) for t in part), done))
    return sorted(trials, key=lambda trial: trial.seed)


def _heard(trials: Iterable[Trial], done: Callable[[Trial], None]) -> Iterator[Trial]:
    for trial in trials:
        done(trial)
        yield trial


def _part(part: tuple[Evaluation, range]) -> list[Trial]:
    return list(_trials(*part))


def _trials(evaluation: Evaluation, seeds: range) -> Iterator[Trial]:
    config = load(*evaluation.config, overrides=evaluation.overrides)
    studio = Studio(config)
    policy: Any = ExpertPolicy(studio.twin) if evaluation.policy == "expert" else load_policy(evaluation.policy, config)
    for seed in seeds:
        episode = controlled(sample(seed), evaluation.control)
        if isinstance(policy, ExpertPolicy):
            policy.aim(episode.target)
        policy.set_instruction(spoken(episode, evaluation.control))
        result = run(studio, episode, policy, blank_cameras=evaluation.control == "blank-cameras")
        yield _trial(seed, episode, result)


def _trial(seed: int, episode: Episode, result: Result) -> Trial:
    return Trial(
        seed,
        episode.instruction,
        result.outcome.success,
        result.outcome.wrong_object,
        result.seconds,
        result.mode.value,
        result.top_speed,
        result.verdicts,
    )


def controlled(episode: Episode, control: str) -> Episode:
    """The episode under a control; other-colour names the next cube of the same scene."""
    if control != "other-colour":
        return episode
    target = (episode.target + 1) % len(episode.cubes)
    random = np.random.default_rng(episode.seed + 3)
    return dataclasses.replace(
        episode, target=target, instruction=instruction_for(episode.cubes[target].colour, random)
    )


def spoken(episode: Episode, control: str) -> str:
    """The sentence that the policy hears; under shuffled-words another colour's word stands in it."""
    if control != "shuffled-words":
        return episode.instruction
    own = episode.cubes[episode.target].colour
    others = [colour for colour in COLOURS if colour != own]
    word = others[int(np.random.default_rng(episode.seed + 5).integers(len(others)))]
    return episode.instruction.replace(own, word)
