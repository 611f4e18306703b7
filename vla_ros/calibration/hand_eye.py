"""Where a camera is: on the tool (eye in hand), or beside the arm (eye to hand), from pictures of a board at known tool poses.

Park and Martin's closed form (1994) is the first guess; then everything that was measured is explained at once (`bundle`). Whether the
arm is taken at its word is decided by the residuals: each view is fitted by itself, which no error of the arm can disturb; if the
joint fit is worse than that by more than SUSPICIOUS times the variance that a corner has by itself (an F statistic on the
6v - 12 numbers that the joint fit does not have), the arm's poses are given slack, with the deviation that they show.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vla_ros import geometry
from vla_ros.calibration import bundle, rigid
from vla_ros.calibration.bundle import Noise, Parent, Problem, Solution, View
from vla_ros.calibration.lens import Lens
from vla_ros.geometry import Array, Pose

FEWEST = 8
"""Views. Three would do without noise; below eight, one bad view cannot be told from a good one."""
TURNED = np.radians(6.0)
"""rad, root mean square, by which the poses must differ about a second axis: turns about one axis leave the way along it open."""
SUSPICIOUS = 12.0
"""Ratio of variances above which the arm's poses are not believed. Pictures of the twin with exact poses give 0.6 to 1.4 (25 views,
both cameras), with noise of 0.5 mm and 1 mrad on the poses thousands; from about 0.03 mm on the arm errs by more than the pictures."""
OUTLYING = 5.0
"""Times the median residual above which a view is left out: somebody touched the board, or the arm still moved."""
_STRAY, _STRAY_PIXELS = 6.0, 0.2
"""Times the median residual, and px, from which on a corner was found wrong: beside the edge of a finger, in a reflection."""
_CORNERS = 6
"""Corners that a view needs."""
_LEAST_CORNER = 0.01
"""px. No corner is believed to be better than this."""


class HandEyeError(Exception):
    """The camera's pose cannot be told from these views. The text says why and what to do."""


@dataclass(frozen=True)
class Spread:
    """How much the result moves when one view is left out: the most and the root mean square, m and rad; and how well a view is

    foretold by the others, px.
    """

    way: float
    turn: float
    rms_way: float
    rms_turn: float
    pixels: float


@dataclass(frozen=True)
class HandEye:
    """The camera's optical frame in its parent's, the board in the other's; standard errors (6,) rad and m in the camera's axes.

    `per_view` are px of the joint fit, `views` the numbers of the views that were used; `ratio` is the F statistic of the arm's
    poses and `noise` what the weights came from; `residuals` are px, in the order of `problem`.
    """

    camera: Pose
    board: Pose
    first_guess: Pose
    errors: Array
    rms: float
    per_view: Array
    views: tuple[int, ...]
    ratio: float
    noise: Noise
    spread: Spread
    problem: Problem
    residuals: Array

    @property
    def slack(self) -> bool:
        """Whether the arm's poses were given slack."""
        return self.noise.slack


def solve(views: Sequence[View], lens: Lens, parent: Parent, slack: bool | None = None) -> HandEye:
    """The camera's pose from pictures of a board that did not move in the base (`parent` tool) or in the hand (`parent` base).

    `slack`: whether the arm's poses may be wrong; None: the residuals decide. Raises HandEyeError.
    """
    views, boards = cleaned(views, lens)
    refuse(views)
    camera, board = park(views, boards, parent)
    kept = _kept(views, lens, parent, camera, board)
    views, boards = [views[i] for i in kept], [boards[i] for i in kept]
    problem = bundle.problem(views, lens, parent)
    corner, free = _own_noise(problem, views, boards)
    plain = bundle.solve(problem, bundle.start(problem, camera, board), Noise(corner))
    ratio = _ratio(problem, plain.residuals, free, corner)
    noise = Noise(corner)
    solution = plain
    if slack if slack is not None else ratio > SUSPICIOUS:
        noise, solution = _loosened(problem, plain, boards, corner)
    return _told(problem, solution, noise, ratio, camera, kept)


def refuse(views: Sequence[View]) -> None:
    """Raises HandEyeError for views that are too few, or too alike."""
    if len(views) < FEWEST:
        raise HandEyeError(
            f"{len(views)} views of the board are too few: at least {FEWEST} are needed, 15 to 20 are good"
        )
    first, second = turns([view.tool for view in views])
    if second < TURNED:
        raise HandEyeError(
            f"the poses are too alike: between two of them the tool turns by {np.degrees(first):.1f}° about one axis and by only "
            f"{np.degrees(second):.1f}° about any other (root mean square), {np.degrees(TURNED):.0f}° are needed: "
            "tilt the tool about two axes"
        )


