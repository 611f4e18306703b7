"""Where the twin's cameras are, from boards that they saw through the real detection; with exact and with noisy kinematics."""

from __future__ import annotations

import numpy as np
import pytest

from vla_ros import geometry, kinematics
from vla_ros.calibration import bundle, hand_eye, rigid
from vla_ros.calibration.bundle import Noise, View
from vla_ros.calibration.hand_eye import HandEyeError
from vla_ros.geometry import Pose, compose, inverse

from .studio import noisy, session

pytest.importorskip("cv2")
CAMERAS = ("wrist", "static")
SEEDS = range(4)


@pytest.mark.parametrize("name", CAMERAS)
def test_exact_kinematics_give_the_camera_to_a_fifth_of_a_millimetre(name):
    run = session(name)
    found = hand_eye.solve(run.views, run.lens, run.parent)
    way, turn = run.off(found.camera)
    assert way <= 0.2
    assert turn <= 0.02
    assert not found.slack
    assert found.ratio < hand_eye.SUSPICIOUS / 2
    assert found.rms < 0.1
    assert len(found.views) >= 20


@pytest.mark.parametrize("name", CAMERAS)
def test_noisy_kinematics_are_noticed_and_slack_is_better_than_plain_adjustment(name):
    run, slack, plain = session(name), [], []
    for seed in SEEDS:
        views = noisy(run.views, seed)
        found = hand_eye.solve(views, run.lens, run.parent)
        assert found.slack
        assert 0.3e-3 < found.noise.way < 0.8e-3
        assert 0.6e-3 < found.noise.turn < 1.6e-3
        slack.append(run.off(found.camera))
        plain.append(run.off(hand_eye.solve(views, run.lens, run.parent, slack=False).camera))
    assert np.array(slack)[:, 0].max() <= 1.2
    assert np.array(slack).mean(axis=0)[0] < np.array(plain).mean(axis=0)[0]
    assert np.array(slack).mean(axis=0)[1] < np.array(plain).mean(axis=0)[1]


@pytest.mark.parametrize("name", CAMERAS)
def test_the_standard_errors_and_the_leave_one_out_spread_are_of_the_size_of_the_error(name):
    run = session(name)
    errors = []
    for seed in SEEDS:
        found = hand_eye.solve(noisy(run.views, seed), run.lens, run.parent)
        off = rigid.steps_to(rigid.inverse(rigid.of_pose(run.truth)) @ rigid.of_pose(found.camera))
        errors.append(off / found.errors)
        assert found.spread.rms_way <= found.spread.way < 2e-3
        assert 0 < found.spread.rms_turn <= found.spread.turn
        assert found.spread.pixels > found.rms
    assert 0.4 < np.sqrt(np.mean(np.square(errors))) < 2.0


def test_the_closed_form_is_near_enough_to_begin_with():
    for name in CAMERAS:
        run = session(name)
        found = hand_eye.solve(run.views, run.lens, run.parent)
        assert run.off(found.first_guess)[0] < 3.0
        assert run.off(found.camera)[0] < run.off(found.first_guess)[0]


def test_the_board_is_found_where_it_lies():
    run = session("wrist")
    found = hand_eye.solve(run.views, run.lens, run.parent)
    way, turn = rigid.apart(found.board, Pose(np.array(run.config.twin.board_position), geometry.IDENTITY_QUATERNION))
    assert way < 0.1e-3
    assert turn < 0.5e-3


def test_a_view_in_which_the_board_was_moved_is_left_out():
    run = session("static")
    views = list(run.views)
    views[3] = View(
        compose(views[3].tool, Pose(np.array([0.01, 0.0, 0.0]), geometry.exp(np.array([0.0, 0.03, 0.0])))),
        views[3].points,
        views[3].corners,
    )
    found = hand_eye.solve(views, run.lens, run.parent)
    assert 3 not in found.views
    assert len(found.views) == len(views) - 1
    assert run.off(found.camera)[0] < 0.2


