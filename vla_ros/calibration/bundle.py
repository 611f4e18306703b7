"""Bundle adjustment of a camera on an arm, or beside it: where camera and board are, so that the board's corners appear where they do.

Corner p of the board, seen in the view i in which the tool was at T_i:

    camera on the tool:  p_camera = X⁻¹ (T_i E_i)⁻¹ B p      X: camera in the tool's frame, B: board in the base's
    camera that stands:  p_camera = X⁻¹  T_i E_i    B p      X: camera in the base's frame, B: board in the tool's

E_i is the identity, or, with `slack`, what the arm's kinematics are wrong by in that view: a small step with a normal prior. Solved by
Levenberg and Marquardt's method (Marquardt 1963) on the residuals in px over their deviation, with Huber's weights (Huber 1964),
so that a corner that was found wrong pulls with a bounded force.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vla_ros.calibration import rigid
from vla_ros.calibration.lens import Lens
from vla_ros.geometry import Array, Pose

Parent = Literal["base", "tool"]
HUBER = 2.5
"""Standard deviations up to which a residual counts in full."""
_ENOUGH = 1e-9
"""Share of the cost below which a step gains too little for another."""


@dataclass(frozen=True)
class View:
    """What one picture says: where the tool was (base frame), the corners' places on the board (n, 3) m and in the picture (n, 2)."""

    tool: Pose
    points: Array
    corners: Array


@dataclass(frozen=True)
class Problem:
    """All views as flat arrays: `index` (n,) says which view a corner belongs to; tools (v, 4, 4)."""

    lens: Lens
    parent: Parent
    tools: Array
    index: NDArray[np.int64]
    points: Array
    corners: Array

    @property
    def views(self) -> int:
        """How many views there are."""
        return len(self.tools)


def problem(views: Sequence[View], lens: Lens, parent: Parent) -> Problem:
    """The problem of these views."""
    index = np.repeat(np.arange(len(views)), [len(v.corners) for v in views])
    points, corners = (np.concatenate([getattr(v, name) for v in views]) for name in ("points", "corners"))
    return Problem(lens, parent, np.stack([rigid.of_pose(v.tool) for v in views]), index, points, corners)


@dataclass(frozen=True)
class State:
    """Camera X and board B (4, 4), and the errors of the arm E (v, 4, 4)."""

    camera: Array
    board: Array
    errors: Array

    def moved(self, small: Array) -> State:
        """After a step (12,) of camera and board, or (12 + 6 v,) of the errors too."""
        errors = self.errors
        if len(small) > 12:
            errors = np.stack([e @ rigid.step(s) for e, s in zip(errors, small[12:].reshape(-1, 6), strict=True)])
        return State(self.camera @ rigid.step(small[:6]), self.board @ rigid.step(small[6:12]), errors)


@dataclass(frozen=True)
class Noise:
    """Standard deviations: of a corner, px; of what the arm says, rad and m; these are 0 where the arm is taken at its word."""

    corner: float
    turn: float = 0.0
    way: float = 0.0

    @property
    def slack(self) -> bool:
        """Whether the arm may be wrong."""
        return self.turn > 0 and self.way > 0

    @property
    def prior(self) -> Array:
        """Of a step (6,)."""
        return np.repeat([self.turn, self.way], 3)


@dataclass(frozen=True)
class Solution:
    """The state, residuals (n, 2) px, and the covariance (12, 12) of steps of camera and board in rad and m."""

    state: State
    residuals: Array
    covariance: Array


def start(problem: Problem, camera: Array, board: Array) -> State:
    """A state without errors of the arm."""
    return State(camera, board, np.tile(np.eye(4), (problem.views, 1, 1)))


def solve(problem: Problem, state: State, noise: Noise, steps: int = 60) -> Solution:
    """The best state, from one that is near, in at most so many steps; the damping grows when one does not help, else it shrinks."""
    residuals, slopes = _linear(problem, state, noise)
    cost, damping = _cost(residuals, noise, problem), 1e-4
    for _ in range(steps):
        weights = _weights(residuals, problem)
        weighed = slopes * weights[:, None]
        gram, pull = weighed.T @ slopes, weighed.T @ residuals
        small: Array = -np.asarray(np.linalg.solve(gram + damping * np.diag(np.diag(gram)), pull), np.float64)
        trial = state.moved(small)
        new_residuals, new_slopes = _linear(problem, trial, noise)
        new_cost = _cost(new_residuals, noise, problem)
        if not new_cost < cost:
            if damping > 1e6 or cost - new_cost > -_ENOUGH * cost:
                break
            damping *= 10
            continue
        gained, damping = cost - new_cost, damping / 5
        state, residuals, slopes, cost = trial, new_residuals, new_slopes, new_cost
        if gained < _ENOUGH * cost:
            break
    return _solution(problem, state, residuals, slopes, noise)


