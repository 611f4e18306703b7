"""The one configuration schema, and how it is read."""

from vla_ros.config.load import ConfigError, load
from vla_ros.config.schema import CameraConfig, Config

__all__ = ["CameraConfig", "Config", "ConfigError", "load"]
