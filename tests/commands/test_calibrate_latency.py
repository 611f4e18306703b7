"""What was measured becomes settings that the configuration takes, and says what it could not be."""

import json

import numpy as np
import pytest
import yaml
from PIL import Image

from vla_ros import bringup
from vla_ros.calibration.latency import Lag, Track
from vla_ros.commands import calibrate_cell
from vla_ros.commands import calibrate_latency as calibrate
from vla_ros.commands.errors import CommandError
from vla_ros.config import load
from vla_ros.evaluation import chart

LAGS = {
    "servo.delay": Lag(0.0711, 0.0002, 1000),
    "cameras.static.latency": Lag(0.0402, 0.0005, 300),
    "cameras.wrist.latency": Lag(-0.0031, 0.0005, 300),
    "servo.gripper_delay": Lag(0.0183, 0.001, 11),
}


def test_what_was_measured_is_a_configuration(tmp_path):
    values, remarks = calibrate.settings(load(), LAGS)
    file = tmp_path / "latency.yaml"
    file.write_text(calibrate.overlay(values, LAGS, remarks), encoding="utf-8")
    config = load("twin", file)
    assert (config.servo.delay, config.servo.gripper_delay, config.servo.gain) == (0.0711, 0.0183, 4.0)
    assert (config.cameras["static"].latency, config.cameras["wrist"].latency) == (0.0402, -0.0031)
    assert file.read_text(encoding="utf-8").startswith("# Measured by `vla-ros calibrate latency`")
    assert "servo.delay: +71.1 ± 0.2 ms, n = 1000" in file.read_text(encoding="utf-8")


def test_only_what_was_measured_is_written():
    values, remarks = calibrate.settings(load(), {"cameras.static.latency": Lag(0.01, 0.001, 300)})
    text = calibrate.overlay(values, {}, remarks)
    assert yaml.safe_load(text) == {"cameras": {"static": {"latency": 0.01}}}


def test_a_cameras_lag_is_added_to_what_was_already_taken_off():
    config = load(overrides=["cameras.static.latency=0.03"])
    assert calibrate.settings(config, LAGS)[0]["cameras.static.latency"] == pytest.approx(0.0702)


def test_a_gain_that_would_oscillate_is_lowered_and_said():
    values, remarks = calibrate.settings(load(), {"servo.delay": Lag(0.15, 0.001, 1000)})
    assert values["servo.gain"] < 4
    assert any("servo.gain" in remark for remark in remarks)
    assert load(overrides=[f"{name}={value}" for name, value in values.items()]).servo.delay == 0.15


@pytest.mark.parametrize("delay", [0.25, -0.01])
def test_a_delay_that_the_servo_cannot_work_with_is_said_and_not_written(delay):
    values, remarks = calibrate.settings(load(), {"servo.delay": Lag(delay, 0.001, 1000)})
    assert values == {}
    assert "is not written" in remarks[0]


def test_a_camera_later_than_the_schema_takes_is_not_written():
    values, remarks = calibrate.settings(
        load(overrides=["cameras.static.latency=0.4"]), {"cameras.static.latency": Lag(0.3, 0.001, 300)}
    )
    assert values == {}
    assert "cameras.static.latency" in remarks[0]


def test_the_configuration_is_that_of_the_service_where_it_runs_here(tmp_path):
    told = load(overrides=[f"runtime={tmp_path}"])
    assert calibrate_cell.its_configuration(told) is told
    bringup.prepare(load(overrides=["servo.rate=200"]), tmp_path)
    assert calibrate_cell.its_configuration(told).servo.rate == 200


def test_devices_are_known_ones_in_the_order_of_the_configuration():
    config = load()
    assert calibrate.chosen(None, config) == ["static", "wrist", "arm", "gripper"]
    assert calibrate.chosen(["gripper", "static"], config) == ["static", "gripper"]
    with pytest.raises(CommandError, match="no device 'head'; known are static"):
        calibrate.chosen(["head"], config)


def test_the_document_has_every_device_with_its_interval_or_its_refusal():
    found = calibrate.Findings(lags=dict(LAGS), refusals={"servo.x": "servo.x: too dark"})
    document = json.loads(json.dumps(calibrate.document(found, {"servo.delay": 0.0711})))
    assert set(document) == {"summary", "items", "machine"}
    summary = document["summary"]["servo.delay"]
    assert summary["low"] < summary["value"] < summary["high"]
    refused = next(item for item in document["items"] if item["setting"] == "servo.x")
    assert refused["refused"].endswith("too dark")


def test_a_chart_shows_its_points_and_its_lines(tmp_path):
    times = np.linspace(0, 1, 50)
    track = Track(times, np.sin(7 * times))
    curves = [chart.Curve(track.times, track.values), chart.Curve(times, track.values, True, chart.LINE)]
    chart.draw(
        [chart.Panel("a", curves, [0.5]), chart.Panel("empty", [chart.Curve(np.array([]), np.array([]))])],
        tmp_path / "x.png",
    )
    with Image.open(tmp_path / "x.png") as picture:
        colours = {colour for _, colour in picture.getcolors(100000)}
        assert picture.size[0] == chart.WIDTH
    assert {chart.POINTS, chart.LINE, chart.MARK} <= colours
