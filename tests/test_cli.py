"""The command line: what it offers, how soon, and how it says no."""

import subprocess
import sys

import pytest

from vla_ros import cli
from vla_ros.commands import clients, demo, film
from vla_ros.commands.bench import CONSTANT
from vla_ros.commands.errors import explained
from vla_ros.commands.measure import Figures

COMMANDS = ["sim", "demo", "say", "enable", "disable", "stop", "reset", "config", "bench", "demos", "eval"]
COMMANDS += ["fault", "faults", "soak", "latency", "calibrate", "doctor", "robot", "teleop", "record", "episodes"]


def run(*words):
    done = subprocess.run([sys.executable, "-m", "vla_ros.cli", *words], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_help_lists_every_command():
    status, text, _ = run("--help")
    assert status == 0
    listed = {line.split()[0] for line in text.splitlines() if line.startswith("    ") and line.strip()}
    assert set(COMMANDS) <= listed


@pytest.mark.parametrize(
    "command",
    [
        *COMMANDS,
        "bench loop",
        "bench kortex",
        "bench policy",
        "policy verify",
        "policy quantise",
        "policy build-engine",
        "policy import-robovlms",
        "policy check-parity",
        "calibrate latency",
        "robot describe",
        "robot home",
        "robot check",
        "episodes check",
        "episodes trim",
    ],
)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([*command.split(), "--help"])
    assert ended.value.code == 0
    assert "usage: vla-ros" in capsys.readouterr().out


def test_help_imports_nothing_heavy():
    code = (
        "import sys, contextlib\nfrom vla_ros import cli\n"
        "with contextlib.suppress(SystemExit): cli.main(['--help'])\n"
        "print(sorted({'rclpy', 'mujoco', 'torch', 'onnxruntime', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_a_room_whose_optional_packages_are_missing_is_left_out(monkeypatch, tmp_path):
    (tmp_path / "rich_room.py").write_text("import no_such_optional_package\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(cli, "ROOMS", ("vla_ros.commands.settings", "rich_room"))
    assert cli.make_parser().parse_args(["config"]).run


def test_a_room_that_is_broken_is_not_left_out(monkeypatch, tmp_path):
    (tmp_path / "broken_room.py").write_text("import vla_ros.no_such_module\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(cli, "ROOMS", ("broken_room",))
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        cli.make_parser()


def test_config_lists_settings_with_their_meaning(capsys):
    assert cli.main(["config", "limits.speed", "--set", "limits.speed=0.1"]) == 0
    text = capsys.readouterr().out
    assert "limits.speed" in text
    assert "0.1" in text
    assert "m/s" in text


def test_names_of_settings_are_shown_whole_on_a_narrow_screen(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    status, text, _ = run("config", "workspace.transit_clearance")
    assert status == 0
    assert "…" not in text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["config", "--set", "limits.sped=1"], "limits.sped"),
        (["config", "--config", "/no/such.yaml"], "/no/such.yaml"),
        (["sim", "--config", "robot"], "twin only"),
        (["sim", "--policy", "no_such_bundle"], "no_such_bundle"),
        (["sim", "--set", "servo.rate=7"], "servo.rate"),
        (["eval", "--policy", "."], "manifest.yaml"),
        (["eval", "--seeds", "5:2"], "names no seeds"),
        (["eval", "--control", "nothing"], "blank-cameras"),
        (["eval", "--policy", "expert", "--record"], "--record"),
        (["demos", "--output", __file__, "--seeds", "0:1"], "is a file"),
    ],
)
def test_what_cannot_be_done_is_said_without_a_traceback(words, says):
    status, _, text = run(*words)
    assert status == 2
    assert says in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 2, "vla_ros[train]"),
        (OSError(28, "No space left on device", "out.json"), 1, "No space left on device: out.json"),
    ],
)
def test_what_the_machine_lacks_is_said_without_a_traceback(error, status, says, capsys):
    def command():
        raise error

    assert explained(command) == status
    assert says in capsys.readouterr().err


def test_a_mistake_of_ours_keeps_its_traceback():
    def command():
        raise ModuleNotFoundError("No module named 'vla_ros.typo'", name="vla_ros.typo")

    with pytest.raises(ModuleNotFoundError):
        explained(command)


def test_the_only_service_of_the_machine_is_the_one_meant(monkeypatch):
    from vla_ros.nodes import domain

    monkeypatch.setenv("ROS_DOMAIN_ID", "")
    monkeypatch.setattr(domain, "claimed", lambda: [17])
    clients.choose_domain(None)
    assert clients.os.environ["ROS_DOMAIN_ID"] == "17"
    clients.choose_domain(18)
    assert clients.os.environ["ROS_DOMAIN_ID"] == "18"


def test_a_claimed_domain_is_seen_by_others_and_free_again_afterwards():
    from vla_ros.nodes import domain
    from vla_ros.runtime import RuntimeBusyError

    number, held = domain.claim()
    assert number in domain.claimed()
    assert not domain.is_free(number)
    with pytest.raises(RuntimeBusyError, match=f"domain {number}"):
        domain.claim(number)
    held.close()
    assert domain.is_free(number)


def test_figures_bound_a_quantile_by_the_order_of_the_values():
    figures = Figures("x", "", list(range(1000)))
    summary = figures.summary()
    assert summary["x_p50"]["low"] < summary["x_p50"]["value"] < summary["x_p50"]["high"]
    assert 460 < summary["x_p50"]["low"] < 480
    assert summary["x_max"] == {"value": 999.0, "low": 999, "high": 999.0, "n": 1000}
    assert Figures("y", "", []).summary()["y_p99"] == {"value": None, "low": None, "high": None, "n": 0}


def test_a_contact_sheet_spreads_its_pictures_from_the_first_to_the_last():
    assert demo._spread(list(range(11))) == [0, 2, 4, 6, 8, 10]
    assert demo._spread([1, 2]) == [1, 2]


def test_a_film_shows_the_twin_both_cameras_and_the_words(tmp_path):
    import av

    from vla_ros.config import load
    from vla_ros.twin.physics import Twin

    config = load("twin")
    twin = Twin(config, 3)
    shot = film.Shot(twin.data.qpos.copy(), twin.episode.look(), ("pick up the red cube", "active: ok"))
    assert film.develop([shot, shot], config, tmp_path / "film.mp4") == 2
    with av.open(str(tmp_path / "film.mp4")) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 2
    assert (frames[0].height, frames[0].width) == film.SHAPE


def test_the_constant_policy_of_the_bench_can_be_parsed():
    from vla_ros.policy.constant import parse_constant

    assert parse_constant(CONSTANT)
