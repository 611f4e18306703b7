"""The whole service with the MuJoCo twin: `ros2 launch vla_ros sim.launch.py [policy:=…] [renderer:=…] [seed:=…]`."""

import atexit
import os
import sys

from launch import LaunchDescription
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
from vla_ros.config import load
from vla_ros.nodes.place import Place, wanted_domain

ARGUMENTS = {
    "config": ("twin", "twin, or the path of a YAML file"),
    "policy": ("", "a bundle's folder or name, or constant:x,y,z; empty: policy.bundle of the configuration"),
    "renderer": ("", "auto, ray or gl; empty: twin.renderer of the configuration"),
    "seed": ("", "of the first episode; empty: twin.seed of the configuration"),
    "instruction": ("", "what to do; empty: wait for /vla/instruction"),
}
SETTINGS = {"policy": "policy.bundle", "renderer": "twin.renderer", "seed": "twin.seed"}


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; the rest follows from their values."""
    arguments = [
        DeclareLaunchArgument(name, default_value=value, description=text) for name, (value, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=start)])


def start(context):
    """The processes that vla_ros.bringup names, in the environment that it names."""
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    overrides = [f"{setting}={given[name]}" for name, setting in SETTINGS.items() if given[name]]
    place = Place(load(given["config"], overrides=overrides), wanted_domain() or 0)
    atexit.register(place.leave)
    variables = place.environment()
    changed = {name: value for name, value in variables.items() if os.environ.get(name) != value}
    actions = [SetEnvironmentVariable(name, value) for name, value in changed.items()]
    for process in bringup.processes(place.config):
        actions += started(process, place.runtime)
    return actions + (say(given["instruction"]) if given["instruction"] else [])


def started(process, folder):
    """One process; when it ends, so does the service. The kernel ends it when `ros2 launch` dies without doing so."""

    def ended(event, context):
        return [] if context.is_shutdown else [Shutdown(reason=f"{process.name} ended")]

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
    return [node, *brought_up(node)]


def brought_up(node):
    """Configure the node once it is there, activate it once it is configured, end where it refuses."""
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
    return [RegisterEventHandler(activate), RegisterEventHandler(refused), configure]


def change(node, transition):
    """The event that asks a lifecycle node for a transition."""
    return ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition)


def say(instruction):
    """Enable the arm as soon as nothing is in the way, and give the instruction."""
    command = [sys.executable, "-m", "vla_ros.cli", "say", "--enable", instruction]
    return [ExecuteProcess(cmd=command, name="say", output="screen")]