def test_a_corner_that_was_found_wrong_does_not_matter():
    run = session("wrist")
    views = list(run.views)
    for i in (0, 5, 9):
        corners = views[i].corners.copy()
        corners[2] += [4.0, -3.0]
        views[i] = View(views[i].tool, views[i].points, corners)
    assert run.off(hand_eye.solve(views, run.lens, run.parent).camera)[0] < 0.2


def test_too_few_views_are_refused():
    run = session("wrist")
    with pytest.raises(HandEyeError, match="7 views of the board are too few"):
        hand_eye.solve(run.views[:7], run.lens, run.parent)


def synthetic(turns, parent="tool"):
    """Exact views of a camera at a known place, for tools turned so (n, 3) rad from straight down."""
    run, random = session("wrist"), np.random.default_rng(1)
    camera = compose(Pose(np.array([0.45, 0.0, 0.2]), kinematics.TOOL_DOWN), run.truth)
    board = Pose(
        camera.position + geometry.rotate(camera.quaternion, np.array([0.0, 0.0, 0.35])), geometry.IDENTITY_QUATERNION
    )
    places, views = run.views[int(np.argmax([len(v.corners) for v in run.views]))].points, []
    for turn in turns:
        tool = Pose(
            np.array([0.45, 0.0, 0.2]) + random.uniform(-0.02, 0.02, 3),
            geometry.multiply(geometry.exp(turn), kinematics.TOOL_DOWN),
        )
        seen = rigid.of_pose(compose(inverse(compose(tool, run.truth)), board))
        views.append(View(tool, places, run.lens.project(rigid.applied(seen, places))))
    return views


def test_turns_about_one_axis_alone_are_refused():
    run = session("wrist")
    views = synthetic([np.array([0.0, 0.0, a]) for a in np.linspace(-0.4, 0.4, 12)])
    with pytest.raises(HandEyeError, match=r"too alike.*tilt the tool about two axes"):
        hand_eye.solve(views, run.lens, "tool")


def test_exact_corners_give_the_exact_camera():
    run, random = session("wrist"), np.random.default_rng(2)
    found = hand_eye.solve(synthetic(random.uniform(-0.25, 0.25, (12, 3))), run.lens, "tool")
    way, turn = run.off(found.camera)
    assert way < 1e-3
    assert turn < 1e-4


def test_views_that_contradict_each_other_are_refused():
    run, random = session("wrist"), np.random.default_rng(3)
    views = [
        View(
            Pose(v.tool.position + random.normal(0, 0.2, 3), geometry.normalized(random.normal(0, 1, 4))),
            v.points,
            v.corners,
        )
        if i % 2
        else v
        for i, v in enumerate(run.views[:12])
    ]
    with pytest.raises(HandEyeError, match="agree with each other"):
        hand_eye.solve(views, run.lens, run.parent)


@pytest.mark.parametrize("name", CAMERAS)
@pytest.mark.parametrize("slack", [False, True])
def test_the_slopes_are_those_of_the_residuals(name, slack):
    run, random = session(name), np.random.default_rng(4)
    problem = bundle.problem(run.views[:4], run.lens, run.parent)
    boards = [hand_eye.own_pose(v, run.lens) for v in run.views]
    camera, board = hand_eye.park(run.views, boards, run.parent)
    noise = Noise(0.5, 1e-3, 1e-3) if slack else Noise(0.5)
    state = bundle.start(problem, camera, board)
    if slack:
        state = state.moved(random.normal(0, 1e-4, 12 + 24))
    slopes = bundle._linear(problem, state, noise)[1]
    for column in range(slopes.shape[1]):
        small = np.zeros(slopes.shape[1])
        small[column] = 1e-6
        ahead, behind = (bundle._linear(problem, state.moved(sign * small), noise)[0] for sign in (1, -1))
        np.testing.assert_allclose(
            (ahead - behind) / 2e-6, slopes[:, column], rtol=2e-3, atol=2e-3 * np.abs(slopes).max()
        )
