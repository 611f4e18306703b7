"""The table, from where the closed fingers touch it.

The servo keeps the fingers off the table that it knows (`workspace.grasp_clearance`), so a touch needs a servo that knows another one.
`touching` makes its settings: a table `search` m lower than the believed one, and around the believed height a zone in which the
governor itself allows no more than `SPEED`, whatever asks for motion. Force is bounded twice: from `PUSH` on the governor takes out
whatever pushes further, and at `TOO_MUCH` the arm stops. Where the real table is lower than the zone, the fingers end a millimetre
above its floor and nothing is touched, which is refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vla_ros import kinematics
from vla_ros.config.schema import FINGERS, Config, Workspace
from vla_ros.geometry import Array, Pose

SEARCH = 0.015
"""m below the believed table that the fingers may search."""
ABOVE = 0.015
"""m above the believed table from which on they are slow."""
SPEED = 0.01
"""m/s at most in that zone."""
DESCENT = 0.005
"""m/s of the descent: half of that."""
TOUCH, PUSH, TOO_MUCH = 4.0, 10.0, 25.0
"""N more than on the free tool: that count as touch, above which nothing pushes further, and at which the arm stops."""
FEWEST, USUAL = 3, 5
TILT = math.radians(1.0)
"""rad that the table may lean: the governor takes it for level."""
RESIDUAL = 0.002
"""m that a touch may be off the plane."""
_FLOOR = 0.001
"""m above the searched depth at which the fingers stop."""
_INSET = 0.03
"""m from the walls of the box to the nearest touch."""


class TableError(Exception):
    """The table cannot be told from these touches. The text says why and what to do."""


@dataclass(frozen=True)
class Table:
    """The plane z = height + slope · ((x, y) - middle) in the base frame; `tilt` rad; residuals (n,) m of the touches.

    `highest` is the plane's highest point in the workspace box, which the governor must know as the table's height.
    """

    height: float
    middle: Array
    slope: Array
    residuals: Array
    highest: float

    @property
    def tilt(self) -> float:
        """Angle between the plane and the level, rad."""
        return math.atan(float(np.linalg.norm(self.slope)))


def touching(config: Config, search: float = SEARCH) -> dict[str, float | list[float]]:
    """Settings by dotted name with which the servo lets the fingers touch a table within `search` m below the believed one.

    In the twin the table stays where it was.
    """
    w, limits = config.workspace, config.limits
    floor = w.table - search
    settings: dict[str, float | list[float]] = {
        "workspace.table": floor,
        "workspace.low": [*w.low[:2], min(w.low[2], floor)],
        "workspace.transit_clearance": search + ABOVE,
        "workspace.grasp_clearance": _FLOOR,
        "workspace.grasp_speed": min(SPEED, w.grasp_speed),
        "limits.speed": min(0.08, limits.speed),
        "limits.force_retreat": min(PUSH, limits.force_retreat),
        "limits.force_stop": min(TOO_MUCH, limits.force_stop),
    }
    if config.arm.driver == "twin" or config.twin.kortex:
        settings["twin.table_offset"] = config.twin.table_offset + search
    return settings


def may_touch(config: Config) -> bool:
    """Whether a servo with this configuration lets the fingers touch, slowly and gently."""
    w, limits = config.workspace, config.limits
    slow = w.grasp_speed <= SPEED and w.transit_clearance >= ABOVE + _FLOOR and w.grasp_clearance <= _FLOOR
    return slow and limits.force_retreat <= PUSH and limits.force_stop <= TOO_MUCH


def places(workspace: Workspace, count: int = USUAL) -> Array:
    """Where to touch, (count, 2) m in the base frame: corners of the box, its middle, then around that. Raises TableError."""
    if count < FEWEST:
        raise TableError(
            f"{count} touches do not make a plane: at least {FEWEST} are needed, {USUAL} also tell how flat it is"
        )
    low, high = np.array(workspace.low[:2]) + _INSET, np.array(workspace.high[:2]) - _INSET
    middle, half = (low + high) / 2, (high - low) / 2
    corners = [(-1, -1), (1, -1), (1, 1), (-1, 1), (0, 0)]
    if count < len(corners):
        corners = corners[:count]
    around = [
        (math.cos(a), math.sin(a)) for a in 2 * math.pi * np.arange(max(0, count - len(corners))) / max(1, count - 5)
    ]
    return np.asarray(middle + half * np.array([*corners, *(0.7 * np.array(around)).reshape(-1, 2).tolist()]))


def above(workspace: Workspace, place: Array, height: float) -> Pose:
    """The tool straight down over a place (2,) m, its fingers `height` m above the table of the workspace."""
    return Pose(np.array([*place, workspace.table + height + FINGERS]), kinematics.TOOL_DOWN)


def touched(tool: Pose) -> Array:
    """The point (3,) m in the base frame where closed fingers end below this tool pose: the middle of the tips' lower edges."""
    points = kinematics.finger_points(tool) + tool.position
    low = points[points[:, 2] < points[:, 2].min() + 1e-4]
    return np.asarray(low.mean(axis=0))


def fit(points: Sequence[Array], workspace: Workspace) -> Table:
    """The plane through touches (3,) m by least squares. Raises TableError for few, collinear or bad ones, and a plane that leans."""
    if len(points) < FEWEST:
        raise TableError(f"{len(points)} touches do not make a plane: at least {FEWEST} are needed")
    touches = np.array(points)
    middle = touches[:, :2].mean(axis=0)
    around = touches[:, :2] - middle
    if np.linalg.svd(around, compute_uv=False)[1] < 0.05:
        raise TableError("the touches are all on one line: touch the table in a triangle of at least 10 cm")
    matrix = np.column_stack([np.ones(len(touches)), around])
    solution = np.linalg.lstsq(matrix, touches[:, 2], rcond=None)[0]
    box = np.array(
        [[x, y] for x in (workspace.low[0], workspace.high[0]) for y in (workspace.low[1], workspace.high[1])]
    )
    heights = solution[0] + (box - middle) @ solution[1:]
    table = Table(float(solution[0]), middle, solution[1:], touches[:, 2] - matrix @ solution, float(heights.max()))
    _refuse(table)
    return table


def _refuse(table: Table) -> None:
    worst = int(np.argmax(np.abs(table.residuals)))
    if abs(table.residuals[worst]) > RESIDUAL:
        raise TableError(
            f"touch {worst + 1} is {1e3 * table.residuals[worst]:+.1f} mm off the plane of the others, {1e3 * RESIDUAL:.0f} mm are "
            "allowed: was there something on the table, or did the fingers slip? Touch again"
        )
    if table.tilt > TILT:
        raise TableError(
            f"the table leans by {math.degrees(table.tilt):.2f}° against the arm's base, {math.degrees(TILT):.0f}° are allowed, "
            "since the governor takes it for level: level the table or the base, with shims under its feet"
        )
