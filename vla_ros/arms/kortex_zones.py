"""Protection zones: the table and the walls of the workspace box as the arm's own guard behind ours.

The arm keeps its tool and its links out of a zone, in high-level servoing only (Gen3 user guide, "Protection zone").
So there is a zone for the table in front of the arm, for the wall beyond the box and for those beside it; none above
the box and none towards the base, where the arm itself is. The governor keeps the tool inside by its braking
distance; the zones begin MARGIN farther out, so that in good order nobody notices them. That the origin of a prism is
its middle is to be verified on the arm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vla_ros.arms.kortex_sdk import Sdk
from vla_ros.config.schema import FINGERS, Workspace

PREFIX = "vla_ros"
"""Zones whose names begin so are ours: they are changed and taken away. Others are left alone."""
MARGIN = 0.03
"""m from a wall of the box to the zone behind it."""
TABLE_MARGIN = 0.015
"""m from the lowest tool point that the governor lets through, over the table, to the zone below: the fingers would be
pressed into it.
"""
THICKNESS = 0.20
"""m of a zone: far more than the tool moves in a cycle of the arm."""
NEAR_BASE = 0.20
"""m in front of the base's axis where the table's zone begins: the arm's own foot is on that table."""
HEADROOM = 0.30
"""m by which the walls are higher than the box."""


@dataclass(frozen=True)
class Zone:
    """A protection zone: a box along the base's axes with its corners in m, enabled or not; of a shape other than that,
    the box around it before it is turned.
    """

    name: str
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    enabled: bool = True

    def near(self, other: Zone) -> bool:
        """Whether it is the same zone within the single precision of the wire."""
        same = (self.name, self.enabled) == (other.name, other.enabled)
        return same and bool(np.allclose([self.low, self.high], [other.low, other.high], atol=1e-4))


def wanted(workspace: Workspace) -> list[Zone]:
    """The zones of a workspace."""
    (x0, y0, _), (x1, y1, z1) = workspace.low, workspace.high
    x1, y0, y1, top = x1 + MARGIN, y0 - MARGIN, y1 + MARGIN, z1 + HEADROOM
    table = workspace.table + workspace.grasp_clearance + FINGERS - TABLE_MARGIN
    far, left, right = x1 + THICKNESS, y1 + THICKNESS, y0 - THICKNESS
    return [
        Zone(f"{PREFIX} table", (NEAR_BASE, right, table - THICKNESS), (far, left, table)),
        Zone(f"{PREFIX} far wall", (x1, y0, table), (far, y1, top)),
        Zone(f"{PREFIX} left wall", (x0, y1, table), (far, left, top)),
        Zone(f"{PREFIX} right wall", (x0, right, table), (far, y0, top)),
    ]


def message(zone: Zone, sdk: Sdk) -> Any:
    """The Base.ProtectionZone of a zone that nothing may enter."""
    base, low, high = sdk.base, np.array(zone.low), np.array(zone.high)
    made = base.ProtectionZone(name=zone.name, is_enabled=zone.enabled)
    shape = made.shape
    shape.shape_type = base.RECTANGULAR_PRISM
    shape.origin.x, shape.origin.y, shape.origin.z = ((low + high) / 2).tolist()
    shape.orientation.row1.column1 = shape.orientation.row2.column2 = shape.orientation.row3.column3 = 1.0
    shape.dimensions.extend((high - low).tolist())
    made.limitations.add(type=base.VELOCITY_LIMITATION, translation=0.0, orientation=0.0)
    return made


def zone(message: Any, sdk: Sdk) -> Zone:
    """The zone in a Base.ProtectionZone."""
    shape = message.shape
    middle = np.array([shape.origin.x, shape.origin.y, shape.origin.z], np.float64)
    half = _half(shape, sdk)
    low, high = (tuple(round(v, 5) for v in corner.tolist()) for corner in (middle - half, middle + half))
    return Zone(message.name, low, high, message.is_enabled)


def _half(shape: Any, sdk: Sdk) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Half the edges (3,) m of the box around a shape of its own axes; dimensions are edges, radius and height, or radius."""
    sizes = [*shape.dimensions, 0.0, 0.0, 0.0]
    if shape.shape_type == sdk.base.CYLINDER:
        return np.array([sizes[0], sizes[0], sizes[1] / 2])
    if shape.shape_type == sdk.base.SPHERE:
        return np.full(3, sizes[0])
    return np.array(sizes[:3]) / 2
