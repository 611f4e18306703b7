"""What a calibration found, as a picture: corners over a view, residuals over the sensor, where cameras and tool stood."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from vla_ros.calibration import rigid
from vla_ros.evaluation.pictures import _REPLACED, DIM, GREEN, GROUND, PANEL, RED, TEXT, Colour
from vla_ros.geometry import Array

if TYPE_CHECKING:
    from vla_ros.calibration.hand_eye import HandEye
    from vla_ros.calibration.intrinsics import Intrinsics
    from vla_ros.calibration.table import Table
    from vla_ros.commands.calibrate_views import Seen
    from vla_ros.values import Image

WIDE, HIGH = 640, 480
"""Pixels of one panel."""
_GAP, _HEAD, _LINE = 16, 30, 22
BLUE: Colour = (96, 156, 236)
_LONGEST = 40
"""px in the picture of the longest residual."""


class _Sheet:
    """Panels in two columns below a few lines of text."""

    def __init__(self, title: str, lines: Sequence[str], panels: int) -> None:
        rows = (panels + 1) // 2
        self._top = _GAP + 34 + _LINE * len(lines) + _GAP
        size = (2 * WIDE + 3 * _GAP, self._top + rows * (HIGH + _HEAD + _GAP))
        self.picture = Pillow.new("RGB", size, GROUND)
        self.canvas, self._count = ImageDraw.Draw(self.picture), 0
        self._text((_GAP, _GAP), title, 24, TEXT)
        for number, line in enumerate(lines):
            self._text((_GAP, _GAP + 36 + _LINE * number), line, 14, DIM)

    def panel(self, title: str) -> tuple[int, int]:
        """The upper left corner of the next panel's inside."""
        row, column = divmod(self._count, 2)
        self._count += 1
        left, top = _GAP + column * (WIDE + _GAP), self._top + row * (HIGH + _HEAD + _GAP)
        self._text((left, top + 4), title, 16, TEXT)
        self.canvas.rectangle((left, top + _HEAD, left + WIDE, top + _HEAD + HIGH), PANEL)
        return left, top + _HEAD

    def _text(self, place: tuple[int, int], text: str, size: int, colour: Colour) -> None:
        self.canvas.text(place, text.translate(_REPLACED), colour, ImageFont.load_default(size))

    def words(self, place: tuple[float, float], text: str, colour: Colour = DIM) -> None:
        """A few small words."""
        self._text((round(place[0]), round(place[1])), text, 13, colour)

    def save(self, path: Path) -> None:
        """As PNG."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.picture.save(path)


def hand_eye_sheet(found: HandEye, seen: Sequence[Seen], title: str, lines: Sequence[str], path: Path) -> None:
    """A view with its residuals, all residuals, each view's error, and the poses from above and from the side."""
    sheet, problem = _Sheet(title, lines, 5), found.problem
    worst = int(np.argmax(found.per_view))
    mine = problem.index == worst
    _view(sheet, seen[found.views[worst]].shot.image, problem.corners[mine], found.residuals[mine], "the worst view")
    size = (problem.lens.width, problem.lens.height)
    _cover(sheet, size, problem.corners, found.residuals)
    _bars(sheet, found.views, found.per_view)
    for axes, name in (((0, 1), "from above"), ((0, 2), "from the side")):
        _places(sheet, found, axes, f"where tool, camera and board were, base frame, {name}")
    sheet.save(path)


def intrinsics_sheet(found: Intrinsics, seen: Sequence[Seen], title: str, lines: Sequence[str], path: Path) -> None:
    """A view with its residuals, all residuals over the picture, and each view's error."""
    sheet = _Sheet(title, lines, 3)
    counts = [len(seen[i].found) for i in found.views]
    worst = int(np.argmax(found.per_view))
    start = sum(counts[:worst])
    mine = slice(start, start + counts[worst])
    _view(sheet, seen[found.views[worst]].shot.image, found.corners[mine], found.residuals[mine], "the worst view")
    _cover(sheet, (found.lens.width, found.lens.height), found.corners, found.residuals)
    _bars(sheet, found.views, found.per_view)
    sheet.save(path)


def table_sheet(found: Table, points: Sequence[Array], lines: Sequence[str], path: Path) -> None:
    """Where the fingers touched, and by how much each is off the plane."""
    sheet = _Sheet("table", lines, 2)
    left, top = sheet.panel("touches from above, base frame: height and distance from the plane, mm")
    touches = np.array(points)
    for (x, y), touch, off in zip(_fitted(touches[:, [0, 1]], (left, top)), touches, found.residuals, strict=True):
        _dot(sheet.canvas, x, y, 6, GREEN)
        sheet.words((x + 10, y - 8), f"{1e3 * touch[2]:+.2f}  ({1e3 * off:+.2f})", TEXT)
    _bars(sheet, range(len(points)), np.abs(found.residuals) * 1e3, "distance from the plane, mm")
    sheet.save(path)


