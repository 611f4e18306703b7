"""An episode at one look: a contact sheet of its frames, and its numbers over time, as PNG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from PIL import ImageDraw

from vla_ros.episodes.check import column
from vla_ros.episodes.depth import Depth
from vla_ros.episodes.reader import DatasetReader
from vla_ros.geometry import Array
from vla_ros.values import Image

WIDTH, HEIGHT, MARGIN, LEFT = 160, 120, 4, 130
PLOT, TALL = 900, 90
COLOURS = ("#c0392b", "#27ae60", "#2980b9", "#8e44ad", "#d35400", "#16a085", "#7f8c8d", "#2c3e50")
GROUPS = {
    "observation.state": ((0, 3), (3, 6), (6, 8)),
    "action": ((0, 3), (3, 6), (6, 7)),
    "commanded": ((0, 3), (3, 6)),
}
"""Columns that are drawn, and which of their dimensions together."""


def contact_sheet(reader: DatasetReader, episode: int, path: Path, columns: int = 8) -> None:
    """Frames evenly over an episode, one row per camera and then one per depth, each with its second.

    Raises DatasetError for an unknown episode, and where a film is missing or too short.
    """
    count = reader.episodes[episode].length
    chosen = np.linspace(0, count - 1, min(columns, count), dtype=np.int64)
    films = [_chosen(reader.frames(episode, camera), chosen) for camera in reader.cameras]
    films += [[coloured(p) for p in _chosen(reader.depth(episode, camera), chosen)] for camera in reader.depths]
    size = (len(chosen) * (WIDTH + MARGIN) + MARGIN, len(films) * (HEIGHT + MARGIN) + MARGIN + 16)
    sheet = Picture.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, 2), f"episode {episode}: {reader.episodes[episode].task}", fill="black")
    for row, film in enumerate(films):
        for place, frame in enumerate(chosen):
            corner = (MARGIN + place * (WIDTH + MARGIN), 16 + MARGIN + row * (HEIGHT + MARGIN))
            sheet.paste(_fitted(film[place]), corner)
            draw.text((corner[0] + 3, corner[1] + 2), f"{frame / reader.info['fps']:.1f} s", fill="yellow")
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
    """State, action and command of an episode over time."""
    bands = [
        (f"{name} {', '.join(labels)}", values)
        for name, groups in GROUPS.items()
        for labels, values in _bands(reader, episode, name, groups)
    ]
    picture = Picture.new("RGB", (LEFT + PLOT + MARGIN, len(bands) * (TALL + MARGIN) + MARGIN), "white")
    for place, (title, values) in enumerate(bands):
        _band(ImageDraw.Draw(picture), MARGIN + place * (TALL + MARGIN), title, values)
    _save(picture, path)


def _bands(
    reader: DatasetReader, episode: int, name: str, groups: Sequence[tuple[int, int]]
) -> list[tuple[list[str], Array]]:
    values = column(reader, reader.episodes[episode], name)
    if values is None:
        return []
    names = reader.info["features"][name]["names"] or [str(k) for k in range(values.shape[1])]
    return [(list(names[a:b]), values[:, a:b]) for a, b in groups if a < values.shape[1]]


def _band(draw: ImageDraw.ImageDraw, top: int, title: str, values: Array) -> None:
    low, high = float(values.min()), float(values.max())
    span = max(high - low, 1e-9)
    draw.rectangle((LEFT, top, LEFT + PLOT, top + TALL), outline="#cccccc")
    for line, text in enumerate((*title.split(" ", 1), f"{high:.4g}", f"{low:.4g}")):
        draw.text((MARGIN, top + 2 + 20 * line), text, fill="black")
    x = LEFT + np.linspace(0, PLOT, len(values), dtype=np.float64)
    for k in range(values.shape[1]):
        y = top + TALL - 2 - (values[:, k] - low) / span * (TALL - 4)
        draw.line(list(zip(x.tolist(), y.tolist(), strict=True)), fill=COLOURS[k % len(COLOURS)], width=1)


def _fitted(image: Image) -> Picture.Image:
    picture = Picture.fromarray(image)
    picture.thumbnail((WIDTH, HEIGHT))
    frame = Picture.new("RGB", (WIDTH, HEIGHT), "#eeeeee")
    frame.paste(picture, ((WIDTH - picture.width) // 2, (HEIGHT - picture.height) // 2))
    return frame


def _save(picture: Picture.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
