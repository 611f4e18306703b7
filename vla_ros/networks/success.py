"""Success of a bundle in the twin, as its manifest records it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vla_ros.evaluation.wilson import Rate

FIRST_SEED = 1_000_000
"""Of the episodes that a policy is judged by: those of `vla-ros eval`."""
RATES = ("success", "wrong_object")


def play_episodes(
    folder: Path, episodes: int, processes: int, config: Sequence[str] = (), overrides: Sequence[str] = ()
) -> dict[str, Any]:
    """Rates over that many seeded episodes: `seeds`, and per rate value, low and high of its Wilson interval, and n.

    Raises BundleError for a policy that the twin cannot serve.
    """
    from vla_ros.evaluation.cli import summarise
    from vla_ros.evaluation.evaluate import Evaluation, evaluate

    seeds = range(FIRST_SEED, FIRST_SEED + episodes)
    settings = (*overrides, "policy.unverified=true")  # it is about to be
    trials = evaluate(Evaluation(str(folder), seeds, "none", processes, tuple(config), settings))
    rates = {name: dataclasses.asdict(rate) for name, rate in summarise(trials).items()}
    return {"seeds": f"{seeds.start}:{seeds.stop}", **rates}


def fell(now: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Whether the rate of success is surely less than the recorded one: their intervals do not touch."""
    return bool(now["success"]["high"] < before["success"]["low"])


def line(success: Mapping[str, Any]) -> str:
    """For people."""
    rates = (f"{name.replace('_', ' ')} {Rate(**success[name])}" for name in RATES)
    return f"twin, seeds {success['seeds']}: {'; '.join(rates)}"
