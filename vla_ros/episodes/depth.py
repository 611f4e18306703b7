"""Depth as it is kept: whole mm in 16 bits, 0 where it is not known.

No codec is imported here: the camera nodes, which run where no codec is, take their depth from here as well.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Depth: TypeAlias = NDArray[np.uint16]
"""(H, W) mm, 0 where unknown."""

FARTHEST = np.iinfo(np.uint16).max
"""mm; what is farther is unknown."""


def from_metres(metres: NDArray[np.floating[Any]]) -> Depth:
    """Depth in m (H, W), of which what is not finite, not positive or too far is unknown."""
    with np.errstate(invalid="ignore", over="ignore"):
        millimetres = np.rint(metres * 1000.0)
        known = (millimetres > 0) & (millimetres <= FARTHEST)
    return np.where(known, millimetres, 0).astype(np.uint16)