def _view(sheet: _Sheet, image: Image, corners: Array, residuals: Array, title: str) -> None:
    """One picture with the corners that were found, and how far each is off, enlarged."""
    enlarged = _LONGEST / max(float(np.linalg.norm(residuals, axis=1).max()), 1e-9)
    left, top = sheet.panel(f"{title}: corners found, and residuals {enlarged:.0f} times as long")
    height, width = image.shape[:2]
    share = min(WIDE / width, HIGH / height)
    small = Pillow.fromarray(np.ascontiguousarray(image)).resize((round(width * share), round(height * share)))
    sheet.picture.paste(small, (left, top))
    for (x, y), (dx, dy) in zip(corners * share + [left, top], residuals * enlarged * share, strict=True):
        sheet.canvas.ellipse((x - 5, y - 5, x + 5, y + 5), outline=GREEN, width=2)
        sheet.canvas.line((x, y, x + dx, y + dy), RED, 2)


def _cover(sheet: _Sheet, size: tuple[int, int], corners: Array, residuals: Array) -> None:
    """Every corner of every view over the sensor, with its residual."""
    longest = float(np.percentile(np.linalg.norm(residuals, axis=1), 99))
    enlarged = _LONGEST / 2 / max(longest, 1e-9)
    left, top = sheet.panel(f"all corners over the sensor, residuals {enlarged:.0f} times as long")
    share = min(WIDE / size[0], HIGH / size[1])
    sheet.canvas.rectangle((left, top, left + size[0] * share, top + size[1] * share), outline=DIM)
    for (x, y), (dx, dy) in zip(corners * share + [left, top], residuals * enlarged, strict=True):
        _dot(sheet.canvas, x, y, 1.5, BLUE)
        sheet.canvas.line((x, y, x + dx, y + dy), RED, 1)


def _bars(
    sheet: _Sheet, numbers: Sequence[int], values: Array, title: str = "reprojection error of each view, px"
) -> None:
    left, top = sheet.panel(f"{title}; the longest is {float(np.max(values)):.3f}")
    wide, scale = WIDE / max(len(values), 1), (HIGH - 60) / max(float(np.max(values)), 1e-12)
    for place, (number, value) in enumerate(zip(numbers, values, strict=True)):
        x, low = left + place * wide, top + HIGH - 26
        sheet.canvas.rectangle((x + 0.15 * wide, low - scale * float(value), x + 0.85 * wide, low), BLUE)
        sheet.words((x + 0.2 * wide, low + 6), str(number + 1))


def _places(sheet: _Sheet, found: HandEye, axes: tuple[int, int], title: str) -> None:
    """The poses, projected along an axis of the base frame: tools, and where camera or board were then."""
    left, top = sheet.panel(title)
    tools = found.problem.tools
    camera, board = rigid.of_pose(found.camera), rigid.of_pose(found.board)
    carried, fixed = (camera, board) if found.problem.parent == "tool" else (board, camera)
    moved = tools @ carried
    groups = [tools[:, :3, 3], moved[:, :3, 3], fixed[None, :3, 3]]
    looks = [m[:, :3, 3] + 0.05 * m[:, :3, 2] for m in (tools, moved, fixed[None])]
    flat = _fitted(np.concatenate([*groups, *looks])[:, list(axes)], (left, top))
    count = [len(g) for g in groups] * 2
    parts = np.split(flat, np.cumsum(count)[:-1])
    names = (
        "tool",
        "camera" if found.problem.parent == "tool" else "board",
        "board" if found.problem.parent == "tool" else "camera",
    )
    for row, (name, colour) in enumerate(zip(names, (DIM, GREEN, RED), strict=True)):
        for (x, y), (u, v) in zip(parts[row], parts[row + 3], strict=True):
            _dot(sheet.canvas, x, y, 4, colour)
            sheet.canvas.line((x, y, u, v), colour, 1)
        sheet.words((left + 8, top + 6 + 18 * row), f"{name} and its z", colour)


def _fitted(places: Array, corner: tuple[int, int]) -> Array:
    """Pixels for places (n, 2) m: as large as the panel holds, the second axis upwards, both at one scale."""
    low, high = places.min(axis=0), places.max(axis=0)
    scale = min((WIDE - 120) / max(float(high[0] - low[0]), 1e-6), (HIGH - 120) / max(float(high[1] - low[1]), 1e-6))
    middle = np.array([corner[0] + WIDE / 2, corner[1] + HIGH / 2])
    return np.asarray(middle + (places - (low + high) / 2) * [scale, -scale])


def _dot(canvas: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: Colour) -> None:
    canvas.ellipse((x - radius, y - radius, x + radius, y + radius), colour)
