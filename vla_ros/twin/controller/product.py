"""Which robot is played: what a client can ask about it."""

from __future__ import annotations

from dataclasses import dataclass

from vla_ros.twin.kortex.codes import DeviceTypes
from vla_ros.values import JOINTS

_BIG, _SMALL = DeviceTypes.BIG_ACTUATOR, DeviceTypes.SMALL_ACTUATOR


@dataclass(frozen=True)
class Product:
    """A Gen3 as it is told apart from another. The twin moves seven joints whatever is said here.

    Another number of `actuators`, no `gripper` or another `firmware` are for clients that have to refuse them.
    """

    actuators: int = JOINTS
    gripper: bool = True
    firmware: str = "2.6.0-r.8"
    model: str = "L53 Gen3 7-DoF (simulated)"
    serial: str = "SIMULATED-0001"

    def devices(self) -> dict[int, DeviceTypes]:
        """Identifier and type of every device. The numbers are ours: those of the arm are not known."""
        found = {0: DeviceTypes.BASE}
        found |= {i + 1: _BIG if i < self.actuators - 3 else _SMALL for i in range(self.actuators)}
        found[self.actuators + 1] = DeviceTypes.INTERCONNECT
        if self.gripper:
            found[self.actuators + 2] = DeviceTypes.GRIPPER
        return found