def turns(poses: Sequence[Pose]) -> tuple[float, float]:
    """By how much (rad, root mean square) poses differ from each other about the axis that they turn about most, and the next."""
    vectors = np.array([geometry.difference(a.quaternion, b.quaternion) for a, b in itertools.combinations(poses, 2)])
    sizes = np.linalg.svd(vectors, compute_uv=False) / np.sqrt(len(vectors))
    return float(sizes[0]), float(sizes[1])


def cleaned(views: Sequence[View], lens: Lens) -> tuple[list[View], list[Array]]:
    """The views without corners that were found wrong, and the board in each by itself; one that has too few left is left out."""
    found = [_cleaned(view, lens) for view in views]
    kept = [(view, board) for view, board in found if len(view.corners) >= _CORNERS]
    return [view for view, _ in kept], [board for _, board in kept]


def _cleaned(view: View, lens: Lens) -> tuple[View, Array]:
    """Drops the worst corner as long as it stands out."""
    while True:
        board = own_pose(view, lens)
        miss = np.linalg.norm(lens.project(rigid.applied(board, view.points)) - view.corners, axis=1)
        worst = int(np.argmax(miss))
        if len(miss) < _CORNERS or not miss[worst] > max(_STRAY * float(np.median(miss)), _STRAY_PIXELS):
            return view, board
        view = View(view.tool, np.delete(view.points, worst, axis=0), np.delete(view.corners, worst, axis=0))


def own_pose(view: View, lens: Lens) -> Array:
    """The board in the camera's frame (4, 4) by this view alone: IPPE (Collins and Bartoli 2014), then least squares."""
    import cv2

    matrix, bent = lens.matrix, lens.coefficients
    points, corners = view.points.reshape(-1, 1, 3), view.corners.reshape(-1, 1, 2)
    _, turns_, ways, _ = cv2.solvePnPGeneric(points, corners, matrix, bent, flags=cv2.SOLVEPNP_IPPE)
    fits = [cv2.solvePnPRefineLM(points, corners, matrix, bent, r, t) for r, t in zip(turns_, ways, strict=True)]
    made = [rigid.step(np.concatenate([np.ravel(r), np.ravel(t)]).astype(np.float64)) for r, t in fits]
    return min(made, key=lambda pose: _miss(pose, view, lens))


def _miss(pose: Array, view: View, lens: Lens) -> float:
    miss = float(((lens.project(rigid.applied(pose, view.points)) - view.corners) ** 2).sum())
    return miss if np.isfinite(miss) else float("inf")


def park(views: Sequence[View], boards: Sequence[Array], parent: Parent) -> tuple[Array, Array]:
    """Camera X and board B (4, 4), as in `bundle`, by Park and Martin's closed form."""
    import cv2

    tools = [rigid.of_pose(view.tool) for view in views]
    moved = tools if parent == "tool" else [rigid.inverse(tool) for tool in tools]
    turn, way = cv2.calibrateHandEye(
        [t[:3, :3] for t in moved], [t[:3, 3] for t in moved], [b[:3, :3] for b in boards], [b[:3, 3] for b in boards],
        method=cv2.CALIB_HAND_EYE_PARK,  # by its name: as the fifth argument it would be taken for an output, and TSAI be run
    )  # fmt: skip
    camera = np.eye(4)
    camera[:3, :3], camera[:3, 3] = turn, np.ravel(way)
    if not np.isfinite(camera).all():
        raise HandEyeError("the closed form finds no camera: the poses are too alike; tilt the tool about two axes")
    guesses = [m @ camera @ b for m, b in zip(moved, boards, strict=True)]
    misses = [np.median([rigid.apart(rigid.to_pose(g), rigid.to_pose(h))[0] for h in guesses]) for g in guesses]
    return camera, guesses[int(np.argmin(misses))]


