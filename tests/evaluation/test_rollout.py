"""The whole chain offline: twin, expert or policy, servo cycle, on a virtual clock."""

import dataclasses

import numpy as np
import pytest

from vla_ros.clock import SECOND
from vla_ros.config import load
from vla_ros.episodes.layout import DatasetError
from vla_ros.episodes.reader import DatasetReader
from vla_ros.evaluation.collect import Plan, collect, features
from vla_ros.evaluation.evaluate import CONTROLS, Evaluation, controlled, evaluate, spoken
from vla_ros.evaluation.expert_policy import ExpertPolicy
from vla_ros.evaluation.rollout import Step, Studio, exposed, run
from vla_ros.motion.outlet import Wire
from vla_ros.policy.policy import load_policy
from vla_ros.twin.tasks import COLOURS, sample
from vla_ros.values import Command, Mode, Verdict


@pytest.fixture(scope="module")
def studio():
    return Studio(load())


def expert_for(studio, episode, noise=0.0):
    expert = ExpertPolicy(studio.twin, noise, episode.seed)
    expert.aim(episode.target)
    return expert


def test_expert_lifts_the_named_cube_within_every_limit(studio):
    for seed in range(4):
        episode = sample(seed)
        result = run(studio, episode, expert_for(studio, episode))
        assert result.outcome.success
        assert result.mode is Mode.ACTIVE
        assert result.top_speed <= studio.config.limits.speed + 1e-9


def test_one_seed_is_one_episode(studio):
    ends = []
    for _ in range(2):
        episode = sample(5)
        run(studio, episode, expert_for(studio, episode, noise=0.1), time_limit=3.0)
        ends.append(studio.twin.data.qpos.copy())
    np.testing.assert_array_equal(ends[0], ends[1])


def test_pictures_do_not_depend_on_what_was_rendered_before(studio):
    episode = sample(8)
    studio.twin.reset(sample(9))
    studio.images()
    studio.twin.reset(episode)
    again = studio.images()
    fresh = Studio(studio.config)
    fresh.twin.reset(episode)
    for name, image in fresh.images().items():
        np.testing.assert_array_equal(image, again[name])


@pytest.mark.parametrize("target", [(0.42, 0.12, 0.20), (0.52, -0.10, 0.15)])
def test_constant_policy_reaches_its_target_within_2_mm_despite_the_lag(studio, target):
    policy = load_policy("constant:{},{},{}".format(*target), studio.config)
    policy.set_instruction("go there")
    result = run(studio, sample(3), policy, time_limit=6.0)
    assert result.mode is Mode.ACTIVE
    reached = studio.twin.state().tool.position
    assert np.linalg.norm(reached - target) < 0.002


def test_a_policy_that_leaves_the_box_is_bounded_and_the_arm_stays_inside(studio):
    policy = load_policy("constant:0.80,0.0,0.20", studio.config)
    policy.set_instruction("go there")
    seen: list[Step] = []
    run(studio, sample(3), policy, time_limit=6.0, on_step=seen.append)
    assert max(step.observation.arm.tool.position[0] for step in seen) < studio.config.workspace.high[0] + 0.001


def test_a_policy_that_falls_silent_leaves_the_arm_at_rest_and_disarmed(studio):
    class Silent(ExpertPolicy):
        def act(self, observation, gripper_command):
            chunk = super().act(observation, gripper_command)
            return chunk if observation.stamp < 1_500_000_000 else None

    episode = sample(2)
    policy = Silent(studio.twin)
    policy.aim(episode.target)
    result = run(studio, episode, policy, time_limit=6.0)
    assert result.mode is Mode.DISARMED
    assert np.abs(studio.twin.state().velocities).max() < 1e-3
    assert {"CHUNK_LATE", "DISARMED"} & result.verdicts.keys()


def test_blank_cameras_hide_everything(studio):
    looks: list[Step] = []
    episode = sample(1)
    run(studio, episode, expert_for(studio, episode), time_limit=0.2, on_step=looks.append, blank_cameras=True)
    assert all((frame.image == 128).all() for step in looks for frame in step.observation.frames.values())


