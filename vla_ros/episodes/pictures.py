"""An episode at one look: a contact sheet of its frames, and its numbers over time, as PNG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from vla_ros.episodes.check import column
from vla_ros.episodes.depth import Depth
from vla_ros.episodes.reader import DatasetReader
from vla_ros.geometry import Array
from vla_ros.values import Image

WIDTH, MARGIN, TITLE = 180, 6, 30
"""Pixels of a frame's width on the sheet, between frames, and of the line above them."""
PLOT, TALL, LEFT, AXIS = 900, 84, 165, 24
COLOURS = ("#c0392b", "#27ae60", "#2980b9", "#8e44ad")
INTERVENED = "#f6e3c5"
GROUPS = {
    "observation.state": (("way, m", 0, 3), ("turn, rad", 3, 6), ("gripper", 6, 8)),
    "action": (("done, m a row", 0, 3), ("done, rad a row", 3, 6)),
    "commanded": (("told, m/s", 0, 3), ("told, rad/s", 3, 6)),
}
"""Columns that are drawn: titles, and which of their dimensions together."""
LEAST = 1e-3
"""What a plot spans at least: a gripper that rests is a line, and not its noise."""


def contact_sheet(reader: DatasetReader, episode: int, path: Path, columns: int = 8) -> None:
    """Frames evenly over an episode, one row per camera and then one per depth, under their seconds.

    Raises DatasetError for an unknown episode, and where a film is missing or too short.
    """
    count = reader.episodes[episode].length
    chosen = np.linspace(0, count - 1, min(columns, count), dtype=np.int64)
    films = [_chosen(reader.frames(episode, camera), chosen) for camera in reader.cameras]
    films += [[coloured(p) for p in _chosen(reader.depth(episode, camera), chosen)] for camera in reader.depths]
    heights = [round(WIDTH * film[0].shape[0] / film[0].shape[1]) for film in films]
    size = (len(chosen) * (WIDTH + MARGIN) + MARGIN, 2 * TITLE + sum(heights) + (len(films) + 1) * MARGIN)
    sheet = Picture.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, 5), _title(reader, episode), "black", ImageFont.load_default(17))
    for place, frame in enumerate(chosen):
        left = MARGIN + place * (WIDTH + MARGIN)
        draw.text((left, TITLE + 7), f"{frame / reader.info['fps']:.1f} s", "#555555", ImageFont.load_default(14))
        top = 2 * TITLE
        for film, height in zip(films, heights, strict=True):
            sheet.paste(_fitted(film[place], (WIDTH, height)), (left, top))
            top += height + MARGIN
    _save(sheet, path)


def _chosen(film: Iterable[Any], chosen: NDArray[np.int64]) -> list[Any]:
    wanted = set(chosen.tolist())
    return [picture for k, picture in enumerate(film) if k in wanted]


def coloured(depth: Depth) -> Image:
    """Depth (H, W) mm as a picture: near is red, far is blue, over what is known but for its nearest and farthest percent."""
    known = depth[depth > 0]
    near, far = np.percentile(known, (1, 99)) if known.size else (0.0, 1.0)
    share = np.clip((depth - near) / max(far - near, 1.0), 0.0, 1.0)
    colours = np.stack([1.0 - share, 1.0 - np.abs(2.0 * share - 1.0), share], axis=-1)
    return np.asarray(np.where(depth[..., None] > 0, colours * 255.0, 0.0).astype(np.uint8))


def plots(reader: DatasetReader, episode: int, path: Path) -> None:
    """State, action and command of an episode over time; where a hand corrected a policy the ground is coloured."""
    bands = [
        (title, labels, values)
        for name, groups in GROUPS.items()
        for title, labels, values in _bands(reader, episode, name, groups)
    ]
    top = TITLE
    picture = Picture.new("RGB", (LEFT + PLOT + 2 * MARGIN, top + len(bands) * (TALL + MARGIN) + AXIS), "white")
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN, 5), _title(reader, episode), "black", ImageFont.load_default(17))
    hand = column(reader, reader.episodes[episode], "intervention")
    for title, labels, values in bands:
        _band(draw, top, title, labels, values, hand)
        top += TALL + MARGIN
    _seconds(draw, top, reader.episodes[episode].length / reader.info["fps"])
    _save(picture, path)


def _title(reader: DatasetReader, episode: int) -> str:
    one = reader.episodes[episode]
    return f"episode {episode}, {one.length / reader.info['fps']:.1f} s: {one.task}"


def _bands(
    reader: DatasetReader, episode: int, name: str, groups: Sequence[tuple[str, int, int]]
) -> list[tuple[str, list[str], Array]]:
    values = column(reader, reader.episodes[episode], name)
    if values is None:
        return []
    names = reader.info["features"][name]["names"] or [str(k) for k in range(values.shape[1])]
    return [(title, list(names[a:b]), values[:, a:b]) for title, a, b in groups if a < values.shape[1]]


def _band(
    draw: ImageDraw.ImageDraw, top: int, title: str, labels: Sequence[str], values: Array, hand: Array | None
) -> None:
    """One plot: its title, its dimensions in their colours, and its range beside it."""
    low, high = float(values.min()), float(values.max())
    middle, span = (low + high) / 2, max(high - low, LEAST)
    x = LEFT + np.linspace(0, PLOT, len(values), dtype=np.float64)
    if hand is not None and len(values) > 1:
        for k in np.flatnonzero(hand[:, 0]).tolist():
            draw.rectangle((x[k], top, x[min(k + 1, len(x) - 1)], top + TALL), INTERVENED)
    draw.rectangle((LEFT, top, LEFT + PLOT, top + TALL), outline="#cccccc")
    font, small = ImageFont.load_default(14), ImageFont.load_default(12)
    draw.text((MARGIN, top + 2), title, "black", font)
    draw.text((MARGIN, top + 44), f"{high:.3g}", "#555555", small)
    draw.text((MARGIN, top + 62), f"{low:.3g}", "#555555", small)
    left = float(MARGIN)
    for k, label in enumerate(labels):
        draw.text((left, top + 23), label, COLOURS[k % len(COLOURS)], small)
        left += small.getlength(label) + 8
    for k in range(values.shape[1]):
        y = top + TALL / 2 - (values[:, k] - middle) / span * (TALL - 6)
        draw.line(list(zip(x.tolist(), y.tolist(), strict=True)), fill=COLOURS[k % len(COLOURS)], width=2)


def _seconds(draw: ImageDraw.ImageDraw, top: int, seconds: float) -> None:
    """The axis of time under the last plot: from five to ten marks."""
    step = next(s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if seconds / s <= 10 or s == 1000)
    for k in range(int(seconds / step) + 1):
        x = LEFT + PLOT * k * step / max(seconds, 1e-9)
        draw.line((x, top - MARGIN, x, top - MARGIN + 4), "#888888")
        draw.text((x, top), f"{k * step:g} s", "#555555", ImageFont.load_default(12), anchor="ma")


def _fitted(image: Image, size: tuple[int, int]) -> Picture.Image:
    """The picture at that size; of a small one the pixels stay to be seen."""
    picture = Picture.fromarray(image)
    return picture.resize(size, Picture.Resampling.NEAREST if picture.width < size[0] else Picture.Resampling.LANCZOS)


def _save(picture: Picture.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
