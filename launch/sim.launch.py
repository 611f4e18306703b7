"""The whole service with the MuJoCo twin: `ros2 launch vla_ros sim.launch.py [policy:=…] [renderer:=…] [seed:=…]`."""

from launch import LaunchDescription

from vla_ros.nodes import launching

ARGUMENTS = {
    "config": ("twin", "twin, or the path of a YAML file; several with spaces between, the later ones winning"),
    "policy": (
        "",
        "a bundle's folder or name, constant:x,y,z, or replay:DATASET#EPISODE; empty: policy.bundle of the configuration",
    ),
    "renderer": ("", "auto, ray or gl; empty: twin.renderer of the configuration"),
    "seed": ("", "of the first episode; empty: twin.seed of the configuration"),
    "dashboard": ("8080", "port of the dashboard on 127.0.0.1; 0: none"),
    "instruction": ("", "what to do, at once; empty: wait for /vla/instruction"),
}
SETTINGS = {"policy": "policy.bundle", "renderer": "twin.renderer", "seed": "twin.seed", "dashboard": "dashboard.port"}


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; the rest follows from their values."""
    return launching.description(ARGUMENTS, SETTINGS, enable=True)
