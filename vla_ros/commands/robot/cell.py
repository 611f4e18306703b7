"""What every check works with: sessions with the arm at low limits, a person to ask, and motion that stays inside the box."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vla_ros.arms.arm import ArmError
from vla_ros.config import Config
from vla_ros.geometry import Array
from vla_ros.values import ArmState

if TYPE_CHECKING:
    from vla_ros.arms.kortex_operator import Operator

SPEED, TURN = 0.02, math.radians(5.0)
"""m/s and rad/s of every motion of a check."""
CEILING, TURN_CEILING, JOINT_CEILING = 0.05, math.radians(10.0), math.radians(20.0)
"""m/s, rad/s, rad/s: the arm's own soft limits while checks run, behind an error in ours."""
MARGIN = 0.01
"""m that a check keeps from the walls of the box."""


def gentle(config: Config) -> Config:
    """The configuration of a check: limits of ours and of the arm that allow no more than a check needs."""
    limits = config.limits.model_copy(update={"speed": 0.03, "turn_speed": TURN})
    soft = {
        "soft_speed": CEILING,
        "soft_turn_speed": TURN_CEILING,
        "soft_joint_speed": JOINT_CEILING,
        "home_speed": TURN,
    }
    return config.model_copy(update={"limits": limits, "arm": config.arm.model_copy(update=soft)})


@dataclass(frozen=True)
class Cell:
    """`operator(config)` makes a person's connection with the arm, not yet open; `say` shows a line; `ask` puts a yes-or-no question.

    `held` tells whether an object is between the fingers for the check of the gripper.
    """

    config: Config
    operator: Callable[[Config], Operator]
    say: Callable[[str], None]
    ask: Callable[[str], bool]
    held: bool = False

    @contextlib.contextmanager
    def arm(self, config: Config | None = None) -> Iterator[Operator]:
        """A connection at the gentle limits, or at those of `config`, set in the arm. Raises ArmError."""
        with self.operator(config or gentle(self.config)) as operator:
            operator.open()
            yield operator

    @contextlib.contextmanager
    def onlooker(self) -> Iterator[Operator]:
        """A second connection, which changes nothing in the arm. Raises ArmError."""
        with self.operator(gentle(self.config)) as operator:
            operator.open(configure=False)
            yield operator


class NoRoomError(ArmError):
    """The motion of a check would leave the box. The text says which, and what to do."""


def move(cell: Cell, operator: Operator, twist: Array, seconds: float) -> list[ArmState]:
    """Move with `twist` (6,) for so long and come to rest: the states on the way. Raises ArmError, NoRoomError near the walls."""
    require_room(cell.config, operator.feedback(), twist, seconds)
    return operator.twist(twist, seconds)


def require_room(config: Config, state: ArmState, twist: Array, seconds: float) -> None:
    """Raises NoRoomError unless the tool stays in the box, with MARGIN, all along this motion."""
    box, start = config.workspace, state.tool.position
    low, high = np.array(box.low) + MARGIN, np.array(box.high) - MARGIN
    low[2] = max(low[2], box.table + 0.05)
    for place in (start, start + twist[:3] * seconds):
        if (place < low).any() or (place > high).any():
            raise NoRoomError(
                f"the tool at {np.round(start, 3).tolist()} would leave the box {box.low} to {box.high} (less {MARGIN:g} m, and 5 cm "
                "above the table): `vla-ros robot home`, then again"
            )


def along(axis: int, size: float) -> Array:
    """The twist (6,) with that size along or about one axis: 0 to 2 are x y z in m/s, 3 to 5 about them in rad/s."""
    twist = np.zeros(6)
    twist[axis] = size
    return twist


def speeds(states: Sequence[ArmState], window: float = 0.2) -> Array:
    """(n,) m/s of the tool over windows of that many seconds, from the joints' own pose: empty where the states are too few."""
    times = np.array([s.stamp for s in states]) / 1e9
    places = np.array([s.tool.position for s in states]).reshape(-1, 3)
    later = np.searchsorted(times, times + window)
    pairs = [(i, j) for i, j in enumerate(later) if j < len(times)]
    return np.array([np.linalg.norm(places[j] - places[i]) / (times[j] - times[i]) for i, j in pairs])
