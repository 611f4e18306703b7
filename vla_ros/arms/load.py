"""The driver that the configuration names."""

from __future__ import annotations

from pathlib import Path

from vla_ros.arms.arm import Arm, ArmError
from vla_ros.config import Config


def load(config: Config, runtime: Path, session: str) -> Arm:
    """The arm's driver, not yet open. `session` names the process: each talks to the arm on a session of its own.

    Raises ArmError for a driver that this version does not have.
    """
    if config.arm.driver == "twin":
        from vla_ros.arms.twin import TwinArm

        return TwinArm(runtime, session)
    raise ArmError(
        f"arm.driver {config.arm.driver!r}: this version drives the twin only; the Kortex driver is not in it yet. "
        "Start with arm.driver=twin"
    )
