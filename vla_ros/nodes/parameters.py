"""The configuration schema as ROS parameters: the same names with dots, read-only, validated as one.

Every node takes them all, from `--params-file` or `-p`. The parameter `config` names the file whose values are the defaults: `twin`,
`robot`, or a path.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node

from vla_ros.config import Config, ConfigError
from vla_ros.config import load as load_config
from vla_ros.config.load import flatten, merge, unflatten, validate
from vla_ros.nodes.describe import describe

_OF_ROS = ("use_sim_time", "start_type_description_service", "qos_overrides.")
_BASE = "config"
_BY_NAME = ("cameras.", "faults.", "twin.delays.")
"""Sections whose keys are names of the user's; the schema says whether they fit."""


def read(node: Node, own: Mapping[str, str] | None = None) -> Config:
    """The configuration that the node was started with, declared as its parameters.

    `own` are parameters of this node alone, by name with a description; they are declared as strings. Raises ConfigError that
    names an unknown parameter or a bad value.
    """
    if node.get_parameter("use_sim_time").value:
        raise ConfigError("use_sim_time is true: deadlines need a clock that does not stop or jump; start without it")
    own = dict(own or {})
    # rcl reads an empty list as a parameter without a value
    given = {name: [] if p.value is None else p.value for name, p in node._parameter_overrides.items()}
    given = {name: value for name, value in given.items() if not name.startswith(_OF_ROS)}
    for name, text in ({_BASE: "file of the defaults: twin, robot, or a path"} | own).items():
        default = "twin" if name == _BASE else ""
        node.declare_parameter(name, default, ParameterDescriptor(description=text, read_only=True))
        given.pop(name, None)
    config = _resolve(str(node.get_parameter(_BASE).value), given)
    for name, value in flatten(config).items():
        descriptor = ParameterDescriptor(description=describe(name), read_only=True, dynamic_typing=True)
        node.declare_parameter(name, value, descriptor, ignore_override=True)
    return config


def _resolve(base: str, given: Mapping[str, Any]) -> Config:
    defaults = load_config(base).model_dump()
    _refuse_unknown(given, defaults)
    return validate(merge(defaults, unflatten(given)), "ROS parameters")


def _refuse_unknown(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    known = flatten(defaults)
    unknown = sorted(name for name in given if name not in known and not name.startswith(_BY_NAME))
    if unknown:
        raise ConfigError(f"unknown parameter {', '.join(unknown)}; see `vla-ros config` for the known ones")