def _kept(views: Sequence[View], lens: Lens, parent: Parent, camera: Array, board: Array) -> tuple[int, ...]:
    """Views that agree with the others. Raises HandEyeError where too few are left."""
    problem = bundle.problem(views, lens, parent)
    residuals = bundle.solve(problem, bundle.start(problem, camera, board), Noise(1.0)).residuals
    sizes = bundle.per_view(problem, residuals)
    kept = tuple(np.flatnonzero(sizes <= OUTLYING * np.median(sizes)).tolist())
    if len(kept) < FEWEST:
        raise HandEyeError(
            f"only {len(kept)} of {len(views)} views agree with each other: does the board keep still, is its size in the "
            "configuration that of the print, and does the arm stand when the picture is taken?"
        )
    return kept


def _own_noise(problem: Problem, views: Sequence[View], boards: Sequence[Array]) -> tuple[float, float]:
    """Deviation of a coordinate of a corner, px, and the sum of squares, when every view is fitted by itself."""
    lens = problem.lens
    squares = sum(_miss(board, view, lens) for board, view in zip(boards, views, strict=True))
    freedom = 2 * len(problem.index) - 6 * problem.views
    return max(float(np.sqrt(squares / freedom)), _LEAST_CORNER), squares


def _ratio(problem: Problem, residuals: Array, free: float, corner: float) -> float:
    """How much worse the joint fit is for each number that it does not have, over the variance of a corner."""
    extra = float((residuals**2).sum()) - free
    return max(0.0, extra / (6 * problem.views - 12) / corner**2)


def _loosened(problem: Problem, plain: Solution, boards: Sequence[Array], corner: float) -> tuple[Noise, Solution]:
    """The fit with slack; how wrong the arm is comes from how it disagrees with the pictures, and once more from the better fit."""
    solution, noise = plain, Noise(corner)
    for _ in range(3):
        noise = _arm_noise(problem, solution, boards, corner)
        solution = bundle.solve(problem, replace(solution.state, errors=plain.state.errors), noise)
    return noise, solution


def _arm_noise(problem: Problem, solution: Solution, boards: Sequence[Array], corner: float) -> Noise:
    """Deviations of the steps between where the tool is said to be and where the picture of it says, without what pictures err by."""
    state, steps = solution.state, []
    for tool, own in zip(problem.tools, boards, strict=True):
        shown = state.board @ rigid.inverse(own) @ rigid.inverse(state.camera)  # the tool in the base, by the picture
        shown = shown if problem.parent == "tool" else state.camera @ own @ rigid.inverse(state.board)
        steps.append(rigid.steps_to(rigid.inverse(tool) @ shown))
    lost = 6 * len(steps) / (6 * len(steps) - 12)
    sizes = np.sqrt(lost * np.mean(np.square(steps), axis=0).reshape(2, 3).mean(axis=1))
    return Noise(corner, max(float(sizes[0]), 1e-6), max(float(sizes[1]), 1e-6))


def _told(
    problem: Problem, solution: Solution, noise: Noise, ratio: float, camera: Array, kept: tuple[int, ...]
) -> HandEye:
    state = solution.state
    return HandEye(
        camera=rigid.to_pose(state.camera),
        board=rigid.to_pose(state.board),
        first_guess=rigid.to_pose(camera),
        errors=np.sqrt(np.diag(solution.covariance)[:6]),
        rms=float(np.sqrt((solution.residuals**2).sum(axis=1).mean())),
        per_view=bundle.per_view(problem, solution.residuals),
        views=kept,
        ratio=ratio,
        noise=noise,
        spread=_spread(problem, solution, noise),
        problem=problem,
        residuals=solution.residuals,
    )


def _spread(problem: Problem, solution: Solution, noise: Noise) -> Spread:
    """Solve again without each view."""
    whole, moves, misses = rigid.to_pose(solution.state.camera), [], []
    for view in range(problem.views):
        state = replace(solution.state, errors=np.delete(solution.state.errors, view, axis=0))
        rest = bundle.solve(
            bundle.without(problem, view), state, noise, steps=3
        ).state  # it is near, and the steps converge quadratically
        moves.append(rigid.apart(rigid.to_pose(rest.camera), whole))
        foretold = replace(rest, errors=np.insert(rest.errors, view, np.eye(4), axis=0))
        mine = problem.index == view
        misses.append((bundle.seen(problem, foretold) - problem.corners)[mine])
    way, turn = np.array(moves).T
    pixels = float(np.sqrt((np.concatenate(misses) ** 2).sum(axis=1).mean()))
    return Spread(
        *(float(x) for x in (way.max(), turn.max(), np.sqrt((way**2).mean()), np.sqrt((turn**2).mean()), pixels))
    )
