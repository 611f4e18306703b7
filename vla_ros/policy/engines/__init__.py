"""Engines run the graphs of a bundle."""

from vla_ros.policy.engines.engine import Engine
from vla_ros.policy.engines.load import open_engine

__all__ = ["Engine", "open_engine"]
