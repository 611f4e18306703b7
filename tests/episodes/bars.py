"""Pictures that say which they are: a bar code of a number along the top, which survives an encoder. Known to both environments."""

import numpy as np

BITS, CELL = 12, 6

LENGTHS, TASKS = (4, 4), ("push the red cube 0", "lift it")
"""Of the episodes that LeRobot itself records for the tests."""


def coded(number: int, shape: tuple[int, ...]) -> np.ndarray:
    """A picture (height, width, 3) with a bar code of its number: BITS cells of CELL pixels along the top."""
    image = np.full((*shape[:2], 3), 90, np.uint8)
    for bit in range(BITS):
        image[:CELL, bit * CELL : (bit + 1) * CELL] = 255 * (number >> bit & 1)
    return image


def decoded(image: np.ndarray) -> int:
    """The number in a picture (height, width, 3) that has been through an encoder; of 0 … 255 or of 0 … 1."""
    middle = 127 if image.dtype == np.uint8 else 0.5
    cells = [image[1 : CELL - 1, bit * CELL + 1 : (bit + 1) * CELL - 1].mean() > middle for bit in range(BITS)]
    return sum(int(on) << bit for bit, on in enumerate(cells))
