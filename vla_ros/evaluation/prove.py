"""The offline half of the proof: cases by number, so that processes can share them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vla_ros.config import Config
from vla_ros.evaluation.cases import Finding, offline_cases
from vla_ros.evaluation.expert_policy import ExpertPolicy
from vla_ros.evaluation.rollout import Studio
from vla_ros.evaluation.trial import play
from vla_ros.policy.policy import load_policy
from vla_ros.twin.tasks import sample


@dataclass(frozen=True)
class Proof:
    """What the cases are played with. policy: a bundle, or "expert"; `horizon` (s) as in `offline_cases`."""

    config: Config
    policy: str
    horizon: float
    seed: int
    short: bool


def prove(part: tuple[Proof, list[int]]) -> list[tuple[int, Finding]]:
    """The findings of the cases of these numbers."""
    proof, numbers = part
    cases, episode = offline_cases(proof.config, proof.horizon, proof.short), sample(proof.seed)
    studio = Studio(proof.config)
    policy: Any = ExpertPolicy(studio.twin) if proof.policy == "expert" else load_policy(proof.policy, proof.config)
    if isinstance(policy, ExpertPolicy):
        policy.aim(episode.target)
    policy.set_instruction(episode.instruction)
    return [(number, play(studio, episode, policy, cases[number])) for number in numbers]
