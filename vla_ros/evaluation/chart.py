"""Curves over time as a picture: for who has no plotting library, which is what this service is installed without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from vla_ros.evaluation.pictures import DIM, GREEN, GROUND, PANEL, RED, TEXT, Colour
from vla_ros.geometry import Array

WIDTH, HEIGHT = 1200, 190
"""Pixels of one panel."""
_LEFT, _GAP, _TOP = 20, 14, 34
POINTS, LINE, MARK = DIM, GREEN, RED


@dataclass(frozen=True)
class Curve:
    """Values (n,) over times (n,) s; drawn as dots, or as a line. Its `label` stands at the upper right, in its colour."""

    times: Array
    values: Array
    line: bool = False
    colour: Colour = POINTS
    label: str = ""


@dataclass(frozen=True)
class Panel:
    """Curves that share both axes, under a title; `marks` are moments with a vertical line. `scale`: their range is written down."""

    title: str
    curves: Sequence[Curve]
    marks: Sequence[float] = ()
    scale: bool = False


def draw(panels: Sequence[Panel], path: Path) -> None:
    """The panels under each other as a PNG."""
    sheet = Pillow.new("RGB", (WIDTH, len(panels) * (HEIGHT + _GAP) + _GAP), GROUND)
    canvas = ImageDraw.Draw(sheet)
    for row, panel in enumerate(panels):
        _panel(canvas, panel, _GAP + row * (HEIGHT + _GAP))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def _panel(canvas: ImageDraw.ImageDraw, panel: Panel, top: int) -> None:
    canvas.rounded_rectangle((_LEFT - 8, top, WIDTH - _LEFT + 8, top + HEIGHT), 8, PANEL)
    canvas.text((_LEFT, top + 8), panel.title, TEXT, ImageFont.load_default(18))
    times = np.concatenate([curve.times for curve in panel.curves])
    values = np.concatenate([curve.values for curve in panel.curves])
    if not len(times):
        return
    box = _LEFT, top + _TOP, WIDTH - _LEFT, top + HEIGHT - 8
    for moment in panel.marks:
        x = float(_scaled(np.array([moment]), times, box[0], box[2])[0])
        canvas.line((x, box[1], x, box[3]), MARK, 1)
    if panel.scale:
        _range(canvas, values, box)
    _labels(canvas, panel.curves, top)
    for curve in panel.curves:
        xs = _scaled(curve.times, times, box[0], box[2])
        ys = _scaled(curve.values, values, box[3], box[1])
        _curve(canvas, curve, list(zip(xs.tolist(), ys.tolist(), strict=True)))


def _range(canvas: ImageDraw.ImageDraw, values: Array, box: tuple[int, int, int, int]) -> None:
    font = ImageFont.load_default(13)
    canvas.text((box[0], box[1]), f"{float(values.max()):.3g}", DIM, font)
    canvas.text((box[0], box[3] - 16), f"{float(values.min()):.3g}", DIM, font)


def _labels(canvas: ImageDraw.ImageDraw, curves: Sequence[Curve], top: int) -> None:
    font, x = ImageFont.load_default(15), WIDTH - _LEFT
    for curve in reversed([curve for curve in curves if curve.label]):
        x -= round(font.getlength(curve.label)) + 18
        canvas.text((x, top + 9), curve.label, curve.colour, font)


def _curve(canvas: ImageDraw.ImageDraw, curve: Curve, points: list[tuple[float, float]]) -> None:
    if curve.line:
        canvas.line(points, curve.colour, 2)
        return
    for x, y in points:
        canvas.ellipse((x - 1.5, y - 1.5, x + 1.5, y + 1.5), curve.colour)


def _scaled(values: Array, all_values: Array, start: int, end: int) -> Array:
    """Pixels for values, such that `all_values` fill the range."""
    low, high = float(all_values.min()), float(all_values.max())
    return np.asarray(start + (values - low) / max(high - low, 1e-12) * (end - start))
