"""Poses from which the arm shows a camera the board: inside the box, off the joints' limits, the board in view, and unlike each other.

Drawn by chance from a seed, so that the same question has the same answer. The camera is where it is guessed to be: a few cm and
degrees matter little, since the board keeps a margin to the edge of the picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from vla_ros import geometry, kinematics
from vla_ros.calibration import board as charuco
from vla_ros.calibration import rigid
from vla_ros.calibration.bundle import Parent
from vla_ros.calibration.lens import Lens
from vla_ros.config.schema import BoardConfig, Limits, Workspace
from vla_ros.geometry import Array, Pose

HELD = Pose(np.array([0.0, 0.0, 0.142]), np.array([-math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)]))
"""A board between the fingers like a sheet of paper, in the tool's frame: its middle 12 cm beyond the tips, its y up the arm."""
LYING = Pose(np.array([0.47, 0.0, 0.002]), geometry.IDENTITY_QUATERNION)
"""A board on the table in the middle of the workspace, in the base frame; its height is the table's and that of the board."""
_TRIES, _WANTED = 40000, 3
"""Poses that are drawn, and how many times as many as are asked for must be reachable, to choose from."""
_TILT, _FACING = math.radians(38), math.radians(52)
"""Most that the tool leans, and most that the board may be turned from the camera."""
_SMALLEST = 17.0
"""px along the shortest edge of a square: its marker's bits must still be told apart."""
_EDGE, _SHOWN = 6.0, 0.75
"""px of margin in the picture, and share of the corners that must lie inside it."""
_WALL = 0.012
"""m from the walls of the box: the governor brakes before them."""
_AIR, _AIR_OF_BOARD = 0.045, 0.030
"""m between fingers and table, and between a held board and the table."""
_SCALES = np.concatenate([np.full(3, 1 / 0.12), np.full(2, 1 / 0.25), np.full(9, 1 / 0.45)])
"""What counts as one unit of difference: m of way, shares of the picture, and rotation matrix entries (0.45 is about 20°)."""
_DIP = 0.02
"""m of those that may be used up on the way from one pose to another."""
_LEGS = 4
"""Places between two poses at which the way is looked at."""


class PlanError(Exception):
    """Not enough poses. The text says what stands in the way and what to do."""


@dataclass(frozen=True)
class Scene:
    """What is planned for. `camera` is the optical frame in its `parent`'s; `board` is in the base frame for a camera on the tool, in

    the tool's frame for one that stands. `allowed` says whether the arm may be at joints (7,) beyond what is checked here.
    """

    lens: Lens
    parent: Parent
    camera: Pose
    board: Pose
    print: BoardConfig
    workspace: Workspace
    limits: Limits
    allowed: Callable[[Array], bool] = lambda joints: True


@dataclass(frozen=True, eq=False)
class Station:
    """A pose of the tool in the base frame, and the joints (7,) rad that the arm is expected to have there."""

    tool: Pose
    joints: Array


