"""The whole service with a recorder: `ros2 launch vla_ros record.launch.py output:=data/cubes tasks:="['pick up the red cube']"`.

The twin by default; config:=robot for the real one. The arm starts disarmed and stays so until somebody enables it. Move it with
`vla-ros teleop` in a terminal, or with device:=joy, gamepad or spacemouse. docs/recording.md has the buttons.
"""

from launch import LaunchDescription

from vla_ros.nodes import launching

ARGUMENTS = {
    "config": ("twin", "twin, robot, or the path of a YAML file; several with spaces between, the later ones winning"),
    "output": ("", "folder of the dataset, made or appended to; empty: record.output of the configuration"),
    "tasks": ("", "instructions, as a list in YAML: ['pick up the red cube', 'push it']; empty: record.tasks"),
    "device": ("", "joy, gamepad or spacemouse; keyboard: `vla-ros teleop` in a terminal; empty: teleop.device"),
    "calibration": ("", "folder that `vla-ros calibrate` wrote; empty: none, the configuration's own numbers"),
    "policy": ("", "a bundle's folder or name, for interventions; empty: policy.bundle of the configuration"),
    "cameras": ("", "driver of every camera, as topic for nodes of others; empty: as the configuration says"),
    "address": ("", "of the arm; empty: arm.address of the configuration"),
    "speed": ("", "m/s, the cap of the tool's speed; empty: limits.speed"),
    "dashboard": ("8080", "port of the dashboard on 127.0.0.1; 0: none"),
    "instruction": ("", "for the policy, at once; empty: wait for /vla/instruction"),
}
SETTINGS = {
    "output": "record.output",
    "tasks": "record.tasks",
    "device": "teleop.device",
    "policy": "policy.bundle",
    "address": "arm.address",
    "speed": "limits.speed",
    "dashboard": "dashboard.port",
}


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; the rest follows from their values."""
    return launching.description(ARGUMENTS, SETTINGS, enable=False, needs=("record.output", "record.tasks"))
