"""The configuration: what is read, what is refused, and that a refusal says where and why."""

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.config import Config, ConfigError, load
from vla_ros.config.load import flatten, merge, unflatten, validate

BAD = [
    ("limits.speed=0.5", "limits.speed: Input should be less than or equal to 0.25 (got 0.5)"),
    ("limits.speed=0", "limits.speed: Input should be greater than 0 (got 0)"),
    ("limits.speed=fast", "limits.speed: Input should be a valid number"),
    ("limits.jerk=.nan", "limits.jerk: "),
    ("limits.joint_margin=.inf", "limits.joint_margin: "),
    ("limits.manipulability=1", "limits.manipulability: Input should be less than or equal to 0.06"),
    ("limits.sped=0.1", "limits.sped: unknown parameter; see `vla-ros config`"),
    ("limits=3", "limits: "),
    ("workspace.low=[.nan, 0, 0]", "workspace.low.0: Input should be a finite number"),
    ("workspace.low=[0, 0]", "workspace.low.2: Field required"),
    ("servo.rate=10", "servo.rate: Input should be greater than or equal to 100"),
    ("servo.delay=0.5", "servo.delay: Input should be less than or equal to 0.2"),
    ("servo.gripper_rate=20", "servo.gripper_rate: "),
    ("servo.rate=300", "servo.rate: Input should be less than or equal to 250"),
    ("servo.merge=jump", "servo.merge: Input should be 'blend', 'replace' or 'ensemble'"),
    ("twin.delays.lidar=0.1", "twin.delays.lidar: no such device; known are command, feedback, gripper, static, wrist"),
    ("faults.one={target: lidar, kind: freeze}", "faults.one.target 'lidar' is none of camera.static, camera.wrist"),
    ("faults.one={target: policy, kind: melt}", "faults.one.kind: Input should be 'delay'"),
    ("faults.one={target: policy, kind: drop, amount: 2}", "faults.one.amount of drop is a share of at most 1, got 2"),
    ("faults.one={target: policy, kind: delay, amount: 99}", "faults.one.amount: Input should be less than or equal"),
    ("arm.driver=ur5", "arm.driver: Input should be 'twin' or 'kortex'"),
    ("arm.home=[0, 0]", "arm.home: Tuple should have at least 7 items"),
    ("cameras.static.rate=0", "cameras.static.rate: "),
    ("cameras.static.quaternion=[0, 0, 0, 2]", "cameras.static: quaternion"),
    ("cameras.static.roi=[0, 0, 4000, 100]", "leaves the sensor of 1280×720 pixels"),
    ("cameras.static.roi=[0, 0, 481, 320]", "is no multiple of binning 4"),
    ("cameras.wrist.exposure=0.05", "exposure of 0.05 s is longer than a frame at rate 30 is (0.0333 s)"),
    ("cameras.wrist.gain=20", "gain 20 without exposure"),
    ("cameras.wrist.white_balance=-1", "cameras.wrist.white_balance: "),
    ("cameras.wrist.serial=034422070213", "a serial number of digits needs quotes"),
    ("cameras.Top.topic=/top", "cameras.Top.[key]: "),
    ("cameras.wrist.topic=/static_camera", "two cameras share a topic"),
    ("reference_camera=top", "reference_camera 'top' is none of cameras ['static', 'wrist']"),
]
CONTRADICTIONS = [
    ("limits.force_stop=10", "limits.force_retreat must not be larger than limits.force_stop (20 and 10)"),
    ("limits.stop_acceleration=0.2", "limits.acceleration must not be larger than limits.stop_acceleration"),
    ("limits.stop_jerk=1", "limits.jerk must not be larger than limits.stop_jerk"),
    ("limits.acceleration=0.01", "braking from limits.speed takes longer than deadlines.chunk_disarm"),
    ("workspace.low=[0.6, 0, 0]", "is not below workspace.high"),
    ("workspace.grasp_clearance=0.02", "workspace.grasp_clearance is larger than workspace.transit_clearance"),
    ("workspace.table=0.38", "leaves no room for the fingers above workspace.table 0.38"),
    ("deadlines.chunk_hold=3", "deadlines.chunk_hold must be shorter than deadlines.chunk_disarm (3 s and 2 s)"),
    ("deadlines.camera_hold=1", "deadlines.camera_hold must be shorter than deadlines.camera_disarm"),
    ("deadlines.feedback_hold=0.2", "deadlines.feedback_hold must be shorter than deadlines.feedback_stop"),
    ("deadlines.servo_silent=0.6", "deadlines.servo_silent must be shorter than deadlines.connection"),
    ("deadlines.feedback_hold=0.015", "deadlines.feedback_hold is shorter than two periods of servo.rate 100"),
    ("deadlines.servo_silent=0.015", "deadlines.servo_silent is shorter than two periods"),
    ("arm.command_rate=200", "arm.command_rate is higher than servo.rate"),
    ("deadlines.teleop=0.01", "deadlines.teleop is shorter than two periods of servo.rate 100"),
    ("servo.gain=5", "servo.gain 5.0 oscillates with a delay of 0.08 s: at most 4.60"),
]


