"""The configuration as ROS parameters: read, described, and refused by name."""

import pytest
import yaml
from rclpy.node import Node
from rclpy.parameter import Parameter

from vla_ros import bringup
from vla_ros.config import ConfigError, load
from vla_ros.config.load import flatten
from vla_ros.nodes import parameters
from vla_ros.nodes.describe import describe


class Bare(Node):
    """A node that reads its parameters and nothing else."""

    def __init__(self, **arguments):
        super().__init__("bare", **arguments)
        self.config = parameters.read(self, {"camera": "which"})


def test_without_parameters_the_defaults_hold(ros):
    assert ros.add(Bare).config == load("twin")


def test_parameters_override_by_their_dotted_name(ros):
    node = ros.add(Bare, **{"limits.speed": 0.1, "cameras.wrist.rate": 15.0, "twin.seed": 7})
    assert (node.config.limits.speed, node.config.cameras["wrist"].rate, node.config.twin.seed) == (0.1, 15.0, 7)


def test_a_whole_number_is_as_good_as_a_real_one(ros):
    assert ros.add(Bare, **{"servo.gain": 3}).config.servo.gain == 3.0


def test_everything_is_declared_with_its_description_and_cannot_be_changed(ros):
    node = ros.add(Bare)
    for name in flatten(node.config):
        assert node.has_parameter(name)
    assert node.describe_parameter("limits.speed").description == "m/s"
    result = node.set_parameters([Parameter("limits.speed", value=0.2)])[0]
    assert not result.successful


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("limits.sped", 0.1, "limits.sped"),
        ("cameras.wrist.fz", 1.0, "cameras.wrist.fz"),
        ("limits.speed", 7.0, "limits.speed"),
        ("servo.rate", "fast", "servo.rate"),
        ("config", "/no/such.yaml", "/no/such.yaml"),
    ],
)
def test_an_unknown_or_bad_parameter_is_named(ros, name, value, says):
    with pytest.raises(ConfigError) as error:
        ros.add(Bare, **{name: value})
    assert says in str(error.value)


@pytest.mark.parametrize("node", ["camera", "policy", "arm"])
def test_a_node_with_an_unknown_parameter_ends_with_2_and_names_it(processes, node):
    process = processes.start(f"vla_ros.nodes.{node}", "--ros-args", "-p", "limits.sped:=0.1")
    assert process.ends() == 2
    assert "limits.sped" in process.text
    assert "Traceback" not in process.text


def test_a_camera_that_another_node_publishes_is_refused(processes):
    words = ["-p", "camera:=wrist", "-p", "cameras.wrist.driver:=topic"]
    process = processes.start("vla_ros.nodes.camera", "--ros-args", *words)
    assert process.ends() == 2
    assert "opens no device" in process.text


def test_a_camera_that_is_not_configured_is_refused_with_those_that_are(processes):
    process = processes.start("vla_ros.nodes.camera", "--ros-args", "-p", "camera:=front")
    assert process.ends() == 2
    assert "static, wrist" in process.text


def test_the_file_that_bringup_writes_gives_every_node_the_same_configuration(ros, tmp_path):
    config = bringup.prepare(load("twin", overrides=["limits.speed=0.12"]), tmp_path)
    written = yaml.safe_load((tmp_path / bringup.PARAMETERS).read_text())["/**"]["ros__parameters"]
    assert ros.add(Bare, **flatten(written)).config == config


def test_an_empty_list_in_that_file_is_read_as_one(processes, tmp_path):
    assert bringup.prepare(load("twin"), tmp_path).cameras["static"].distortion == ()
    words = ["--ros-args", "--params-file", str(tmp_path / bringup.PARAMETERS), "-p", "camera:=front"]
    process = processes.start("vla_ros.nodes.camera", *words)
    assert process.ends() == 2
    assert "static, wrist" in process.text  # refused for its name alone


def test_settings_are_described_through_sections_and_names():
    assert describe("cameras.front.rate") == "frames per second"
    assert describe("no.such") == ""