def seen(problem: Problem, state: State) -> Array:
    """Where the state puts the corners, (n, 2) px."""
    return problem.lens.project(_chain(problem, state)[2])


def per_view(problem: Problem, residuals: Array) -> Array:
    """Root mean square of the residuals' length (n, 2) px in each view, (v,)."""
    squares = np.bincount(problem.index, (residuals**2).sum(axis=1), minlength=problem.views)
    return np.asarray(np.sqrt(squares / np.bincount(problem.index, minlength=problem.views)))


def without(problem: Problem, view: int) -> Problem:
    """The problem without one of its views."""
    kept = problem.index != view
    index = problem.index[kept]
    return replace(
        problem, tools=np.delete(problem.tools, view, axis=0), index=index - (index > view),
        points=problem.points[kept], corners=problem.corners[kept],
    )  # fmt: skip


def _solution(problem: Problem, state: State, residuals: Array, slopes: Array, noise: Noise) -> Solution:
    weighed = slopes * _weights(residuals, problem)[:, None]
    covariance: Array = np.asarray(np.linalg.inv(weighed.T @ slopes)[:12, :12], np.float64)
    count = 2 * len(problem.index)
    return Solution(state, residuals[:count].reshape(-1, 2) * noise.corner, covariance)


def _chain(problem: Problem, state: State) -> tuple[Array, Array, Array, Array]:
    """The corners (n, 3) in the frames between board and camera: behind B, behind the arm, in the camera's; and the arm's turns."""
    arms = problem.tools @ state.errors
    arms = rigid.inverse(arms) if problem.parent == "tool" else arms
    mine = arms[problem.index]
    middle = rigid.applied(state.board, problem.points)
    behind = rigid.applied(mine, middle)
    return middle, behind, rigid.applied(rigid.inverse(state.camera), behind), mine[:, :3, :3]


def _linear(problem: Problem, state: State, noise: Noise) -> tuple[Array, Array]:
    """Residuals over their deviation, (2n,) and of the prior (6v,), and their slopes by the steps of `State.moved`."""
    middle, behind, local, arm = _chain(problem, state)
    lens = problem.lens.slopes(local) / noise.corner
    residuals = (problem.lens.project(local) - problem.corners).ravel() / noise.corner
    back = state.camera[:3, :3].T
    eye = np.broadcast_to(np.eye(3), (len(middle), 3, 3))
    camera = np.concatenate([rigid.cross(local), -eye], axis=2)
    board = (back @ arm @ state.board[:3, :3]) @ np.concatenate([-rigid.cross(problem.points), eye], axis=2)
    slopes = np.concatenate([lens @ camera, lens @ board], axis=2).reshape(-1, 12)
    if not noise.slack:
        return residuals, slopes
    if problem.parent == "tool":
        error = back @ np.concatenate([rigid.cross(behind), -eye], axis=2)
    else:
        error = (back @ arm) @ np.concatenate([-rigid.cross(middle), eye], axis=2)
    return _with_prior(problem, state, noise, residuals, slopes, (lens @ error).reshape(-1, 6))


def _with_prior(
    problem: Problem, state: State, noise: Noise, residuals: Array, slopes: Array, own: Array
) -> tuple[Array, Array]:
    """Beside camera and board the errors of every view, which act on its own corners and are small."""
    views, count = problem.views, len(slopes)
    whole = np.zeros((count + 6 * views, 12 + 6 * views))
    whole[:count, :12] = slopes
    columns = 12 + 6 * np.repeat(problem.index, 2)[:, None] + np.arange(6)
    whole[np.arange(count)[:, None], columns] = own
    whole[count:, 12:] = np.diag(np.tile(1 / noise.prior, views))
    errors = np.array([rigid.steps_to(e) for e in state.errors]) / noise.prior
    return np.concatenate([residuals, errors.ravel()]), whole


def _weights(residuals: Array, problem: Problem) -> Array:
    """Huber's, per corner; the prior counts in full."""
    lengths = _lengths(residuals, problem)
    weights = np.ones(len(residuals))
    weights[: 2 * len(lengths)] = np.repeat(HUBER / np.maximum(lengths, HUBER), 2)
    return weights


def _lengths(residuals: Array, problem: Problem) -> Array:
    return np.asarray(np.linalg.norm(residuals[: 2 * len(problem.index)].reshape(-1, 2), axis=1))


def _cost(residuals: Array, noise: Noise, problem: Problem) -> float:
    """Huber's sum; not finite where a corner is behind the camera."""
    lengths = _lengths(residuals, problem)
    inner = np.minimum(lengths, HUBER)
    prior = residuals[2 * len(lengths) :]
    return float((inner * (2 * lengths - inner)).sum() + prior @ prior)
