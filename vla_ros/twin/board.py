"""The calibration board of the twin: a plate in the scene, and what a camera that looks at it sees, with every pixel's area averaged.

The board's frame has its origin in the middle of the pattern, x to the right and y up on the print, and z out of the face. The pattern
is known in closed form, so that no image of it has a resolution: rays within a pixel are cut with the plane of the face, and what
they meet is looked up.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_ros import geometry, kinematics
from vla_ros.config.schema import BoardConfig, Config
from vla_ros.geometry import Array, Pose

NAME = "board"
"""Of the geom, and of the text in the model that says which pattern is on it."""
MARGIN = 0.5
"""White around the pattern, in squares."""
THICKNESS = 0.002
ASIDE = ((0.30, -0.42), (0.36, -0.42), (0.42, -0.42))
"""Where the cubes of an episode stand, x and y in m, while there is a board or twin.cleared asks for it: in nobody's way."""
BLACK, WHITE = 0.06, 0.84
"""Reflectance of print and paper: white stays below what a picture can show in any light of the twin, or edges would wander."""
SAMPLES = 6
"""Rays per edge of a pixel."""


def place(config: Config) -> Pose:
    """The board in the frame of its parent: the base, or the tool."""
    quaternion = geometry.normalized(np.array(config.twin.board_quaternion))
    return Pose(np.array(config.twin.board_position), quaternion)


def geom(config: Config, parent: str) -> str:
    """MJCF of the plate, for the body of `parent` (base or tool); empty where the board is not there. Nothing collides with it."""
    if config.twin.board != parent:
        return ""
    board, pose = config.board, place(config)
    half = np.array([board.columns, board.rows]) * board.square / 2 + MARGIN * board.square
    middle = pose.position - geometry.rotate(pose.quaternion, np.array([0.0, 0.0, THICKNESS / 2]))
    if parent == "tool":  # the gripper's body has its origin at the gripper's base
        middle = middle + np.array([0.0, 0.0, kinematics.TOOL_OFFSET])
    x, y, z, w = pose.quaternion.tolist()
    return (
        f'<geom name="{NAME}" type="box" size="{half[0]:.10g} {half[1]:.10g} {THICKNESS / 2:.10g}" mass="0" '
        f'pos="{middle[0]:.10g} {middle[1]:.10g} {middle[2]:.10g}" quat="{w:.12g} {x:.12g} {y:.12g} {z:.12g}" '
        f'rgba="{WHITE} {WHITE} {WHITE} 1" contype="0" conaffinity="0"/>'
    )


def text(config: Config) -> str:
    """MJCF that tells a renderer of the model what is printed on the plate."""
    b = config.board
    words = f"{b.columns} {b.rows} {b.square!r} {b.marker!r} {b.dictionary}"
    return f'<custom><text name="{NAME}" data="{words}"/></custom>' if config.twin.board else ""


@dataclass(frozen=True)
class Pattern:
    """What is printed: `cells` (rows·n, columns·n) is True where it is white; the cells of a square are not of one width."""

    board: BoardConfig
    cells: NDArray[np.bool_]

    def white(self, x: Array, y: Array) -> NDArray[np.bool_]:
        """Whether the print is white at (x, y) m in the board's frame, arrays of one shape; around the pattern it is."""
        b = self.board
        column, row = x / b.square + b.columns / 2, b.rows / 2 - y / b.square
        inside = (column >= 0) & (column < b.columns) & (row >= 0) & (row < b.rows)
        j, i = self._cell(np.where(inside, column, 0.0)), self._cell(np.where(inside, row, 0.0))
        return np.asarray(self.cells[i, j] | ~inside)

    def _cell(self, place: Array) -> NDArray[np.int64]:
        """Index of the cell at a place that is given in squares."""
        square = np.floor(place)
        count = self.cells.shape[0] // self.board.rows
        share = self.board.marker / self.board.square
        within = np.floor((place - square - (1 - share) / 2) * (count - 2) / share) + 1
        return np.asarray(square * count + np.clip(within, 0, count - 1), np.int64)


