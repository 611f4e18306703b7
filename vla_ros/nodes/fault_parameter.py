"""The parameter `fault` of a node: writing "freeze 2" to it plays that fault from now on, by the service /NODE/set_parameters.

ros2 param set /static_camera fault "freeze 2"
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterDescriptor, ParameterType, ParameterValue, SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter

from vla_ros import faults
from vla_ros.config import Config
from vla_ros.nodes.client import Client, ServiceError

NAME = "fault"
Play = Callable[[str, str, float, float], None]
"""Plays a fault: target (one of the prefixes, empty where there are none), kind, seconds, amount."""


def declare(node: Node, config: Config, play: Play, prefixes: Sequence[str] = ()) -> None:
    """Declare the parameter; from then on `play` is called for every fault that is written to it and is none of nonsense.

    With `prefixes` a fault begins with the name of its target: "feedback freeze 2". What cannot be played is refused with the reason,
    as is everything where `config.faults_allowed` is false. `play` is called in the thread of the executor.
    """

    def check(parameters: list[Parameter]) -> SetParametersResult:
        reason = "; ".join(filter(None, (_obstacle(p.value, config, prefixes) for p in parameters if p.name == NAME)))
        return SetParametersResult(successful=not reason, reason=reason)

    def changed(parameters: list[Parameter]) -> None:
        for parameter in parameters:
            if parameter.name == NAME:
                target, order = split(str(parameter.value), prefixes)
                play(target, order.kind.value, order.seconds, order.amount)

    form = f"{' or '.join(prefixes)}, {faults.FORM}" if prefixes else faults.FORM
    node.declare_parameter(NAME, "", ParameterDescriptor(description=f"a fault to be played from now on: {form}"))
    node.add_on_set_parameters_callback(check)
    node.add_post_set_parameters_callback(changed)


def split(text: str, prefixes: Sequence[str] = ()) -> tuple[str, faults.Order]:
    """Target and order of a text "[TARGET] KIND SECONDS [AMOUNT]". Raises ValueError with a remedy."""
    if not prefixes:
        return "", faults.parse_order(text)
    target, _, rest = text.strip().partition(" ")
    if target not in prefixes:
        raise ValueError(
            f"a fault here begins with {' or '.join(prefixes)}, as in {prefixes[0]} freeze 2; got {text!r}"
        )
    return target, faults.parse_order(rest)


def _obstacle(value: object, config: Config, prefixes: Sequence[str]) -> str:
    """Why a value of the parameter is refused; empty: it is not."""
    if not config.faults_allowed:
        return "faults are not allowed in this service: start it with faults_allowed=true"
    if not isinstance(value, str):
        return f"the parameter {NAME} is a text: {faults.FORM}"
    try:
        split(value, prefixes)
    except ValueError as error:
        return str(error)
    return ""


def ask(client: Client, node: str, text: str, seconds: float = 10.0) -> str:
    """Have `node` of a running service play a fault: why it refuses, empty where it does not. Raises ServiceError."""
    service = client.node.create_client(SetParameters, f"/{node}/set_parameters")
    try:
        return _asked(client, service, node, text, seconds)
    finally:
        client.node.destroy_client(service)


def _asked(client: Client, service: Any, node: str, text: str, seconds: float) -> str:
    if not client.wait(service.service_is_ready, seconds):
        raise ServiceError(
            f"no node {node!r} answers: see `ros2 node list`, and set ROS_DOMAIN_ID to the service's domain"
        )
    value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=text)
    future = service.call_async(SetParameters.Request(parameters=[ParameterMessage(name=NAME, value=value)]))
    if not client.wait(future.done, seconds):
        raise ServiceError(f"{node} did not answer within {seconds:.0f} s")
    result = future.result().results[0]
    return "" if result.successful else str(result.reason)
