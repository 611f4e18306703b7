"""A real-time vision-language-action service for a Kinova Gen3 on ROS 2."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("vla_ros")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0.0.0"