def pattern(board: BoardConfig) -> Pattern:
    """The ChArUco pattern as OpenCV lays it out, read from its own drawing at the middle of every cell."""
    import cv2

    dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, board.dictionary))
    count = int(dictionary.markerSize) + 4
    drawn = cv2.aruco.CharucoBoard((board.columns, board.rows), board.square, board.marker, dictionary)
    fine = 60 * count
    picture = drawn.generateImage((board.columns * fine, board.rows * fine))
    gap, cell = (1 - board.marker / board.square) / 2, board.marker / board.square / (count - 2)
    middles = np.concatenate([[gap / 2], gap + cell * (np.arange(count - 2) + 0.5), [1 - gap / 2]])
    rows = (np.arange(board.rows)[:, None] + middles).ravel() * fine
    columns = (np.arange(board.columns)[:, None] + middles).ravel() * fine
    return Pattern(board, picture[np.ix_(rows.astype(int), columns.astype(int))] > 127)


class Painter:
    """Paints the board of a model into what a pinhole camera sees; `pinhole` is fx, fy, cx, cy in delivered pixels."""

    def __init__(
        self, model: mujoco.MjModel, camera: int, pinhole: tuple[float, float, float, float], width: int
    ) -> None:
        self.geom = int(model.geom(NAME).id)
        self._pattern = pattern(_told(model))
        self._camera, self._pinhole, self._width = camera, pinhole, width
        self._half = model.geom_size[self.geom, 2]

    def reflectance(self, data: mujoco.MjData, geoms: NDArray[np.int32]) -> tuple[NDArray[np.int64], Array]:
        """Which of the pixels show the face of the board, (n,) flat, and how much of the light each sends back, (n,) 0 … 1."""
        pixels = np.flatnonzero(geoms == self.geom)
        origin, turn = self._view(data)
        if origin[2] <= 0:
            return pixels[:0], np.zeros(0)
        share = np.zeros(len(pixels))
        offsets = (np.arange(SAMPLES) + 0.5) / SAMPLES - 0.5
        v, u = np.divmod(pixels, self._width)
        for du in offsets:
            for dv in offsets:
                share += self._met(origin, turn, u + du, v + dv)
        return pixels, BLACK + (WHITE - BLACK) / SAMPLES**2 * share

    def _view(self, data: mujoco.MjData) -> tuple[Array, Array]:
        """The camera's place (3,) in the board's frame, and (3, 3) that turns its rays into that frame."""
        turn = data.geom_xmat[self.geom].reshape(3, 3).T
        origin = turn @ (data.cam_xpos[self._camera] - data.geom_xpos[self.geom])
        origin[2] -= self._half
        return origin, turn @ data.cam_xmat[self._camera].reshape(3, 3)

    def _met(self, origin: Array, turn: Array, u: Array, v: Array) -> NDArray[np.bool_]:
        """Whether the ray through each place (u, v) of the picture meets white; one that misses the plane meets paper."""
        fx, fy, cx, cy = self._pinhole
        a, b = (u - cx) / fx, (v - cy) / fy
        x, y, z = (row[0] * a - row[1] * b - row[2] for row in turn)
        reach = -origin[2] / np.minimum(z, -1e-9)
        return self._pattern.white(origin[0] + reach * x, origin[1] + reach * y)


def _told(model: mujoco.MjModel) -> BoardConfig:
    """The pattern that the model's text names."""
    index = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_TEXT, NAME)
    start, size = model.text_adr[index], model.text_size[index]
    words = bytes(model.text_data[start : start + size]).rstrip(b"\0").decode().split()
    columns, rows, square, marker, dictionary = words
    return BoardConfig(
        columns=int(columns), rows=int(rows), square=float(square), marker=float(marker), dictionary=dictionary
    )


def painter(
    model: mujoco.MjModel, camera: int, pinhole: tuple[float, float, float, float], width: int
) -> Painter | None:
    """What paints the board of this model; None where there is none."""
    there = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_GEOM, NAME) >= 0
    return Painter(model, camera, pinhole, width) if there else None
