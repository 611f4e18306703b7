"""A recorded episode as a policy: it goes on from where the tool is, waits for a held arm, and refuses what cannot go well."""

import numpy as np
import pytest

from vla_ros import geometry
from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.config import load
from vla_ros.episodes.lerobot import DatasetWriter
from vla_ros.evaluation.evaluate import controlled
from vla_ros.evaluation.rollout import Studio, run
from vla_ros.geometry import Pose
from vla_ros.kinematics import TOOL_DOWN
from vla_ros.policy import replay
from vla_ros.policy.manifest import BundleError
from vla_ros.policy.policy import check_spec, load_policy
from vla_ros.policy.words import InstructionError
from vla_ros.twin.tasks import sample
from vla_ros.values import ArmState, Observation

CONFIG = load("twin")
FPS = 30
SPEED = 0.06
START = np.array([0.45, 0.0, 0.2])
PAUSE = (1.0, 2.0)
"""s in which the recorded tool stands, and closes."""


def recorded_at(t):
    """Where the recorded tool was: along y, with a pause, turning about z."""
    moving = t - (min(max(t, PAUSE[0]), PAUSE[1]) - PAUSE[0])
    return START + np.array([0.0, SPEED * moving, 0.0]), np.array([0.0, 0.0, 0.1 * moving])


def record(path, seconds=4.0, fps=FPS, robot=CONFIG.robot, leap=0.0):
    """One episode; the gripper closes in the middle of the pause."""
    with DatasetWriter(path, {"observation.state": ("float32", (8,))}, fps, robot) as writer:
        writer.begin("push")
        for k in range(round(seconds * fps)):
            position, turn = recorded_at(k / fps)
            position = position + np.array([0.0, 0.0, leap * (k > 10)])
            closed = float(k / fps >= sum(PAUSE) / 2)
            writer.add({}, {"observation.state": [*position, *turn, closed, closed]})
        writer.commit()
    return f"replay:{path}#0"


def seen(stamp, position, turn=(0.0, 0.0, 0.0)):
    tool = Pose(np.asarray(position), geometry.multiply(geometry.exp(np.asarray(turn)), TOOL_DOWN))
    return Observation(stamp, {}, ArmState(stamp, *[np.zeros(7)] * 3, tool, 0.0, np.zeros(3)), 0)


@pytest.fixture
def policy(tmp_path):
    made = load_policy(record(tmp_path / "data"), CONFIG)
    made.set_instruction("go")
    return made


def led(policy, moments, held=()):
    """Let an ideal arm follow the chunks at 10 Hz, but in the `held` intervals, where it stands; the chunks by moment."""
    position, turn, chunks = START, np.zeros(3), {}
    for k in range(round(moments * 10)):
        t = k / 10
        chunk = policy.act(seen(SECOND + k * 100 * MILLISECOND, position, turn), 0.0)
        chunks[t] = chunk
        if not any(a <= t < b for a, b in held):
            position, turn = chunk.positions[0], geometry.difference(chunk.quaternions[0], TOOL_DOWN)
    return chunks


def test_targets_are_the_recorded_way_in_absolute_time(policy):
    chunks = led(policy, 4.0)
    for t in (0.0, 0.7, 1.5, 2.5):
        chunk = chunks[t]
        assert chunk.stamp == SECOND + round(t * 10) * 100 * MILLISECOND
        for k in range(5):
            position, turn = recorded_at(t + (k + 1) * 0.1)
            np.testing.assert_allclose(chunk.positions[k], position, atol=0.002)
            assert np.linalg.norm(geometry.difference(chunk.quaternions[k], TOOL_DOWN) - turn) < 0.01
    closing = sum(PAUSE) / 2
    assert chunks[closing - 0.3].grippers[:2].tolist() == [0.0, 0.0]
    assert chunks[closing].grippers[0] == 1.0


def test_behind_its_end_the_tool_stays_there(policy):
    chunks = led(policy, 6.0)
    np.testing.assert_allclose(
        chunks[5.9].positions, np.tile(recorded_at(4.0 - 1 / FPS)[0], (replay.CHUNK, 1)), atol=1e-5
    )


