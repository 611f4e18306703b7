"""The whole service with the real Gen3 and its cameras: not in this version."""

from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    """Say what is missing and what can be started instead."""
    raise RuntimeError(
        "robot.launch.py is not in this version of vla_ros: a later one brings the drivers of the "
        "Kortex arm and the Azure Kinect. "
        "What runs today is the MuJoCo twin: ros2 launch vla_ros sim.launch.py"
    )
