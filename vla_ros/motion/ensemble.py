"""Temporal ensemble: what several chunks predict for the same moment, averaged (Zhao et al. 2023, arXiv 2304.13705, algorithm 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vla_ros.geometry import Array
from vla_ros.motion.path import turned, turns


@dataclass(frozen=True)
class Prediction:
    """What one chunk predicts for n moments: positions (n, 3) m, quaternions (n, 4) xyzw, grippers (n,).

    Where it predicts nothing, `grippers` is NaN.
    """

    positions: Array
    quaternions: Array
    grippers: Array


def weights(known: Array, decay: float) -> Array:
    """Weights (chunks, n) that add up to 1 for each moment, of chunks in the order of their age, oldest first.

    `known` (chunks, n) says who predicts what. Of those that do, the i-th oldest weighs exp(-decay·i).
    """
    rank = np.cumsum(known, axis=0) - 1
    raw = np.where(known, np.exp(-decay * rank), 0.0)
    return np.asarray(raw / raw.sum(axis=0))


def ensemble(newest: Prediction, older: Sequence[Prediction], decay: float) -> Prediction:
    """The mean of the newest prediction, known everywhere, and the older ones, oldest first, at the same n moments.

    Orientations are averaged as rotation vectors about the newest: a good mean as long as they differ by less than a quarter turn.
    """
    if not older:
        return newest
    everyone = [*older, newest]
    known = np.stack([~np.isnan(one.grippers) for one in everyone])
    share = weights(known, decay)
    apart = np.stack([turns(one.quaternions, newest.quaternions) for one in everyone])
    return Prediction(
        _mean(share, np.stack([one.positions for one in everyone])),
        turned(_mean(share, apart), newest.quaternions),
        _mean(share, np.stack([one.grippers for one in everyone])[:, :, None])[:, 0],
    )


def _mean(share: Array, values: Array) -> Array:
    """Weighted mean (n, d) of values (chunks, n, d); one of weight 0 may be NaN."""
    weight = share[:, :, None]
    return np.asarray(np.where(weight > 0, weight * values, 0.0).sum(axis=0))
