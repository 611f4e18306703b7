"""What the launch files of a service have in common: its processes as launch actions. Imported by `launch/*.launch.py` alone."""

from __future__ import annotations

import atexit
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.events import matches_action
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from lifecycle_msgs.msg import Transition

from vla_ros import bringup
from vla_ros.config import Config, load
from vla_ros.config.load import flatten
from vla_ros.nodes.place import Place, wanted_domain

Arguments = Mapping[str, tuple[str, str]]
"""Launch arguments: name -> (default, description)."""


def description(
    arguments: Arguments, settings: Mapping[str, str], enable: bool, needs: Sequence[str] = ()
) -> LaunchDescription:
    """A launch file: declares the arguments, and starts the service that they describe.

    `settings` are the arguments that set one setting each: name -> setting. `enable` tells whether an instruction that is given
    with the launch also enables the arm. `needs` are settings that must not be empty.
    """
    declared = [
        DeclareLaunchArgument(name, default_value=value, description=text) for name, (value, text) in arguments.items()
    ]

    def start(context: LaunchContext) -> list[Any]:
        given = {name: LaunchConfiguration(name).perform(context) for name in arguments}
        config = configuration(given, settings)
        _check(config, needs)
        return service(config, given["instruction"], enable)

    return LaunchDescription([*declared, OpaqueFunction(function=start)])


def _check(config: Config, needs: Sequence[str]) -> None:
    """Raises RuntimeError that names the settings which are empty."""
    values = flatten(config)
    empty = [name for name in needs if not values[name]]
    if empty:
        raise RuntimeError(f"nothing was started: {' and '.join(empty)} must not be empty, see --show-args")


def configuration(given: Mapping[str, str], settings: Mapping[str, str]) -> Config:
    """The configuration that the launch arguments describe. Raises ConfigError.

    `config` may name several sources, quoted as in a shell, the later ones winning; `calibration` is a folder that
    `vla-ros calibrate` wrote; `cameras` is the driver of every camera.
    """
    sources = shlex.split(given["config"])
    chosen = {setting: given[name] for name, setting in settings.items() if given[name]}
    if given.get("cameras"):
        chosen |= {f"cameras.{name}.driver": given["cameras"] for name in load(*sources).cameras}
    overrides = [f"{setting}={value}" for setting, value in chosen.items()]
    return load(*sources, overrides=overrides, calibration=given.get("calibration") or None)


def service(config: Config, instruction: str, enable: bool) -> list[Any]:
    """The processes that vla_ros.bringup names, in the environment that it names.

    Raises RuntimeError where the configuration cannot be used on this machine, before anything is started.
    """
    obstacles = bringup.obstacles(config)
    if obstacles:
        raise RuntimeError("\n".join(["nothing was started:", *obstacles]))
    place = Place(config, wanted_domain() or 0)
    atexit.register(place.leave)
    variables = place.environment()
    changed = {name: value for name, value in variables.items() if os.environ.get(name) != value}
    actions: list[Any] = [SetEnvironmentVariable(name, value) for name, value in changed.items()]
    then = [say(instruction, enable)] if instruction else []
    for process in bringup.processes(place.config):
        actions += started(process, place.runtime, then)
    return actions


def started(process: bringup.Process, folder: Path, then: Sequence[Any] = ()) -> list[Any]:
    """One process, and `then` once it is active, if it is a lifecycle node.

    When a critical one ends, so does the service. The kernel ends it when `ros2 launch` dies without doing so.
    """

    def ended(event: Any, context: LaunchContext) -> list[Any]:
        return [] if context.is_shutdown or not process.critical else [Shutdown(reason=f"{process.name} ended")]

    command = process.command(folder, os.getpid())
    ending = {"output": "screen", "on_exit": ended}
    if process.kind != "lifecycle":
        return [ExecuteProcess(cmd=command, name=process.name, **ending)]
    words = command[1:]
    arguments = words[: words.index("--ros-args")]
    node = LifecycleNode(
        executable=command[0],
        arguments=arguments,
        name=process.name,
        namespace="",
        parameters=[str(folder / bringup.PARAMETERS)],
        **ending,
    )
    return [node, *brought_up(node, then)]


def brought_up(node: LifecycleNode, then: Sequence[Any]) -> Sequence[Any]:
    """Configure the node once it is there, activate it once it is configured, `then` once it is active; end where it refuses."""
    configure = EmitEvent(event=change(node, Transition.TRANSITION_CONFIGURE))
    activate = OnStateTransition(
        target_lifecycle_node=node,
        start_state="configuring",
        goal_state="inactive",
        entities=[EmitEvent(event=change(node, Transition.TRANSITION_ACTIVATE))],
    )
    refused = OnStateTransition(
        target_lifecycle_node=node,
        start_state="configuring",
        goal_state="unconfigured",
        entities=[Shutdown(reason="the policy cannot be loaded")],
    )
    active = OnStateTransition(target_lifecycle_node=node, goal_state="active", entities=list(then))
    return [*map(RegisterEventHandler, (activate, refused, active)), configure]


def change(node: LifecycleNode, transition: int) -> ChangeState:
    """The event that asks a lifecycle node for a transition."""
    return ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition)


def say(instruction: str, enable: bool) -> ExecuteProcess:
    """Give the instruction; with `enable`, enable the arm before, as soon as nothing is in the way."""
    options = ["--enable"] if enable else []
    command = [sys.executable, "-m", "vla_ros.cli", "say", *options, instruction]
    return ExecuteProcess(cmd=command, name="say", output="screen")