@pytest.mark.parametrize(("override", "text"), BAD + CONTRADICTIONS)
def test_a_refusal_names_the_field_and_the_bound(override, text):
    with pytest.raises(ConfigError) as refusal:
        load(overrides=[override])
    assert text in str(refusal.value)
    assert override in str(refusal.value)  # where it came from
    assert len(str(refusal.value)) < 1500


def test_every_bad_field_is_named_at_once():
    with pytest.raises(ConfigError) as refusal:
        load(overrides=["limits.speed=9", "servo.rate=1"])
    assert "limits.speed" in str(refusal.value)
    assert "servo.rate" in str(refusal.value)


@pytest.mark.parametrize("override", ["", "=1", "limits.speed", "limits.speed: 3"])
def test_an_override_without_name_and_value_is_refused(override):
    with pytest.raises(ConfigError, match=r"is not of the form NAME=VALUE, as in limits\.speed=0\.1"):
        load(overrides=[override])


def test_an_override_that_is_not_yaml_is_refused():
    with pytest.raises(ConfigError, match="the value is not YAML"):
        load(overrides=["runtime=["])


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"limits: [", "is not YAML"),
        (b"\xff\xfe\x00", "is not YAML"),
        (b"- 1", "must hold a mapping of settings, it holds list"),
        (b"", "must hold a mapping of settings, it holds NoneType"),
        (b"limits: {speed: 9}", "limits.speed"),
    ],
)
def test_a_bad_file_is_named(tmp_path, content, text):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as refusal:
        load("twin", path)
    assert text in str(refusal.value)
    assert str(path) in str(refusal.value)


def test_a_missing_file_is_named():
    with pytest.raises(ConfigError, match=r"cannot read configuration /no/such\.yaml: No such file"):
        load("/no/such.yaml")


def test_later_sources_win_and_overrides_win_over_all(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("limits: {speed: 0.1, jerk: 4.0}\n")
    config = load("twin", path, overrides=["limits.jerk=3"])
    assert (config.limits.speed, config.limits.jerk) == (0.1, 3.0)
    assert config.limits.acceleration == load().limits.acceleration
    assert set(config.cameras) == {"static", "wrist"}


def test_the_twin_is_the_default():
    assert load() == load("twin")
    assert load().arm.driver == "twin"


def test_nothing_changes_after_reading():
    with pytest.raises(ValueError, match="frozen"):
        load().limits.speed = 0.2  # type: ignore[misc]


def test_flatten_and_unflatten_are_inverse():
    config = load(overrides=["limits.speed=0.12", "twin.seed=4"])
    leaves = flatten(config)
    assert leaves["limits.speed"] == 0.12
    assert leaves["cameras.wrist.rate"] == 30.0
    assert leaves["workspace.low"] == [0.35, -0.275, 0.0]
    assert not any(isinstance(leaf, dict | tuple) for leaf in leaves.values())
    assert validate(unflatten(leaves), "leaves") == config


names = st.text("abc", min_size=1, max_size=3)
nested = st.recursive(st.integers(), lambda inner: st.dictionaries(names, inner, min_size=1, max_size=3), max_leaves=8)


@given(st.dictionaries(names, nested, max_size=4))
def test_unflatten_undoes_flatten(values):
    assert unflatten(flatten(values)) == values


@given(st.dictionaries(names, nested, max_size=3), st.dictionaries(names, nested, max_size=3))
def test_merge_changes_neither_and_keeps_the_top(base, top):
    before = repr((base, top))
    merged = merge(base, top)
    assert repr((base, top)) == before
    leaves = flatten(merged)
    assert all(leaves[name] == leaf for name, leaf in flatten(top).items())
    assert merge(merged, top) == merged


def test_the_gain_may_be_all_that_the_delay_permits():
    bound = 1 / (math.e * 0.08)
    assert load(overrides=[f"servo.gain={bound * 0.999}"]).servo.gain < bound


def test_a_serial_number_of_digits_keeps_its_leading_zero_through_files_and_parameters():
    config = load(overrides=["cameras.wrist.serial='034422070213'"])
    text = yaml.safe_dump(unflatten(flatten(config)), allow_unicode=True)
    assert validate(yaml.safe_load(text), "file").cameras["wrist"].serial == "034422070213"


def test_every_setting_but_plain_names_says_what_it_is_or_has_an_obvious_unit():
    schema = Config.model_json_schema()["$defs"]
    silent = [
        f"{section}.{name}"
        for section in ("Limits", "Workspace", "Deadlines", "ServoConfig")
        for name, field in schema[section]["properties"].items()
        if "description" not in field and name not in ("low", "high")
    ]
    assert silent == []
