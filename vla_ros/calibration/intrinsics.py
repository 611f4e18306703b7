"""Camera matrix and distortion from pictures of the board (Zhang 2000, by OpenCV), with what they are worth.

A result that the pictures do not carry is refused: a flat board seen squarely leaves the focal length open, and one in the middle of
the picture leaves the distortion open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vla_ros.calibration.lens import Lens
from vla_ros.geometry import Array

Model = Literal["none", "plumb_bob", "rational_polynomial"]
FEWEST = 8
"""Views: with less, one bad view decides."""
OUTLYING, NEGLIGIBLE = 3.0, 0.1
"""Times the median of the views' residuals, and px, above which a view is left out."""
TILTED = np.radians(8.0)
"""rad, root mean square, by which the board must lean away from its middle orientation."""
REACHED = 0.35
"""Share of the picture's width and of its height that the corners of all views must span."""
UNCERTAIN = 0.01
"""Standard error over focal length above which the result is refused."""
CELLS = (6, 8)
"""Rows and columns of the grid by which coverage is counted."""


class IntrinsicsError(Exception):
    """The camera cannot be calibrated from these pictures. The text says why and what to do."""


@dataclass(frozen=True)
class Picture:
    """Corners of the board: their places on it (n, 3) m and in the picture (n, 2) px; the picture is `width`×`height`."""

    points: Array
    corners: Array
    width: int
    height: int


@dataclass(frozen=True)
class Intrinsics:
    """The lens; standard errors of fx, fy, cx, cy in px; residuals (n, 2) px of the corners (n, 2) that were used.

    `per_view` are px and `views` the numbers of the views that were used, `dropped` of those that were not; `coverage` is the share
    of the picture's cells with a corner; `bend` px is the most that the distortion moves a corner that was seen.
    """

    lens: Lens
    errors: Array
    rms: float
    per_view: Array
    views: tuple[int, ...]
    dropped: tuple[int, ...]
    coverage: float
    bend: float
    corners: Array
    residuals: Array


def solve(pictures: Sequence[Picture], model: Model = "plumb_bob") -> Intrinsics:
    """The lens from these pictures; views that do not fit are dropped. Raises IntrinsicsError."""
    size = _size(pictures)
    kept = list(range(len(pictures)))
    while True:
        _refuse([pictures[i] for i in kept], size)
        fit = _fit([pictures[i] for i in kept], size, model)
        worst = fit.per_view > max(OUTLYING * float(np.median(fit.per_view)), NEGLIGIBLE)
        if not worst.any():
            break
        kept = [i for i, bad in zip(kept, worst, strict=True) if not bad]
    _refuse_fit(fit)
    return _told(pictures, kept, fit)


@dataclass(frozen=True)
class _Fit:
    lens: Lens
    errors: Array
    per_view: Array
    turns: Array
    residuals: list[Array]


def _size(pictures: Sequence[Picture]) -> tuple[int, int]:
    sizes = sorted({(p.width, p.height) for p in pictures})
    if len(sizes) > 1:
        named = " and ".join(f"{w}×{h}" for w, h in sizes)
        raise IntrinsicsError(f"the pictures are of different sizes, {named}: take all with one resolution")
    return sizes[0] if sizes else (0, 0)


def _refuse(pictures: Sequence[Picture], size: tuple[int, int]) -> None:
    if len(pictures) < FEWEST:
        raise IntrinsicsError(
            f"{len(pictures)} usable views of the board are too few: at least {FEWEST} are needed, 15 to 20 are good"
        )
    corners = np.concatenate([p.corners for p in pictures])
    spans = np.ptp(corners, axis=0) / np.array(size)
    if spans.min() < REACHED:
        raise IntrinsicsError(
            f"the board was seen in {100 * spans[0]:.0f} % of the picture's width and {100 * spans[1]:.0f} % of its height, "
            f"{100 * REACHED:.0f} % are needed: show it near the edges and in the corners of the picture too"
        )


