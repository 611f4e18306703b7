"""The ChArUco board: its points, its print, and its corners in a picture. Needs OpenCV (`pip install 'vla_ros[calibrate]'`).

The board's frame has its origin in the middle of the pattern, x to the right and y up on the print, and z out of the face. Corner k
is OpenCV's: counted in rows from the top left.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.config.schema import BoardConfig
from vla_ros.geometry import Array
from vla_ros.values import Image

FEWEST = 8
"""Corners that a picture must show: two rows of four tell a pose and whether it fits."""
BLUR = 1.0
"""px. A sharp edge, as the twin's pinhole gives it, makes the gradients between pixels unsteady: the corners then scatter twice as
much (measured on boards of the twin: 0.055 px without, 0.03 px with it)."""
_WINDOW = 0.12
"""Half the window around a corner, as a share of the distance to its neighbour: it must not reach the markers."""
_SMALLEST, _LARGEST = 3, 12
PAPERS = {"A4": (0.297, 0.210), "A3": (0.420, 0.297)}
"""Width and height of a sheet that lies, m."""
_SQUARE = 600
"""Pixels along the edge of a square of the print."""


class BoardError(Exception):
    """A board that is not seen, or cannot be made. The text says why and what to do."""


@dataclass(frozen=True)
class Detection:
    """Corners of the board in a picture: their numbers `ids` (n,) and pixels `corners` (n, 2), centres at whole numbers."""

    ids: NDArray[np.int64]
    corners: Array

    def __len__(self) -> int:
        return len(self.ids)


def points(board: BoardConfig) -> Array:
    """Where the inner corners are in the board's frame, (n, 3) m, in the order of their ids."""
    x = (np.arange(1, board.columns) - board.columns / 2) * board.square
    y = (board.rows / 2 - np.arange(1, board.rows)) * board.square
    across, down = np.meshgrid(x, y)
    return np.stack([across.ravel(), down.ravel(), np.zeros(across.size)], axis=1)


def outline(board: BoardConfig) -> Array:
    """The four outer corners of the pattern in the board's frame, (4, 3) m."""
    half = np.array([board.columns, board.rows, 0.0]) * board.square / 2
    return half * np.array([[-1, 1, 0], [1, 1, 0], [1, -1, 0], [-1, -1, 0]])


def pattern(board: BoardConfig) -> Any:
    """OpenCV's CharucoBoard. Raises BoardError for a dictionary that there is not, or that has too few markers."""
    import cv2

    number = getattr(cv2.aruco, board.dictionary, None)
    if not board.dictionary.startswith("DICT_") or number is None:
        raise BoardError(f"board.dictionary {board.dictionary!r} is none of OpenCV's, such as DICT_5X5_100")
    dictionary = cv2.aruco.getPredefinedDictionary(number)
    needed = board.columns * board.rows // 2
    if needed > len(dictionary.bytesList):
        raise BoardError(
            f"a board of {board.columns}×{board.rows} squares needs {needed} markers, {board.dictionary} has "
            f"{len(dictionary.bytesList)}: choose a larger dictionary"
        )
    return cv2.aruco.CharucoBoard((board.columns, board.rows), board.square, board.marker, dictionary)


class Finder:
    """Finds the corners of one board in pictures."""

    def __init__(self, board: BoardConfig) -> None:
        import cv2

        self.board = board
        self._detector = cv2.aruco.CharucoDetector(pattern(board))

    def find(self, image: Image) -> Detection:
        """The corners in a picture (H, W, 3) uint8 RGB. Raises BoardError when there are fewer than FEWEST, or all on one line."""
        import cv2

        grey = np.asarray(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY), np.uint8)
        found, ids, _, _ = self._detector.detectBoard(grey)
        count = 0 if ids is None else len(ids)
        if count == 0:
            raise BoardError(
                "the board is not seen: bring it before the camera, whole, lit and without glare, and check that `board` of the "
                "configuration is what is printed"
            )
        if count < FEWEST:
            raise BoardError(
                f"only {count} corners of the board are seen, {FEWEST} are needed: show more of it, or come nearer"
            )
        numbers = np.asarray(ids, np.int64).ravel()
        if _on_a_line(points(self.board)[numbers]):
            raise BoardError("all corners that are seen are on one line: show more of the board")
        return Detection(numbers, _refined(grey, found))


