"""Engines run the graphs of a bundle."""

from vla_ros.policy.engines.engine import DeviceTensor, Engine, EngineError
from vla_ros.policy.engines.load import open_engine

__all__ = ["DeviceTensor", "Engine", "EngineError", "open_engine"]