def plan(scene: Scene, joints: Array, count: int, seed: int = 0) -> list[Station]:
    """`count` stations in an order with short ways, begun at `joints` (7,). Raises PlanError when there are not so many."""
    tools, reasons = _drawn(scene, seed)
    reachable = _reachable(scene, tools, joints, _WANTED * count)
    stations = _tour(scene, _unlike(scene, reachable, count + count // 2), joints)[:count]
    if len(stations) < count:
        raise PlanError(
            f"only {len(stations)} poses of {count} are found: of {_TRIES} that were tried {_worst(reasons)}; {len(tools)} showed the "
            f"board, {len(reachable)} of them the arm was found to reach. {_remedy(scene)}"
        )
    return stations


def raised(scene: Scene, tool: Pose) -> Pose:
    """Where to lift the tool before anything else: straight up, as far as the box goes. A board in the hand hangs low."""
    return Pose(np.array([*tool.position[:2], max(tool.position[2], scene.workspace.high[2] - _WALL)]), tool.quaternion)


def first_look(scene: Scene, joints: Array, seed: int = 0) -> Station:
    """The station that shows the board most squarely in the middle, to see where it really is. Raises PlanError."""
    tools, reasons = _drawn(scene, seed)
    if len(tools):
        shift = np.abs(_features(scene, tools)[:, 3:5] - 0.5).max(axis=1)
        for tool in tools[np.argsort(shift)][:60]:
            found = _reached(scene, rigid.to_pose(tool), joints)
            if found is not None and _passable(scene, Station(kinematics.forward(joints), joints), found):
                return found
        raise PlanError(
            f"{len(tools)} poses would show the board, but from where the arm is now the way to none of them is free: lead the tool "
            "up and to the middle of the workspace, and away from its joints' limits"
        )
    raise PlanError(f"no pose shows the board: of {_TRIES} that were tried {_worst(reasons)}. {_remedy(scene)}")


def _remedy(scene: Scene) -> str:
    if scene.parent == "tool":
        return "Put the board in the middle of the workspace, and say with --board where that is"
    return "Say with --board how the board is held, and with cameras.NAME where the camera roughly is; both must see each other"


def _worst(reasons: dict[str, int]) -> str:
    name = max(reasons, key=lambda key: reasons[key])
    return f"{reasons[name]} {name}"


def _drawn(scene: Scene, seed: int) -> tuple[Array, dict[str, int]]:
    """Tool poses (n, 4, 4) that show the board and keep off walls and table; and how many were turned down for what."""
    tools = _candidates(scene, np.random.default_rng(seed))
    boards, places, pixels = _pictured(scene, tools)
    to_camera = -places.mean(axis=1)
    normals = (rigid.inverse(_cameras(scene, tools)) @ boards)[:, :3, 2]
    facing = np.einsum("ij,ij->i", normals, to_camera) / np.linalg.norm(to_camera, axis=1)
    inside = scene.lens.holds(pixels, _EDGE).mean(axis=1)
    checks = {
        "turned the board's face away": facing > math.cos(_FACING),
        "had it outside the picture": inside >= _SHOWN,
        "were too far to read its markers": _smallest(scene, pixels) >= _SMALLEST,
        "brought fingers or board too near to the table": _air(scene, tools) > 0,
    }
    good = np.logical_and.reduce(list(checks.values()))
    return tools[good], {name: int((~passed).sum()) for name, passed in checks.items()}


def _candidates(scene: Scene, rng: np.random.Generator) -> Array:
    """Tools anywhere in the box, pointing down but for a lean, turned at will about the vertical."""
    low, high = np.array(scene.workspace.low) + _WALL, np.array(scene.workspace.high) - _WALL
    low[2] = max(low[2], scene.workspace.table + _AIR)
    tools = np.tile(np.eye(4), (_TRIES, 1, 1))
    tools[:, :3, 3] = rng.uniform(low, high, (_TRIES, 3))
    way = rng.uniform(-math.pi, math.pi, _TRIES)
    lean = _TILT * np.sqrt(rng.uniform(0, 1, _TRIES))
    leans = Rotation.from_rotvec(np.stack([lean * np.cos(way), lean * np.sin(way), np.zeros(_TRIES)], axis=1))
    yaws = Rotation.from_rotvec(np.outer(rng.uniform(-math.pi, math.pi, _TRIES), [0.0, 0.0, 1.0]))
    tools[:, :3, :3] = (leans * yaws * Rotation.from_quat(kinematics.TOOL_DOWN)).as_matrix()
    return tools


def _cameras(scene: Scene, tools: Array) -> Array:
    camera = rigid.of_pose(scene.camera)
    return tools @ camera if scene.parent == "tool" else np.broadcast_to(camera, tools.shape)


def _boards(scene: Scene, tools: Array) -> Array:
    board = rigid.of_pose(scene.board)
    return np.broadcast_to(board, tools.shape) if scene.parent == "tool" else tools @ board


def _pictured(scene: Scene, tools: Array) -> tuple[Array, Array, Array]:
    """The board in the base frame (n, 4, 4), its corners in the camera's (n, k, 3), and in the picture (n, k, 2) px."""
    boards = _boards(scene, tools)
    seen = rigid.inverse(_cameras(scene, tools)) @ boards
    corners = charuco.points(scene.print)
    places = corners @ np.swapaxes(seen[:, :3, :3], 1, 2) + seen[:, None, :3, 3]
    return boards, places, scene.lens.project(places)


def _smallest(scene: Scene, pixels: Array) -> Array:
    """px of the shortest edge of a square in each picture (n,)."""
    grid = pixels.reshape(len(pixels), scene.print.rows - 1, scene.print.columns - 1, 2)
    edges = [np.linalg.norm(np.diff(grid, axis=axis), axis=-1).reshape(len(pixels), -1).min(axis=1) for axis in (1, 2)]
    return np.minimum(*edges)


def _air(scene: Scene, tools: Array) -> Array:
    """m (n,) that are left between the table and what must keep off it."""
    fingers = kinematics.finger_points(Pose(np.zeros(3), geometry.IDENTITY_QUATERNION))
    below = tools[:, 2, 3] + (fingers @ np.swapaxes(tools[:, :3, :3], 1, 2))[:, :, 2].min(axis=1)
    air = below - scene.workspace.table - _AIR
    if scene.parent == "tool":
        return air
    boards = _boards(scene, tools)
    edge = charuco.outline(scene.print) * 1.15
    lowest = (edge @ np.swapaxes(boards[:, :3, :3], 1, 2) + boards[:, None, :3, 3])[:, :, 2].min(axis=1)
    return np.minimum(air, lowest - scene.workspace.table - _AIR_OF_BOARD)


def _reachable(scene: Scene, tools: Array, joints: Array, enough: int) -> list[Station]:
    """The first of the tools that the arm reaches: first from a pose over the middle, in which it leans on no limit."""
    found: list[Station] = []
    for tool in tools[: 12 * enough]:
        station = _reached(scene, rigid.to_pose(tool), joints)
        if station is not None:
            found.append(station)
        if len(found) == enough:
            break
    return found


def _reached(scene: Scene, tool: Pose, start: Array) -> Station | None:
    """The arm at that pose, coming from joints `start`; None where it does not get there."""
    try:
        joints = kinematics.inverse_kinematics(tool, start, iterations=80)
    except ValueError:
        return None
    return Station(tool, joints) if _fit(scene, joints) else None


def _fit(scene: Scene, joints: Array) -> bool:
    """Whether the governor would let the arm move freely there."""
    room = kinematics.POSITION_LIMITS - np.abs(kinematics.wrapped(joints))
    poor = kinematics.kinematics(joints).manipulability < 1.2 * scene.limits.manipulability
    return bool(room.min() > 1.1 * scene.limits.joint_margin) and not poor and scene.allowed(joints)


def _features(scene: Scene, tools: Array) -> Array:
    """What makes views differ (n, 14): place of the tool, place of the board in the picture, orientation."""
    _, _, pixels = _pictured(scene, tools)
    size = np.array([scene.lens.width, scene.lens.height])
    return np.concatenate([tools[:, :3, 3], pixels.mean(axis=1) / size, tools[:, :3, :3].reshape(-1, 9)], axis=1)


def _unlike(scene: Scene, stations: Sequence[Station], count: int) -> list[Station]:
    """Stations of which each is as unlike those before it as can be (Gonzalez 1985)."""
    if not stations:
        return []
    features = _features(scene, np.stack([rigid.of_pose(s.tool) for s in stations])) * _SCALES
    chosen, nearest = [0], np.linalg.norm(features - features[0], axis=1)
    while len(chosen) < min(count, len(stations)):
        chosen.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, np.linalg.norm(features - features[chosen[-1]], axis=1))
    return [stations[i] for i in chosen]


def _tour(scene: Scene, stations: Sequence[Station], joints: Array) -> list[Station]:
    """The stations that can be gone to one after another, always the nearest next; those to which there is no way are left out."""
    here, left, tour = Station(kinematics.forward(joints), joints), list(stations), list[Station]()
    while left:
        left.sort(key=lambda s: _way(here.tool, s.tool))
        for station in left[:4]:
            arrived = _passable(scene, here, station)
            if arrived is not None:
                tour.append(arrived)
                here = arrived
                left.remove(station)
                break
        else:
            left.pop(0)
    return tour


def _way(a: Pose, b: Pose) -> float:
    way, turn = rigid.apart(a, b)
    return way / 0.15 + turn / math.radians(30)


def _passable(scene: Scene, here: Station, there: Station) -> Station | None:
    """The station as the arm comes to it straight from `here`; None where something is in the way."""
    joints, air = here.joints, float(_air(scene, rigid.of_pose(here.tool)[None])[0])
    for leg in range(1, _LEGS + 1):
        tool = geometry.interpolate(here.tool, there.tool, leg / _LEGS)
        if float(_air(scene, rigid.of_pose(tool)[None])[0]) < min(-_DIP, air):  # what hangs low already may be raised
            return None
        reached = _reached(scene, tool, joints)
        if reached is None:
            return None
        joints = reached.joints
    return replace(there, joints=joints)