def _on_a_line(places: Array) -> bool:
    spread = np.linalg.svd(places - places.mean(axis=0), compute_uv=False)
    return bool(spread[1] < 1e-6)


def _refined(grey: NDArray[np.uint8], found: Any) -> Array:
    """Corners to a fraction of a pixel, with a window that fits how large the squares are in this picture."""
    import cv2

    corners = np.ascontiguousarray(found, np.float32).reshape(-1, 1, 2)
    apart = np.linalg.norm(corners - corners.reshape(1, -1, 2), axis=2)
    nearest = np.sort(apart, axis=1)[:, 1].min()
    half = int(np.clip(_WINDOW * nearest, _SMALLEST, _LARGEST))
    until = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 100, 1e-4)
    smooth = cv2.GaussianBlur(grey, (0, 0), BLUR)
    return np.asarray(cv2.cornerSubPix(smooth, corners, (half, half), (-1, -1), until), np.float64).reshape(-1, 2)


def write_print(board: BoardConfig, path: Path, paper: str = "A4") -> float:
    """The board in its true size on a sheet, as PDF or PNG by the name of the file; returns its resolution in dots per inch.

    Raises BoardError where it does not fit the paper or the file is neither.
    """
    if path.suffix.lower() not in (".pdf", ".png"):
        raise BoardError(f"--output {path}: the name must end in .pdf or .png")
    size = np.array([board.columns, board.rows]) * board.square
    sheet = np.array(PAPERS[paper])
    if (size + 0.014 > sheet).any():
        raise BoardError(
            f"a board of {1e3 * size[0]:.0f}×{1e3 * size[1]:.0f} mm does not fit on {paper} with a margin of 7 mm: "
            "choose another --paper, or a smaller board.square"
        )
    scale = _SQUARE / board.square
    drawn = pattern(board).generateImage((board.columns * _SQUARE, board.rows * _SQUARE))
    page = _page(board, drawn, np.rint(sheet * scale).astype(int), scale)
    dpi = scale * 0.0254
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".pdf":
        page.convert("1", dither=0).save(path, resolution=dpi)  # two colours: Pillow would write greys as JPEG
    else:
        page.save(path, dpi=(dpi, dpi))
    return float(dpi)


def _page(board: BoardConfig, drawn: NDArray[np.uint8], size: NDArray[np.int64], scale: float) -> Any:
    """The sheet: the pattern in the middle, what it is below it, and 100 mm to hold a ruler to."""
    from PIL import Image as Pillow
    from PIL import ImageDraw, ImageFont

    page = Pillow.new("L", (int(size[0]), int(size[1])), 255)
    left, top = (int(size[0]) - drawn.shape[1]) // 2, (int(size[1]) - drawn.shape[0]) // 2
    page.paste(Pillow.fromarray(drawn), (left, top))
    canvas, line = ImageDraw.Draw(page), top + drawn.shape[0] + int(0.004 * scale)
    words = (
        f"{board.columns} x {board.rows} squares of {1e3 * board.square:g} mm, markers {1e3 * board.marker:g} mm, {board.dictionary}. "
        "Print at 100 %. This line is 100 mm:"
    )
    canvas.text((left, line), words, 0, ImageFont.load_default(0.003 * scale))
    end, low = left + round(0.1 * scale), line + int(0.006 * scale)
    if low < size[1]:
        canvas.line((left, low, end, low), 0, max(1, round(0.0003 * scale)))
    return page