def test_cameras_expose_at_their_own_rate(studio):
    start = 7_000_000_000
    seen = [exposed(studio.config, start, start + k * SECOND // 100) for k in range(200)]
    for name, camera in studio.config.cameras.items():
        stamps = sorted({moments[name] for moments in seen})
        assert len(stamps) == round(2 * camera.rate)
        assert np.abs(np.diff(stamps) - SECOND / camera.rate).max() <= 1
        ages = [start + k * SECOND // 100 - moments[name] for k, moments in enumerate(seen)]
        assert 0 <= min(ages) <= max(ages) < SECOND / camera.rate


def test_pictures_have_the_noise_of_a_sensor_which_is_the_seeds(studio):
    looks: list[list[Step]] = []
    for _ in range(2):
        looks.append([])
        episode = sample(11)
        run(studio, episode, expert_for(studio, episode), time_limit=0.2, on_step=looks[-1].append)
    studio.twin.reset(sample(11))
    clean = studio.images()
    for name, image in clean.items():
        first, again = (look[0].observation.frames[name].image for look in looks)
        np.testing.assert_array_equal(first, again)
        difference = first.astype(float) - image
        assert 0.5 < difference.std() < 2.0
    assert looks[0][0].observation.stamp < looks[0][1].observation.stamp


class Heard:
    """An arm that notes what it is told."""

    def __init__(self):
        self.sent, self.stops = [], 0

    def send(self, now, twist, gripper):
        self.sent.append((now, twist.copy()))

    def stop(self, now):
        self.stops += 1


def told(now, speed, mode=Mode.ACTIVE):
    return Command(now, np.array([speed, 0, 0, 0, 0, 0.0]), 0.0, Verdict.OK, mode)


def test_the_arm_hears_commands_at_the_rate_that_it_takes_up(studio):
    arm = Heard()
    wire = Wire(studio.config, arm)
    for k in range(100):
        wire.act(SECOND + k * SECOND // 100, told(SECOND, 0.001 * (k + 1)))
    assert len(arm.sent) == pytest.approx(studio.config.arm.command_rate, abs=2)


def test_rest_and_a_stop_are_sent_in_the_cycle_in_which_they_begin(studio):
    arm = Heard()
    wire, moments = Wire(studio.config, arm), [SECOND + k * SECOND // 100 for k in range(40)]
    for moment in moments[:11]:
        wire.act(moment, told(moment, 0.1))
    wire.act(moments[11], told(moments[11], 0.0))
    assert arm.sent[-1][0] == moments[11]
    assert not arm.sent[-1][1].any()
    wire.act(moments[12], told(moments[12], 0.1))
    wire.act(moments[13], told(moments[13], 0.09, Mode.STOPPED))
    assert arm.sent[-1][0] == moments[13]
    assert arm.stops == 0
    for moment in moments[14:20]:
        wire.act(moment, told(moment, 0.0, Mode.STOPPED))
    assert arm.stops == 1
    count = len(arm.sent)
    for moment in moments[20:]:
        wire.act(moment, told(moment, 0.0, Mode.DISARMED))
    assert len(arm.sent) == count


def test_controls_change_what_they_say_and_nothing_else():
    episode = sample(4)
    other = controlled(episode, "other-colour")
    assert other.cubes == episode.cubes
    assert other.target != episode.target
    assert other.cubes[other.target].colour in other.instruction
    heard = spoken(episode, "shuffled-words")
    own = episode.cubes[episode.target].colour
    assert own not in heard.split()
    assert set(heard.split()) & set(COLOURS)
    assert spoken(episode, "none") == episode.instruction
    assert set(CONTROLS) == {"none", "blank-cameras", "shuffled-words", "other-colour"}


def test_evaluate_reports_every_seed_in_order():
    trials = evaluate(Evaluation("expert", range(20, 23), processes=1))
    assert [trial.seed for trial in trials] == [20, 21, 22]
    assert all(trial.success for trial in trials)


def test_collect_writes_what_was_seen_and_the_experts_plan(tmp_path):
    plan = Plan(tmp_path / "demos", range(30, 33), processes=2, time_limit=1.0)
    counts = collect(plan)
    reader = DatasetReader(plan.output)
    assert counts["episodes"] == len(reader.episodes) == 3
    assert counts["frames"] == len(reader.column("action")) == 30
    assert {episode.task for episode in reader.episodes} == {sample(seed).instruction for seed in plan.seeds}
    chunk = reader.column("action_chunk").reshape(-1, 10, 7)
    np.testing.assert_allclose(chunk[:, 0], reader.column("action"), atol=1e-7)
    assert np.abs(chunk[:, :, :3]).max() < 0.0151  # m in 0.1 s: the expert keeps the speed cap
    height, width = features(load())["observation.images.static"].shape[:2]
    assert reader.video(0, "observation.images.static").shape == (10, height, width, 3)
    with pytest.raises(DatasetError, match="already holds a dataset"):
        collect(dataclasses.replace(plan, seeds=range(1)))


def test_collect_goes_on_where_it_was_interrupted(tmp_path):
    plan = Plan(tmp_path / "demos", range(40, 44), processes=1, time_limit=0.5)
    collect(dataclasses.replace(plan, seeds=range(40, 42)))
    plan.output.rename(tmp_path / "demos.shard0")  # as if the run had died after two episodes
    counts = collect(plan)
    assert counts["episodes"] == 4
    assert counts["judged"] == 2


def test_collect_says_why_a_worker_could_not_go_on(tmp_path):
    plan = Plan(tmp_path / "demos", range(50, 52), processes=1, time_limit=0.5)
    (tmp_path / "demos.shard0").write_text("not a folder")
    with pytest.raises(DatasetError, match=r"demos\.shard0.*run again to go on"):
        collect(plan)
