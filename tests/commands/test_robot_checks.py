"""Every check of `vla-ros robot check` passes on a controller that is in order, and fails on one that is spoilt as it looks for."""

import math
import re
import time
from dataclasses import replace

import numpy as np
import pytest

from vla_ros.arms.arm import ArmError
from vla_ros.arms.kortex_setup import KinematicLimit
from vla_ros.commands.robot import command, force, gravity, gripper, home, limits, pose, stopping
from vla_ros.commands.robot.cell import gentle
from vla_ros.commands.robot.command import CHECKS
from vla_ros.commands.robot.verdict import Word
from vla_ros.geometry import Pose
from vla_ros.twin import scene
from vla_ros.twin.controller import limits as their_limits
from vla_ros.twin.controller import sessions
from vla_ros.twin.controller.calls import CALLS, base
from vla_ros.twin.controller.settings import Settings

from .controllers import cell, tell


@pytest.fixture(autouse=True)
def brisk(monkeypatch):
    """Shorter motions than a person would trust."""
    monkeypatch.setattr(pose, "SECONDS", 0.5)
    monkeypatch.setattr(gravity, "TURNED", 3.0)
    monkeypatch.setattr(gravity, "SETTLING", 0.1)
    monkeypatch.setattr(gravity, "SAMPLES", 5)
    # on a busy machine a controller in Python is late: no verdict is to be about that
    monkeypatch.setattr(stopping, "REACTION", 1.0)
    monkeypatch.setattr(stopping, "PATIENCE", 5.0)


pytestmark = pytest.mark.slow


def check(name, made):
    return CHECKS[name].load()(made)


SLACK = "deadlines.connection=2.0"


@pytest.mark.parametrize("name", ["home", "dead-man", "watchdog"])
def test_a_controller_in_order_passes(name, monkeypatch):
    monkeypatch.setattr(stopping, "REACTION", 1.0)  # of this machine, which may be busy; the arm's is judged elsewhere
    with cell(SLACK) as (made, _):
        verdict = check(name, made)
    assert verdict.word is Word.PASS, verdict
    assert verdict.figures


@pytest.mark.parametrize("name", ["limits", "pose"])
def test_a_controller_in_order_does_not_fail(name):
    """Physics that skips time on a busy machine moves less far than it was told to; then it is UNSURE."""
    with cell() as (made, _):
        verdict = check(name, made)
    assert verdict.word is not Word.FAIL, verdict
    assert "read back as set" in verdict.text or "at 7 poses" in verdict.text


def test_an_arm_that_does_not_heed_silence_fails_the_dead_man(monkeypatch):
    monkeypatch.setattr(sessions.Session, "lapsed", lambda self, now: False)
    with cell() as (made, running):
        verdict = check("dead-man", made)
        assert verdict.word is Word.FAIL
        assert "went on" in verdict.text
        time.sleep(0.3)
        assert running.robot.resting  # it was stopped all the same


def test_a_time_out_later_than_the_one_that_was_asked_for_fails_the_dead_man(monkeypatch):
    lapsed = sessions.Session.lapsed
    monkeypatch.setattr(sessions.Session, "lapsed", lambda self, now: lapsed(self, now - 2_000_000_000))
    with cell() as (made, _):
        verdict = check("dead-man", made)
    assert verdict.word is Word.FAIL
    assert verdict.figures["rest_s"] > 1.0


def test_an_arm_that_ignores_stop_fails_the_watchdog(monkeypatch):
    monkeypatch.setitem(CALLS, "Base.Stop", lambda robot, call: None)
    with cell(SLACK) as (made, _):
        verdict = check("watchdog", made)
    assert verdict.word is Word.FAIL
    assert "no sooner than by its own time-out" in verdict.text


def test_a_soft_limit_that_holds_nothing_back_fails(monkeypatch):
    monkeypatch.setattr(their_limits, "scaled", lambda vector, most: vector)
    with cell() as (made, _):
        verdict = check("limits", made)
    assert verdict.word is Word.FAIL
    assert verdict.figures["speed_m_s"] > 0.015


def test_a_soft_limit_that_is_not_taken_fails(monkeypatch):
    monkeypatch.setitem(CALLS, "ControlConfig.SetTwistLinearSoftLimit", lambda robot, call: None)
    with cell() as (made, _):
        verdict = check("limits", made)
    assert verdict.word is Word.FAIL
    assert "read back otherwise than set: CARTESIAN_JOYSTICK 0.500 m/s" in verdict.text


