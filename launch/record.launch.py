"""The service with a recorder for demonstrations: not in this version."""

from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    """Say what is missing and what can be started instead."""
    raise RuntimeError(
        "record.launch.py is not in this version of vla_ros: a later one brings the recorder and the teleoperation devices. "
        "What runs today is the MuJoCo twin: ros2 launch vla_ros sim.launch.py"
    )