def test_an_arm_that_is_held_back_is_waited_for(policy):
    chunks = led(policy, 6.0, held=[(0.5, 1.5)])
    late = chunks[3.0].positions[0] - recorded_at(2.1)[0]
    assert np.linalg.norm(late) < 0.005


def test_it_is_led_to_a_beginning_that_is_near(policy):
    near = START + np.array([0.0, 0.0, 0.03])
    chunk = policy.act(seen(SECOND, near), 0.4)
    steps = np.diff(np.concatenate([[near], chunk.positions]), axis=0)
    assert np.linalg.norm(steps, axis=1).max() <= replay.SLOW * 0.1 * 1.1
    assert chunk.grippers[0] == 0.4
    np.testing.assert_allclose(chunk.positions[-1], START, atol=1e-3)


def test_a_beginning_that_is_far_is_refused_with_what_to_do(policy):
    with pytest.raises(InstructionError, match=r"begins at \(0.450, 0.000, 0.200\).*100 mm.*vla-ros episodes replay"):
        policy.act(seen(SECOND, START + np.array([0.1, 0.0, 0.0])), 0.0)


def test_a_tool_that_was_taken_away_is_refused_and_goes_on_once_it_is_back(policy):
    led(policy, 0.8)
    policy.reset()  # as a policy node does while it complains
    with pytest.raises(InstructionError, match="lead it back"):
        policy.act(seen(5 * SECOND, START + np.array([0.15, 0.0, 0.0])), 0.0)
    chunk = policy.act(seen(6 * SECOND, recorded_at(0.9)[0], recorded_at(0.9)[1]), 0.0)
    assert 0.9 * SPEED <= chunk.positions[0, 1] < 1.2 * SPEED


def test_an_empty_instruction_is_idle_and_the_next_begins_anew(policy):
    led(policy, 1.0)
    policy.set_instruction("")
    assert policy.act(seen(3 * SECOND, START), 0.0) is None
    policy.set_instruction("go")
    assert policy.act(seen(4 * SECOND, START), 0.0).positions[0, 1] == pytest.approx(0.1 * SPEED, abs=1e-3)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("replay:{path}", "not of the form"),
        ("replay:{path}#x", "not of the form"),
        ("replay:#0", "not of the form"),
        ("replay:{path}#7", "no episode 7"),
        ("replay:{path}/none#0", "info.json"),
    ],
)
def test_what_is_no_episode_is_named(tmp_path, spec, says):
    record(tmp_path / "data")
    spec = spec.format(path=tmp_path / "data")
    with pytest.raises(BundleError, match=says):
        load_policy(spec, CONFIG)
    assert says in check_spec(spec, CONFIG)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"robot": "another"}, "recorded with 'another'"),
        ({"fps": 2}, "2 rows a second are too few"),
        ({"leap": 0.2}, "leaps at frame 10"),
    ],
)
def test_an_episode_that_this_robot_cannot_go_is_refused(tmp_path, changes, says):
    with pytest.raises(BundleError, match=says):
        load_policy(record(tmp_path / "data", **changes), CONFIG)


def test_a_demonstration_played_again_in_its_own_scene_lifts_the_cube_again(tmp_path):
    """Through player, tracker, governor and physics: the recorded way alone is enough where nothing else has changed."""
    from vla_ros.evaluation.collect import Plan, features
    from vla_ros.evaluation.collect import record as demonstrate

    studio, episode = Studio(CONFIG), sample(3)
    with DatasetWriter(tmp_path / "demos", features(CONFIG), 10, CONFIG.robot) as writer:
        result, _ = demonstrate(studio, writer, episode, Plan(tmp_path, range(3, 4), noise=0.0), None)
    assert result.outcome.success
    policy = load_policy(f"replay:{tmp_path / 'demos'}#0", CONFIG)
    policy.set_instruction(episode.instruction)
    assert run(studio, episode, policy).outcome.success
    policy.set_instruction("")
    policy.set_instruction(episode.instruction)
    other = run(studio, controlled(episode, "other-colour"), policy)
    assert other.outcome.wrong_object, "it sees nothing: where another cube is meant it takes the same"
