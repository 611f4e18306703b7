"""Episodes keep to their ranges, and outcomes to what they say."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from vla_ros import kinematics
from vla_ros.twin import tasks
from vla_ros.twin.physics import start_pose

EPISODES = [tasks.sample(seed) for seed in range(200)]


class Bodies:
    """Objects at given heights above a table that is not at zero."""

    table = 0.1

    def __init__(self, *heights: float) -> None:
        self._heights = dict(zip(tasks.NAMES, heights, strict=True))

    def object_position(self, name: str) -> np.ndarray:
        return np.array([0.4, 0.0, self.table + tasks.CUBE / 2 + self._heights[name]])


def test_a_seed_is_an_episode() -> None:
    assert tasks.sample(5) == tasks.sample(5)
    assert tasks.sample(5) != tasks.sample(6)


@pytest.mark.parametrize("episode", EPISODES[::10], ids=lambda e: str(e.seed))
def test_cubes_lie_apart_in_reach_and_differ_in_colour(episode: tasks.Episode) -> None:
    assert len({cube.colour for cube in episode.cubes}) == 3
    for a, b in itertools.combinations(episode.cubes, 2):
        assert math.hypot(a.x - b.x, a.y - b.y) >= 0.10
    for cube in episode.cubes:
        assert 0.38 <= cube.x <= 0.56
        assert abs(cube.y) <= 0.22
        assert abs(cube.yaw) <= math.radians(20)


@pytest.mark.parametrize("episode", EPISODES[::10], ids=lambda e: str(e.seed))
def test_the_start_is_reachable_and_nearly_level(episode: tasks.Episode) -> None:
    assert np.linalg.norm(episode.tool_tilt) <= math.radians(4)
    kinematics.inverse_kinematics(start_pose(episode))


def test_the_instruction_names_the_target_and_nothing_else() -> None:
    for episode in EPISODES:
        named = [colour for colour in tasks.COLOURS if colour in episode.instruction.split()]
        assert named == [episode.cubes[episode.target].colour]


def test_every_colour_verb_and_noun_is_asked_for() -> None:
    text = " / ".join(episode.instruction for episode in EPISODES)
    for words in (*tasks.COLOURS, *tasks.VERBS, *tasks.NOUNS, "please"):
        assert words in text


def test_looks_differ_and_stay_colours() -> None:
    looks = np.array([episode.look() for episode in EPISODES])
    colours = np.delete(looks, 3, axis=1)
    assert colours.min() >= 0
    assert colours.max() <= 1
    assert looks[:, 0].std(axis=0).min() > 0.03
    assert (looks[:, 3, 2] < 0).all()


@pytest.mark.parametrize(
    ("heights", "success", "wrong"),
    [
        ((0.0, 0.0, 0.0), False, False),
        ((0.0, 0.11, 0.0), True, False),
        ((0.0, 0.09, 0.0), False, False),
        ((0.07, 0.0, 0.0), False, True),
        ((0.07, 0.11, 0.0), True, False),
        ((0.0, 0.0, 0.05), False, False),
    ],
)
def test_judging(heights: tuple[float, ...], success: bool, wrong: bool) -> None:
    episode = tasks.Episode(0, EPISODES[0].cubes, 1, "", (0.4, 0, 0.2), (0, 0, 0))
    outcome = tasks.judge(Bodies(*heights), episode)
    assert (outcome.success, outcome.wrong_object) == (success, wrong)
    assert outcome.heights == pytest.approx(heights)