SPOILT = {
    "sign": (lambda v, w: (v * [1, -1, 1], w), "y: went the other way"),
    "frame": (lambda v, w: (v[[1, 0, 2]], w), "x: went along another axis"),
    "unit": (lambda v, w: (v, np.degrees(w)), "about x: .* times as far"),
    "unit of turning too small": (
        lambda v, w: (v, np.radians(w)),
        "about x: 0.0. times as far as commanded: degrees for radians",
    ),
    "sign of turning": (lambda v, w: (v, w * [1, 1, -1]), "about z: went the other way"),
}


@pytest.mark.parametrize("way", SPOILT)
def test_twists_of_another_convention_fail_the_pose(monkeypatch, way):
    spoil, says = SPOILT[way]
    read = base.twist_of
    monkeypatch.setattr(base, "twist_of", lambda twist: spoil(*read(twist)))
    with cell() as (made, _):
        verdict = check("pose", made)
    assert verdict.word is Word.FAIL
    assert re.search(says, verdict.text), verdict.text


def test_a_tool_pose_of_another_convention_fails_the_pose(monkeypatch):
    monkeypatch.setattr(
        Settings, "tool_point", lambda self, tool: Pose(tool.position + np.array([0, 0, 0.03]), tool.quaternion)
    )
    with cell() as (made, _):
        verdict = check("pose", made)
    assert verdict.word is Word.FAIL
    assert verdict.figures["gap_m"] == pytest.approx(0.03, abs=0.001)


def pushed(z):
    return lambda state: replace(state, force=state.force + np.array([0.0, 0.0, z]))


@pytest.mark.parametrize(
    ("spoil", "word", "says"),
    [
        (lambda state: state, Word.PASS, "agree by \\+1.00"),
        (lambda state: replace(state, torques=-state.torques), Word.FAIL, "the sign is the other"),
        (pushed(-8.0), Word.FAIL, "another payload"),
        (lambda state: replace(state, torques=np.roll(state.torques, 3)), Word.UNSURE, "agree by"),
    ],
)
def test_gravity(spoil, word, says):
    with cell() as (made, running):
        tell(running, spoil)
        verdict = check("gravity", made)
    assert verdict.word is word
    assert re.search(says, verdict.text), verdict.text


@pytest.mark.parametrize(("cancelled", "says"), [("false", "do not cancel it"), ("true", "repeating cures that")])
def test_the_gripper_of_old_and_new_firmware_passes(cancelled, says):
    with cell(f"twin.gripper_cancelled={cancelled}") as (made, _):
        verdict = check("gripper", made)
    assert verdict.word is Word.PASS, verdict
    assert says in verdict.text


def test_a_gripper_that_no_repeat_cures_fails(monkeypatch):
    monkeypatch.setattr(gripper, "STREAM", 3.0)
    send = CALLS["Base.SendGripperCommand"]
    monkeypatch.setitem(
        CALLS, "Base.SendGripperCommand", lambda robot, call: send(robot, call) if robot.resting else None
    )
    with cell("twin.gripper_cancelled=true") as (made, _):
        verdict = check("gripper", made)
    assert verdict.word is Word.FAIL
    assert "also when the command is repeated" in verdict.text


def test_a_gripper_that_jams_fails(monkeypatch):
    monkeypatch.setattr(gripper, "STREAM", 1.0)
    with cell() as (made, running):
        tell(running, lambda state: replace(state, gripper=min(state.gripper, 0.6)))
        verdict = check("gripper", made)
    assert verdict.word is Word.FAIL
    assert "from 0.00 to 0.60 only" in verdict.text


@pytest.mark.parametrize(("z", "word"), [(-12.0, Word.PASS), (12.0, Word.FAIL), (-1.0, Word.UNSURE)])
def test_force_is_felt_downwards(monkeypatch, z, word):
    monkeypatch.setattr(force, "BEFORE", 0.3)
    monkeypatch.setattr(force, "PRESSED", 0.5)
    with cell() as (made, running):
        pressed = replace(made, say=lambda text: tell(running, pushed(z)))
        verdict = check("force", pressed)
    assert verdict.word is word, verdict


def test_an_arm_that_does_not_get_home_fails(monkeypatch):
    monkeypatch.setattr(home, "PATIENCE", 1.0)
    with cell() as (made, running):
        far = (*made.config.arm.home[:6], made.config.arm.home[6] + 1.0)
        away = made.config.model_copy(update={"arm": made.config.arm.model_copy(update={"home": far})})
        verdict = check("home", replace(made, config=away))
        assert verdict.word is Word.FAIL
        time.sleep(0.5)
        assert running.robot.resting


