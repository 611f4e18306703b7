"""A number drawn in a picture so that it survives an encoder: which frame is which can be told from a video alone."""

from __future__ import annotations

from vla_ros.values import Image

BITS = 20
"""Numbers up to a million: nine hours of 30 Hz."""


def draw(image: Image, number: int) -> None:
    """Draw it along the top of an image (H, W, 3), in place, the lowest bit first. It must be 80 pixels wide at least."""
    cell = image.shape[1] // BITS
    for bit in range(BITS):
        image[: max(cell, 4), bit * cell : (bit + 1) * cell] = 255 * (number >> bit & 1)


def read(image: Image) -> int:
    """The number in a picture that has been through an encoder."""
    cell = image.shape[1] // BITS
    rows = slice(1, max(cell, 4) - 1)
    cells = [image[rows, bit * cell + 1 : (bit + 1) * cell - 1].mean() > 127 for bit in range(BITS)]
    return sum(int(on) << bit for bit, on in enumerate(cells))
