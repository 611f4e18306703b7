"""Tasks of the twin: three coloured cubes on the table and a sentence that names one, all from one seed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vla_ros.config.schema import WORKSPACE_X
from vla_ros.geometry import Array

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.85, 0.10, 0.10),
    "green": (0.10, 0.65, 0.15),
    "blue": (0.10, 0.25, 0.85),
    "yellow": (0.95, 0.80, 0.10),
    "purple": (0.50, 0.15, 0.65),
    "orange": (0.95, 0.45, 0.05),
}
VERBS = ("pick up the", "grab the", "lift the", "take the", "grasp the", "get the", "raise the", "fetch the")
NOUNS = ("cube", "block", "box")
NAMES = ("cube_0", "cube_1", "cube_2")
"""Bodies of the cubes, in the order of `Episode.cubes`."""
CUBE = 0.04
"""Edge of a cube, m."""
LIFTED = 0.10
"""Success: the underside of the named cube is this far above the table, m."""
WRONG_LIFTED = 0.06
"""Another cube this far above the table, m, while the named one is not lifted, is a failure."""

_X, _Y = (WORKSPACE_X[0] + 0.03, WORKSPACE_X[1] - 0.03), (-0.22, 0.22)
_APART = 0.10
_YAW = math.radians(20)
_START_LOW, _START_HIGH = (0.38, -0.12, 0.12), (0.50, 0.12, 0.22)
_TILT = math.radians(4)


@dataclass(frozen=True)
class Cube:
    """A cube of a colour of COLOURS at (x, y) m in the base frame, turned by `yaw` rad."""

    colour: str
    x: float
    y: float
    yaw: float


@dataclass(frozen=True)
class Appearance:
    """How the scene looks: RGB 0 … 1 of table, mat and floor, and where the light shines to (base frame)."""

    table: tuple[float, float, float] = (0.72, 0.60, 0.45)
    mat: tuple[float, float, float] = (0.42, 0.45, 0.48)
    floor: tuple[float, float, float] = (0.62, 0.64, 0.66)
    light: tuple[float, float, float] = (-0.35, 0.45, -1.0)


@dataclass(frozen=True)
class Episode:
    """One task: the cubes, which of them is meant, the words, and the pose that the tool starts from.

    `tool_position` (3,) m in the base frame; `tool_tilt` (3,) rad, a rotation vector off TOOL_DOWN.
    """

    seed: int
    cubes: tuple[Cube, ...]
    target: int
    instruction: str
    tool_position: tuple[float, float, float]
    tool_tilt: tuple[float, float, float]
    appearance: Appearance = Appearance()

    def look(self) -> Array:
        """Colours and light as rows (n, 3): table, mat, floor, light, then the cubes; for `scene.paint`."""
        a = self.appearance
        return np.array([a.table, a.mat, a.floor, a.light, *(COLOURS[cube.colour] for cube in self.cubes)])


@dataclass(frozen=True)
class Outcome:
    """How a task stands: `heights` m of the cubes' undersides above the table, in the order of NAMES."""

    success: bool
    wrong_object: bool
    heights: tuple[float, ...]


class Bodies(Protocol):
    """Whoever knows where objects are: the physics."""

    table: float

    def object_position(self, name: str) -> Array:
        """Centre (3,) m of an object in the base frame."""


def sample(seed: int) -> Episode:
    """The episode of a seed: the same one on every machine."""
    rng = np.random.default_rng(seed)
    colours = [str(c) for c in rng.choice(list(COLOURS), 3, replace=False)]
    cubes = tuple(Cube(c, x, y, rng.uniform(-_YAW, _YAW)) for c, (x, y) in zip(colours, _places(rng, 3), strict=True))
    target = int(rng.integers(3))
    x, y, z = rng.uniform(_START_LOW, _START_HIGH).tolist()
    a, b, c = (_TILT / math.sqrt(3) * rng.uniform(-1, 1, 3)).tolist()
    return Episode(seed, cubes, target, instruction_for(colours[target], rng), (x, y, z), (a, b, c), _appearance(rng))


def instruction_for(colour: str, rng: np.random.Generator) -> str:
    """One of the ways to ask for the cube of a colour."""
    words = f"{rng.choice(VERBS)} {colour} {rng.choice(NOUNS)}"
    manner = rng.uniform()
    if manner < 0.15:
        return f"please {words}"
    return f"{words} please" if manner < 0.2 else words


def judge(bodies: Bodies, episode: Episode) -> Outcome:
    """How the task stands now."""
    names = NAMES[: len(episode.cubes)]
    heights = tuple(float(bodies.object_position(n)[2]) - bodies.table - CUBE / 2 for n in names)
    success = heights[episode.target] > LIFTED
    others = [h for i, h in enumerate(heights) if i != episode.target]
    wrong = not success and max(others, default=0.0) > WRONG_LIFTED
    return Outcome(success, wrong, heights)


def _places(rng: np.random.Generator, count: int) -> list[tuple[float, float]]:
    places: list[tuple[float, float]] = []
    while len(places) < count:
        x, y = float(rng.uniform(*_X)), float(rng.uniform(*_Y))
        if all(math.hypot(x - a, y - b) >= _APART for a, b in places):
            places.append((x, y))
    return places


def _appearance(rng: np.random.Generator) -> Appearance:
    base = Appearance()
    table, mat, floor = (_tinted(rng, colour) for colour in (base.table, base.mat, base.floor))
    x, y, z = (np.array(base.light) + rng.uniform(-0.25, 0.25, 3)).tolist()
    return Appearance(table, mat, floor, (x, y, z))


def _tinted(rng: np.random.Generator, colour: tuple[float, float, float]) -> tuple[float, float, float]:
    brightness = rng.uniform(0.75, 1.15)
    red, green, blue = np.clip(np.array(colour) * brightness + rng.uniform(-0.06, 0.06, 3), 0.05, 1.0).tolist()
    return red, green, blue
