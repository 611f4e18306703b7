"""The driver that the configuration names."""

from __future__ import annotations

from pathlib import Path

from vla_ros.arms.arm import Arm
from vla_ros.config import Config


def load(config: Config, runtime: Path, session: str) -> Arm:
    """The arm's driver, not yet open. `session` names the process: each talks to the arm on a session of its own.

    The session of the `watchdog` stops the arm and does nothing else, where the arm makes a difference.
    """
    if config.arm.driver == "twin":
        from vla_ros.arms.twin import TwinArm

        return TwinArm(runtime, session)
    if session == "watchdog":
        from vla_ros.arms.kortex_stopper import KortexStopper

        return KortexStopper(config)
    from vla_ros.arms.kortex import KortexArm

    return KortexArm(config)
