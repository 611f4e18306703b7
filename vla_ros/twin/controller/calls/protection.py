"""Protection zones of Base: made, read, changed, deleted. Only a limit of velocity does anything, as on the arm (Base.proto)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from vla_ros.geometry import Array
from vla_ros.twin.controller.calls.call import Call, Handler, finite, not_negative
from vla_ros.twin.controller.errors import CallError, invalid
from vla_ros.twin.controller.robot import Robot
from vla_ros.twin.controller.zones import SIZES, Zone
from vla_ros.twin.kortex.codes import LimitationType, ShapeType, SubErrorCodes
from vla_ros.twin.kortex.messages import Base

MOST = 10
"""Zones at a time (not known of the arm)."""
_ROWS = ("row1", "row2", "row3")


def _axes(orientation: Any) -> Array:
    """The rotation matrix (3, 3); the identity where none was given. Raises CallError where it is no rotation."""
    rows = [getattr(orientation, row) for row in _ROWS]
    matrix = np.array([finite("orientation", (row.column1, row.column2, row.column3)) for row in rows])
    if not matrix.any():
        return np.eye(3)
    if np.abs(matrix @ matrix.T - np.eye(3)).max() > 1e-3 or np.linalg.det(matrix) < 0:
        raise invalid("the zone's orientation is no rotation matrix")
    return matrix


def _speed(limitations: Any) -> float | None:
    """The limit of translation, m/s; None where velocity is not limited."""
    found = [limit.translation for limit in limitations if limit.type == LimitationType.VELOCITY_LIMITATION]
    return not_negative("limitation", min(found)) if found else None


def zone_of(message: Any, identifier: int) -> Zone:
    """The zone in a ProtectionZone. Raises CallError where it cannot be. Without a limitation it is closed."""
    shape = message.shape
    if shape.shape_type not in SIZES:
        raise invalid(f"shape type {shape.shape_type}: none that is known")
    kind = ShapeType(shape.shape_type)
    sizes = finite("dimensions", shape.dimensions)
    if len(sizes) != SIZES[kind] or (sizes <= 0).any():
        raise invalid(f"{kind.name}: {SIZES[kind]} dimensions over 0 m are needed, these are {sizes.tolist()}")
    origin = finite("origin", (shape.origin.x, shape.origin.y, shape.origin.z))
    thickness = not_negative("envelope thickness", shape.envelope_thickness)
    inside = _speed(message.limitations)
    return Zone(
        identifier,
        message.is_enabled,
        kind,
        origin,
        _axes(shape.orientation),
        tuple(sizes.tolist()),
        thickness,
        0.0 if inside is None else inside,
        _speed(message.envelope_limitations),
    )


def _known(robot: Robot, identifier: int) -> Any:
    """The message that a zone was made with. Raises CallError for none."""
    message = robot.zones.get(identifier)
    if message is None:
        raise CallError(SubErrorCodes.ENTITY_NOT_FOUND, f"protection zone {identifier}: none of this number")
    return message


def _keep(robot: Robot, identifier: int, message: Any) -> None:
    zone = zone_of(message, identifier)
    kept = Base.ProtectionZone()
    kept.CopyFrom(message)
    kept.handle.identifier = identifier
    robot.zones[identifier] = kept
    others = (other for other in robot.settings.zones if other.identifier != identifier)
    robot.settings = replace(robot.settings, zones=(*others, zone))


def create(robot: Robot, call: Call) -> Any:
    """A new zone, with a number of the robot's choice."""
    if len(robot.zones) >= MOST:
        raise CallError(SubErrorCodes.NO_MORE_STORAGE_SPACE, f"there are {MOST} protection zones: delete one")
    identifier = max(robot.zones, default=0) + 1
    _keep(robot, identifier, call.request)
    return Base.ProtectionZoneHandle(identifier=identifier)


def update(robot: Robot, call: Call) -> None:
    """Another shape, limit or state for a zone."""
    identifier = call.request.handle.identifier
    _known(robot, identifier)
    _keep(robot, identifier, call.request)


def read(robot: Robot, call: Call) -> Any:
    """A zone as it was given."""
    return _known(robot, call.request.identifier)


def delete(robot: Robot, call: Call) -> None:
    """A zone is no more."""
    identifier = call.request.identifier
    _known(robot, identifier)
    del robot.zones[identifier]
    left = tuple(zone for zone in robot.settings.zones if zone.identifier != identifier)
    robot.settings = replace(robot.settings, zones=left)


def read_all(robot: Robot, call: Call) -> Any:
    """Every zone."""
    return Base.ProtectionZoneList(protection_zones=robot.zones.values())


CALLS: dict[str, Handler] = {
    "Base.CreateProtectionZone": create,
    "Base.UpdateProtectionZone": update,
    "Base.ReadProtectionZone": read,
    "Base.DeleteProtectionZone": delete,
    "Base.ReadAllProtectionZones": read_all,
}
