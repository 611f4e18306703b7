"""The parameter `fault`: what it takes, what it refuses, and what it hands on."""

import pytest
from rcl_interfaces.srv import DescribeParameters
from rclpy.node import Node
from rclpy.parameter import Parameter

from vla_ros.nodes import fault_parameter
from vla_ros.nodes.client import Client, ServiceError

from .bed import small_config


class Sides(Node):
    """A node with two things that can break."""

    def __init__(self, prefixes=("feedback", "command"), allowed=True, **arguments):
        super().__init__("sides", **arguments)
        self.played = []
        config = small_config(faults_allowed=str(allowed).lower())
        fault_parameter.declare(self, config, lambda *fault: self.played.append(fault), prefixes)


class Plain(Sides):
    """A node with one."""

    def __init__(self, **arguments):
        super().__init__((), **arguments)


class Forbidding(Sides):
    """A node of a service in which faults are not allowed."""

    def __init__(self, **arguments):
        super().__init__((), False, **arguments)


def write(node, value):
    result = node.set_parameters([Parameter("fault", value=value)])[0]
    return result.successful, result.reason


def test_a_fault_is_played_with_its_target(ros):
    node = ros.add(Sides)
    assert write(node, "feedback freeze 2") == (True, "")
    assert write(node, "command delay 1.5 0.2") == (True, "")
    assert node.played == [("feedback", "freeze", 2.0, 0.0), ("command", "delay", 1.5, 0.2)]


def test_the_same_fault_can_be_asked_for_again(ros):
    node = ros.add(Plain)
    assert node.played == []
    for _ in range(2):
        assert write(node, "drop 2 0.5")[0]
    assert node.played == [("", "drop", 2.0, 0.5)] * 2


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        (Sides, "freeze 2", "begins with feedback or command"),
        (Sides, "feedback melt 2", "'melt' is no fault"),
        (Plain, "", "KIND SECONDS [AMOUNT]"),
        (Plain, "delay 2", "AMOUNT"),
        (Plain, 2.0, "text"),
        (Forbidding, "freeze 2", "faults_allowed"),
    ],
)
def test_what_cannot_be_played_is_refused_with_the_reason(ros, kind, value, says):
    node = ros.add(kind)
    done, reason = write(node, value)
    assert not done
    assert says in reason or "type" in reason
    assert node.played == []


def test_its_description_tells_the_form(ros):
    ros.add(Sides)
    request = DescribeParameters.Request(names=["fault"])
    answer = ros.call(ros.node(), DescribeParameters, "/sides/describe_parameters", request)
    assert "feedback or command, KIND SECONDS [AMOUNT]" in answer.descriptors[0].description
    assert not answer.descriptors[0].read_only


def test_a_client_asks_for_it_by_the_standard_service(ros):
    node = ros.add(Sides)
    with Client(lambda: ros.executor.spin_once(timeout_sec=0.01)) as client:
        assert fault_parameter.ask(client, "sides", "command drop 3 0.5") == ""
        assert "begins with" in fault_parameter.ask(client, "sides", "drop 3 0.5")
        with pytest.raises(ServiceError, match="no node 'nobody'"):
            fault_parameter.ask(client, "nobody", "freeze 2", seconds=0.2)
    assert node.played == [("command", "drop", 3.0, 0.5)]