def test_a_check_without_room_says_so_and_moves_nothing():
    with cell("workspace.high=[0.59, 0.275, 0.20]") as (made, running):
        before = running.robot.measured.state.tool.position
        verdict = command.attempt("dead-man", made)
        after = running.robot.measured.state.tool.position
    assert verdict.word is Word.UNSURE
    assert "would leave the box" in verdict.text
    assert np.linalg.norm(after - before) < 1e-4


def test_after_a_failure_nothing_else_is_begun(monkeypatch, capsys):
    monkeypatch.setitem(CALLS, "Base.Stop", lambda robot, call: None)
    with cell() as (made, _):
        verdicts = command.go_through(["watchdog", "pose"], made)
    assert [v.name for v in verdicts] == ["watchdog"]
    assert "the rest is not begun" in capsys.readouterr().out


def test_an_arm_that_cannot_be_reached_leaves_a_check_unsure():
    with cell() as (made, _):
        nobody = made.config.model_copy(update={"arm": made.config.arm.model_copy(update={"port": 1})})
        verdict = command.attempt("dead-man", replace(made, config=nobody))
    assert verdict.word is Word.UNSURE
    assert "refuses the connection" in verdict.text


def test_checks_are_slow():
    with cell("arm.soft_speed=0.5") as (made, _):
        slow = gentle(made.config)
    assert slow.limits.speed <= 0.03
    assert slow.limits.turn_speed <= math.radians(5.001)
    assert slow.arm.home_speed <= math.radians(5.001)
    assert slow.arm.soft_speed <= 0.05


def test_an_operator_refuses_more_than_a_check_may():
    with cell() as (made, _), made.arm() as operator, pytest.raises(ArmError, match=r"limits\.speed"):
        operator.twist(np.array([0.05, 0, 0, 0, 0, 0]), 0.1)


def moved(axis, wanted, *got):
    return pose.Moved(axis, wanted, np.array(got, float))


IN_ORDER = [moved(k, 0.02 if k < 3 else 0.087, *(np.eye(6)[k] * (0.02 if k < 3 else 0.087))) for k in range(6)]
NO_GAP = pose.Gap(0.0, 0.0)


def test_motions_as_commanded_pass_and_those_that_fall_short_leave_it_unsure():
    assert pose.judge_pose([NO_GAP], IN_ORDER).word is Word.PASS
    short = [*IN_ORDER[:5], moved(5, 0.087, 0, 0, 0, 0, 0, 0.04)]
    assert pose.judge_pose([NO_GAP], short).word is Word.UNSURE
    assert pose.judge_pose([NO_GAP], IN_ORDER[:5]).word is Word.UNSURE
    assert pose.judge_pose([NO_GAP, pose.Gap(0.02, 0.0)], IN_ORDER).word is Word.FAIL
    assert pose.judge_pose([pose.Gap(0.0, 0.1)], IN_ORDER).word is Word.FAIL


def test_a_tool_point_that_wanders_while_the_tool_turns_fails():
    verdict = pose.judge_pose([NO_GAP], [*IN_ORDER[:3], moved(3, 0.087, 0, 0.012, 0, 0.087, 0, 0)])
    assert verdict.word is Word.FAIL
    assert "wandered by 12.0 mm" in verdict.text


def test_a_speed_at_its_limit_passes_and_one_far_below_is_unsure():
    wanted = (0.05, 0.17, 0.35)
    told = [
        KinematicLimit("CARTESIAN_JOYSTICK", 0.05, 0.17, ()),
        KinematicLimit("ANGULAR_TRAJECTORY", 1.0, 1.0, (0.35,) * 7),
    ]
    words = [limits.judge_limits(limits.Seen(told, wanted, speed, 0.01)).word for speed in (0.0101, 0.019, 0.004)]
    assert words == [Word.PASS, Word.FAIL, Word.UNSURE]
    assert limits.judge_limits(limits.Seen(told[:1], wanted, 0.01, 0.01)).word is Word.FAIL


def test_the_model_of_gravity_has_the_masses_of_the_twin():
    assert [row[0] for row in scene._INERTIAL] == gravity.MASSES.tolist()
    assert [[float(v) for v in row[1].split()] for row in scene._INERTIAL] == gravity.CENTRES.tolist()
