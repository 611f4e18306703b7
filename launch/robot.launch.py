"""The whole service with the real Gen3 and its cameras: `ros2 launch vla_ros robot.launch.py [calibration:=…] [speed:=0.03] …`.

The arm starts disarmed and stays so until somebody enables it (`vla-ros enable`), also where an instruction is given here.
docs/robot-setup.md comes before the first launch.
"""

from launch import LaunchDescription

from vla_ros.nodes import launching

ARGUMENTS = {
    "config": ("robot", "robot, or the path of a YAML file; several with spaces between, the later ones winning"),
    "calibration": ("", "folder that `vla-ros calibrate` wrote; empty: none, the configuration's own numbers"),
    "policy": (
        "",
        "a bundle's folder or name, constant:x,y,z, or replay:DATASET#EPISODE; empty: policy.bundle of the configuration",
    ),
    "cameras": ("", "driver of every camera, as topic for nodes of others; empty: as the configuration says"),
    "address": ("", "of the arm; empty: arm.address of the configuration"),
    "speed": ("", "m/s, the cap of the tool's speed, as 0.03 for a first motion; empty: limits.speed"),
    "dashboard": ("8080", "port of the dashboard on 127.0.0.1; 0: none"),
    "instruction": ("", "what to do once somebody has enabled the arm; empty: wait for /vla/instruction"),
}
SETTINGS = {"policy": "policy.bundle", "address": "arm.address", "speed": "limits.speed", "dashboard": "dashboard.port"}


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; the rest follows from their values."""
    return launching.description(ARGUMENTS, SETTINGS, enable=False)
