"""Pictures of what happened: contact sheets of episodes, and the frames of videos for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from vla_ros.episodes.video import VideoEncoder
from vla_ros.values import Image

Colour = tuple[int, int, int]

GROUND: Colour = (17, 21, 28)
PANEL: Colour = (30, 36, 46)
TEXT: Colour = (236, 240, 245)
DIM: Colour = (172, 181, 194)
GREEN: Colour = (64, 186, 112)
RED: Colour = (229, 83, 83)

_MARGIN, _GAP, _ROUND = 28, 10, 8
_FOR_PEOPLE = {"preset": "medium", "tune": "animation"}

_REPLACED = str.maketrans({"–": "-", "—": "-", "−": "-", "×": "x", "→": ">", "²": "2", "µ": "u", "≥": ">", "≤": "<"})
"""Characters that Pillow's font lacks, and what stands for them."""

Row = tuple[str, Sequence[Image]]


def contact_sheet(
    rows: Sequence[Row],
    captions: Sequence[str] = (),
    title: str = "",
    status: str = "",
    good: bool | None = None,
    tile: int = 360,
) -> Pillow.Image:
    """What the cameras saw over an episode: a row per camera, a column per moment.

    `rows` are (label, images (H, W, 3) uint8); `captions` stand over the columns (times); `title` is the
    instruction, `status` the result, in green or red where `good` says which. Images are enlarged by the
    whole factor that brings them nearest to `tile` pixels of width, so that a pixel of the camera stays a
    square.
    """
    pictures = [[enlarged(image, tile) for image in images] for _, images in rows]
    columns = max((len(row) for row in pictures), default=0)
    pitch = max((p.width for row in pictures for p in row), default=tile) + _GAP
    heights = [max((p.height for p in row), default=0) for row in pictures]
    left = _MARGIN + max((_width(label, 20) for label, _ in rows), default=0) + 20
    top = _MARGIN + (64 if title or status else 0) + (34 if captions else 0)
    width = left + columns * pitch - _GAP + _MARGIN
    sheet = Pillow.new("RGB", (width, top + sum(heights) + _GAP * (len(rows) - 1) + _MARGIN), GROUND)
    draw = ImageDraw.Draw(sheet)
    _headline(draw, width, title, status, good)
    for column, caption in enumerate(captions[:columns]):
        middle = left + column * pitch + (pitch - _GAP) / 2
        _write(draw, (middle, top - 14), caption, DIM, 20, "ms")
    for (label, _), row, height in zip(rows, pictures, heights, strict=True):
        _write(draw, (_MARGIN, top + height / 2), label, DIM, 20, "lm")
        for column, picture in enumerate(row):
            x = left + column * pitch + (pitch - _GAP - picture.width) // 2
            _paste(sheet, picture, (x, top + (height - picture.height) // 2))
        top += height + _GAP
    return sheet


def _headline(draw: ImageDraw.ImageDraw, right: int, title: str, status: str, good: bool | None) -> None:
    middle = _MARGIN + 20
    edge = right - _MARGIN
    if status:
        colour = {None: PANEL, True: GREEN, False: RED}[good]
        edge -= _width(status, 22) + 32
        draw.rounded_rectangle((edge, middle - 20, right - _MARGIN, middle + 20), 20, colour)
        _write(draw, (edge + 16, middle), status, TEXT, 22, "lm")
    _write(draw, (_MARGIN, middle), _fitted(title, edge - _MARGIN - 20, 32), TEXT, 32, "lm")


def compose_frame(
    main: Image, insets: Sequence[tuple[str, Image]] = (), lines: Sequence[str] = (), inset_width: int = 240
) -> Image:
    """A frame of a video for people: `main` (H, W, 3) with the camera images in it and text at the bottom.

    `insets` are (label, image), stacked at the right edge from the top; the first of `lines` is the
    instruction and drawn large, the others are status. Returns (H, W, 3) uint8 of the size of `main`.
    """
    frame = Pillow.fromarray(main).convert("RGB")
    y = 20
    for label, image in insets:
        picture = enlarged(image, inset_width)
        x = frame.width - 20 - picture.width
        _plate(frame, (x - 6, y - 6, x + picture.width + 6, y + picture.height + 28))
        _paste(frame, picture, (x, y))
        place = (x + picture.width / 2, y + picture.height + 14)
        _write(ImageDraw.Draw(frame), place, label, TEXT, 16, "mm")
        y += picture.height + 50
    if lines:
        _subtitle(frame, lines)
    return np.asarray(frame)


def _subtitle(frame: Pillow.Image, lines: Sequence[str]) -> None:
    sizes = [30] + [19] * (len(lines) - 1)
    texts = [_fitted(line, frame.width - 80, size) for line, size in zip(lines, sizes, strict=True)]
    width = max(_width(text, size) for text, size in zip(texts, sizes, strict=True))
    y = frame.height - 20 - 24 - sum(size + 10 for size in sizes) + 10
    _plate(frame, (20, y, 20 + width + 40, frame.height - 20))
    draw = ImageDraw.Draw(frame)
    y += 12
    for text, size in zip(texts, sizes, strict=True):
        _write(draw, (40, y + size / 2), text, TEXT if size == sizes[0] else DIM, size, "lm")
        y += size + 10


def write_video(path: Path, frames: Iterable[Image], fps: int, crf: int = 20) -> int:
    """Write frames (H, W, 3) uint8 as an mp4 that every player shows. Returns how many there were.

    Odd sizes grow by a pixel, since players want yuv420p. Raises ValueError if there are no frames.
    """
    iterator = (_even(frame) for frame in frames)
    first = next(iterator, None)
    if first is None:
        raise ValueError(f"there are no frames for {path}")
    count = 0
    with VideoEncoder(path, first.shape, fps, "yuv420p", crf, _FOR_PEOPLE, for_web=True) as encoder:
        for frame in chain([first], iterator):
            encoder.add(frame)
            count += 1
    return count


def _even(frame: Image) -> Image:
    height, width = frame.shape[:2]
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def enlarged(image: Image, width: int) -> Pillow.Image:
    """The image, each pixel a square, as near to `width` as a whole factor brings it; large ones shrunk."""
    picture = Pillow.fromarray(np.ascontiguousarray(image))
    if picture.width > width:
        return picture.resize((width, round(picture.height * width / picture.width)), Pillow.Resampling.LANCZOS)
    factor = max(1, round(width / picture.width))
    return picture.resize((picture.width * factor, picture.height * factor), Pillow.Resampling.NEAREST)


def _paste(sheet: Pillow.Image, picture: Pillow.Image, place: tuple[int, int]) -> None:
    mask = Pillow.new("L", picture.size, 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, picture.width - 1, picture.height - 1), _ROUND, 255)
    sheet.paste(picture, place, mask)


def _plate(frame: Pillow.Image, box: tuple[int, int, int, int]) -> None:
    """Darken a part of the frame, so that what stands on it can be read."""
    mask = Pillow.new("L", frame.size, 0)
    ImageDraw.Draw(mask).rounded_rectangle(box, _ROUND + 4, 190)
    frame.paste(GROUND, (0, 0, *frame.size), mask)


def _fitted(text: str, width: float, size: int) -> str:
    """The text, cut where it would be wider than `width` pixels."""
    if _width(text, size) <= width:
        return text
    while text and _width(text + "...", size) > width:
        text = text[:-1]
    return text.rstrip() + "..."


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font inside Pillow: the same on every machine."""
    return ImageFont.load_default(size)


def _width(text: str, size: int) -> int:
    return round(_font(size).getlength(text.translate(_REPLACED)))


def _write(
    draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, colour: Colour, size: int, anchor: str
) -> None:
    draw.text(place, text.translate(_REPLACED), colour, _font(size), anchor=anchor)