def _fit(pictures: Sequence[Picture], size: tuple[int, int], model: Model) -> _Fit:
    import cv2

    solver: Any = cv2  # its own types deny what its documentation allows: no guess of the camera
    points = [p.points.astype(np.float32).reshape(-1, 1, 3) for p in pictures]
    corners = [p.corners.astype(np.float32).reshape(-1, 1, 2) for p in pictures]
    try:
        found = solver.calibrateCameraExtended(points, corners, size, None, None, flags=_flags(cv2, model))
    except cv2.error as error:
        raise IntrinsicsError(
            f"no camera fits these pictures ({error.err or error}): is `board` of the configuration what is printed, "
            "and was it tilted?"
        ) from None
    _, matrix, bent, turns, ways, errors, *_ = found
    lens = _lens(matrix, bent, size, model)
    residuals = [_residual(lens, p, r, t) for p, r, t in zip(pictures, turns, ways, strict=True)]
    per_view = np.array([np.sqrt((r**2).sum(axis=1).mean()) for r in residuals])
    return _Fit(
        lens, np.ravel(errors)[:4].astype(np.float64), per_view, np.array([np.ravel(t) for t in turns]), residuals
    )


def _flags(cv2: Any, model: Model) -> int:
    if model == "none":
        return int(cv2.CALIB_FIX_K1 | cv2.CALIB_FIX_K2 | cv2.CALIB_FIX_K3 | cv2.CALIB_ZERO_TANGENT_DIST)
    return int(cv2.CALIB_RATIONAL_MODEL) if model == "rational_polynomial" else 0


def _lens(matrix: Array, bent: Array, size: tuple[int, int], model: Model) -> Lens:
    count = {"none": 0, "plumb_bob": 5, "rational_polynomial": 8}[model]
    fx, fy, cx, cy = (float(matrix[i, j]) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
    return Lens(*size, fx, fy, cx, cy, tuple(float(k) for k in np.ravel(bent)[:count]))


def _residual(lens: Lens, picture: Picture, turn: NDArray[Any], way: NDArray[Any]) -> Array:
    from vla_ros.calibration import rigid

    pose = rigid.step(np.concatenate([np.ravel(turn), np.ravel(way)]).astype(np.float64))
    return lens.project(rigid.applied(pose, picture.points)) - picture.corners


def tilt(turns: Array) -> float:
    """By how much the board leans from its middle orientation, rad, root mean square; `turns` (v, 3) are its rotation vectors."""
    from scipy.spatial.transform import Rotation

    normals = Rotation.from_rotvec(turns).as_matrix()[:, :, 2]
    middle = normals.mean(axis=0)
    angles = np.arccos(np.clip(normals @ (middle / np.linalg.norm(middle)), -1, 1))
    return float(np.sqrt((angles**2).mean()))


def _refuse_fit(fit: _Fit) -> None:
    lean = tilt(fit.turns)
    if lean < TILTED:
        raise IntrinsicsError(
            f"the views are too alike: the board leans by only {np.degrees(lean):.1f}° from one to another, {np.degrees(TILTED):.0f}° "
            "are needed: tilt it by up to 40° to all sides"
        )
    worst = float((fit.errors[:2] / [fit.lens.fx, fit.lens.fy]).max())
    if not worst < UNCERTAIN:
        raise IntrinsicsError(
            f"the focal length is uncertain by {100 * worst:.1f} %, at most {100 * UNCERTAIN:.0f} % are allowed: take more views, "
            "nearer and more tilted ones"
        )


def coverage(corners: Array, size: tuple[int, int]) -> float:
    """Share of the cells of the picture in which a corner (n, 2) was seen."""
    rows, columns = CELLS
    seen, _, _ = np.histogram2d(corners[:, 1], corners[:, 0], bins=CELLS, range=((0, size[1]), (0, size[0])))
    return float((seen > 0).sum() / (rows * columns))


def _told(pictures: Sequence[Picture], kept: Sequence[int], fit: _Fit) -> Intrinsics:
    lens, corners = fit.lens, np.concatenate([pictures[i].corners for i in kept])
    residuals = np.concatenate(fit.residuals)
    return Intrinsics(
        lens=lens,
        errors=fit.errors,
        rms=float(np.sqrt((residuals**2).sum(axis=1).mean())),
        per_view=fit.per_view,
        views=tuple(kept),
        dropped=tuple(i for i in range(len(pictures)) if i not in kept),
        coverage=coverage(corners, (lens.width, lens.height)),
        bend=_bend(lens, corners),
        corners=corners,
        residuals=residuals,
    )


def _bend(lens: Lens, corners: Array) -> float:
    """px between where the lens and a pinhole put what is seen at the corners: to first order, which is enough for a word on it."""
    rays = np.concatenate([(corners - [lens.cx, lens.cy]) / [lens.fx, lens.fy], np.ones((len(corners), 1))], axis=1)
    return float(np.linalg.norm(lens.project(rays) - corners, axis=1).max())
