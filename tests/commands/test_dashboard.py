"""`vla-ros dashboard` and what `vla-ros sim` makes of its options."""

import socket

import pytest

from vla_ros.cli import make_parser
from vla_ros.commands import dashboard, live, sim


def options(*words):
    return make_parser().parse_args(words)


def port_of(*words):
    given = options("sim", *words)
    return live.configuration(sim.with_dashboard(given, given.episodes is None)).dashboard.port


def test_sim_has_a_page_where_a_person_uses_it():
    assert port_of() > 0
    assert port_of("--no-dashboard") == 0
    assert port_of("--episodes", "3") == 0
    assert port_of("--set", "dashboard.port=8123") == 8123


def test_so_has_record():
    for words, has in ((("record", "data"), True), (("record", "data", "--episodes", "3", "--no-dashboard"), False)):
        given = options(*words)
        assert bool(live.configuration(sim.with_dashboard(given, wanted=True)).dashboard.port) is has


def test_a_taken_port_gives_way_to_a_free_one():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        taken = held.getsockname()[1]
        assert live.port_near(taken) not in (taken, 0)


def test_the_page_alone_takes_what_the_options_say(monkeypatch):
    monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)
    words = ("dashboard", "--port", "8124", "--tokens", "/etc/tokens", "--set", "limits.speed=0.1")
    config = dashboard.configuration(options(*words))
    assert (config.dashboard.port, config.dashboard.tokens, config.limits.speed) == (8124, "/etc/tokens", 0.1)


def test_the_page_alone_has_the_configuration_of_the_running_service(monkeypatch, tmp_path):
    from vla_ros import bringup, runtime
    from vla_ros.config import load

    bringup.prepare(load("twin", overrides=["limits.speed=0.07"]), tmp_path)
    monkeypatch.setenv("ROS_DOMAIN_ID", "42")
    monkeypatch.setattr(runtime, "folder", lambda config: tmp_path)
    assert dashboard.configuration(options("dashboard")).limits.speed == pytest.approx(0.07)
