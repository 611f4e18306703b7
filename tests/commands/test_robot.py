"""`vla-ros robot`: who may use it, what it asks, and what it shows."""

import builtins
import json

import numpy as np
import pytest
import yaml

from tests.arms import standin
from vla_ros import cli
from vla_ros.commands.robot import command
from vla_ros.commands.robot.verdict import Judge, Verdict, Word
from vla_ros.kinematics import wrapped
from vla_ros.nodes import domain

from .controllers import cell


@pytest.fixture
def arm(tmp_path):
    """A controller on loopback, and the words that name it on a command line."""
    with cell() as (made, running):
        path = tmp_path / "cell.yaml"
        path.write_text(yaml.safe_dump(made.config.model_dump(mode="json")))
        yield running, ["--config", str(path)]


def test_describe_shows_the_arm_and_changes_nothing_in_it(arm, tmp_path, capsys):
    running, words = arm
    before = running.robot.settings
    assert cli.main(["robot", "describe", *words, "--json", str(tmp_path / "told.json")]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "7 joints, with gripper, firmware 2.6.0" in shown
    assert "ARMSTATE_SERVOING_READY, SINGLE_LEVEL_SERVOING" in shown
    told = {item["name"]: item["text"] for item in json.loads((tmp_path / "told.json").read_text())["items"]}
    assert "CARTESIAN_JOYSTICK" in told["limits"]
    assert "two of them this command" in told["connected"]
    assert running.robot.settings == before


def test_clear_faults_clears_them_and_says_which_there_were(arm, capsys):
    running, words = arm
    running.robot.emergency_stop()
    assert cli.main(["robot", "clear-faults", *words]) == 0
    assert "EMERGENCY" in (text := capsys.readouterr().out).upper()
    assert "is: no fault" in text


def test_a_fault_that_stays_is_no_success(arm, capsys):
    running, words = arm
    running.robot.emergency_stop(held=True)
    assert cli.main(["robot", "clear-faults", *words]) == 2
    assert "emergency stop that is still pressed" in capsys.readouterr().err


@pytest.mark.parametrize("answer", ["", "n", "yes?", None])
def test_nothing_moves_without_a_plain_yes(arm, monkeypatch, capsys, answer):
    def answered(question):
        assert "emergency stop in hand" in question
        if answer is None:
            raise EOFError
        return answer

    running, words = arm
    monkeypatch.setattr(builtins, "input", answered)
    for what in (["home"], ["check", "watchdog"]):
        assert cli.main(["robot", *what, *words]) == 2
    assert "nothing was moved" in capsys.readouterr().err
    assert running.robot.owner == 0  # no session has moved it


def test_home_goes_home_with_a_yes(arm, monkeypatch, capsys):
    running, words = arm
    monkeypatch.setattr(builtins, "input", lambda question: "y")
    assert cli.main(["robot", "home", *words]) == 0
    assert "moves: all joints" in capsys.readouterr().out
    off = wrapped(running.robot.measured.state.joints - np.array(running.config.arm.home))
    assert np.abs(off).max() < 0.02


def test_a_check_ends_with_its_verdict_and_the_limits_set_back(arm, tmp_path, capsys):
    running, words = arm
    status = cli.main(["robot", "check", "watchdog", "--yes", *words, "--json", str(tmp_path / "found.json")])
    found = json.loads((tmp_path / "found.json").read_text())
    verdict = found["items"][0]["verdict"]  # a machine that stands still makes an arm that is late
    assert status == (0 if verdict == "PASS" else 1)
    assert f"{verdict}  watchdog" in capsys.readouterr().out
    limits = {mode.name: limit for mode, limit in running.robot.settings.limits.items()}
    assert limits["CARTESIAN_JOYSTICK"].linear == pytest.approx(running.config.arm.soft_speed)


def test_the_arm_has_one_master(arm, capsys):
    running, words = arm
    held = domain.claim_arm(running.config)
    try:
        assert cli.main(["robot", "describe", *words]) == 2
    finally:
        held.close()
    assert "another vla_ros process of this machine holds the arm at 127.0.0.1" in capsys.readouterr().err
    assert domain.arm_is_free(running.config)


def test_the_twin_is_no_robot(capsys):
    assert cli.main(["robot", "describe", "--config", "twin"]) == 2
    assert "arm.driver is 'twin'" in capsys.readouterr().err


def test_an_arm_that_is_not_there_is_named(capsys):
    standin.use()
    words = ["--set", "arm.address=127.0.0.1", "--set", "arm.port=1"]
    assert cli.main(["robot", "describe", *words]) == 2
    assert "the arm at 127.0.0.1:1 refuses the connection" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["robot", "describe", "--set", "arm.address=127.0.0.1"], ["sim", "--arm", "kortex", "--episodes", "1"]]
)
def test_without_the_wheel_the_remedy_is_named(words, monkeypatch, capsys):
    with standin.withheld(monkeypatch):
        assert cli.main(words) == 2
    assert "pip install --no-deps kortex_api" in capsys.readouterr().err


def test_every_check_says_what_moves_and_can_be_loaded():
    assert next(iter(command.CHECKS)) == "home"
    for entry in command.CHECKS.values():
        assert entry.moves
        assert entry.load().__doc__


def test_a_verdict_on_the_screen_names_its_remedy():
    judge = Judge("thing")
    assert judge.passed("good", n=1.0).line() == "PASS  thing: good"
    assert judge.failed("bad", "mend it").line().splitlines()[1].strip() == "→ mend it"
    assert (
        command.document([Verdict("thing", Word.UNSURE, "?", "again", {"n": 2.0})])["summary"]["thing.n"]["value"]
        == 2.0
    )
