"""Camera matrix and distortion: of the twin's pinholes, of synthetic lenses, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from vla_ros.calibration import board, intrinsics, rigid
from vla_ros.calibration.intrinsics import IntrinsicsError, Picture
from vla_ros.calibration.lens import Lens
from vla_ros.config.schema import BoardConfig

from .studio import session

pytest.importorskip("cv2")
BENT = Lens(640, 480, 612.0, 613.5, 322.4, 236.8, (0.11, -0.24, 0.0008, -0.0006, 0.09))
POINTS = board.points(BoardConfig())


def shown(lens, count=20, tilt=0.6, spread=1.0, noise=0.0, seed=0):
    """Pictures of a board held before a lens: tilted by up to `tilt` rad, over a share `spread` of the picture."""
    random, made = np.random.default_rng(seed), []
    while len(made) < count:
        z = random.uniform(0.28, 0.5)
        middle = np.array(
            [*(random.uniform(-0.5, 0.5, 2) * spread * [lens.width / lens.fx, lens.height / lens.fy] * z), z]
        )
        turn = random.uniform(-tilt, tilt, 3) + np.array([np.pi, 0.0, 0.0])
        pose = rigid.step(np.concatenate([turn, middle]))
        corners = lens.project(rigid.applied(pose, POINTS)) + random.normal(0, noise, (len(POINTS), 2))
        seen = lens.holds(corners, 2.0)
        if seen.sum() >= 12:
            made.append(Picture(POINTS[seen], corners[seen], lens.width, lens.height))
    return made


@pytest.mark.parametrize("name", ["wrist", "static"])
def test_the_twins_pinhole_is_found_to_a_fraction_of_a_percent(name):
    run = session(name)
    pictures = [Picture(v.points, v.corners, run.lens.width, run.lens.height) for v in run.views]
    found = intrinsics.solve(pictures)
    assert found.lens.fx == pytest.approx(run.lens.fx, rel=0.002)
    assert found.lens.fy == pytest.approx(run.lens.fy, rel=0.002)
    assert found.lens.cx == pytest.approx(run.lens.cx, abs=1.5)
    assert found.lens.cy == pytest.approx(run.lens.cy, abs=1.5)
    assert found.rms < 0.1
    truth = np.array([run.lens.fx, run.lens.fy, run.lens.cx, run.lens.cy])
    lens = found.lens
    assert (np.abs(np.array([lens.fx, lens.fy, lens.cx, lens.cy]) - truth) < 6 * found.errors).all()
    pinhole = intrinsics.solve(pictures, "none")
    assert pinhole.lens.distortion == ()
    assert pinhole.bend < 1e-9
    corners = np.concatenate([p.corners for p in pictures])
    rays = np.concatenate([(corners - truth[2:]) / truth[:2], np.ones((len(corners), 1))], axis=1)
    off = lens.project(rays) - corners
    assert np.linalg.norm(off - off.mean(axis=0), axis=1).mean() < 0.3  # no distortion, but what a small turn undoes


def test_distortion_is_recovered():
    found = intrinsics.solve(shown(BENT, noise=0.03))
    np.testing.assert_allclose(found.lens.distortion[:2], BENT.distortion[:2], atol=0.03)
    np.testing.assert_allclose(found.lens.distortion[2:4], BENT.distortion[2:4], atol=3e-4)
    np.testing.assert_allclose(
        [found.lens.fx, found.lens.fy, found.lens.cx, found.lens.cy], [612.0, 613.5, 322.4, 236.8], atol=0.6
    )
    grid = np.stack(np.meshgrid(np.linspace(-0.48, 0.48, 9), np.linspace(-0.36, 0.36, 7)), axis=-1).reshape(-1, 2)
    rays = np.concatenate([grid, np.ones((len(grid), 1))], axis=1)
    off = found.lens.project(rays) - BENT.project(rays)
    off -= off.mean(axis=0)  # a shift of all is also a small turn of the camera
    assert np.linalg.norm(off, axis=1).max() < 0.3
    assert found.bend > 2.0
    assert found.coverage > 0.8


def test_eight_coefficients_describe_the_same_lens():
    found = intrinsics.solve(shown(BENT), "rational_polynomial")
    assert len(found.lens.distortion) == 8
    assert found.rms < 0.02


def test_the_standard_errors_are_of_the_size_of_the_errors():
    ratios = []
    for seed in range(6):
        found = intrinsics.solve(shown(BENT, noise=0.1, seed=seed))
        lens = found.lens
        off = np.array([lens.fx - 612.0, lens.fy - 613.5, lens.cx - 322.4, lens.cy - 236.8])
        ratios.append(off / found.errors)
    assert 0.4 < np.sqrt(np.mean(np.square(ratios))) < 2.0


def test_views_that_do_not_fit_are_dropped_and_named():
    pictures, random = shown(BENT, noise=0.03), np.random.default_rng(9)
    for bad in (4, 11):
        p = pictures[bad]
        pictures[bad] = Picture(p.points, p.corners + random.normal(0, 3.0, p.corners.shape), p.width, p.height)
    found = intrinsics.solve(pictures)
    assert set(found.dropped) == {4, 11}
    assert len(found.views) == 18
    assert found.lens.fx == pytest.approx(612.0, rel=0.002)


@pytest.mark.parametrize(
    ("pictures", "words"),
    [
        (shown(BENT, 7), "7 usable views of the board are too few"),
        (shown(BENT, tilt=0.03, noise=0.03), "too alike.*tilt it|uncertain"),
        (shown(BENT, spread=0.05)[:20], "% of the picture's width"),
        ([], "0 usable views"),
    ],
)
def test_pictures_that_do_not_carry_the_result_are_refused(pictures, words):
    if "width" in words:
        pictures = [
            Picture(p.points[8:16], p.corners[8:16], p.width, p.height) for p in pictures if len(p.points) == 24
        ]
        pictures = [p for p in pictures if np.abs(p.corners - [320, 240]).max() < 140]
        assert len(pictures) >= 8
    with pytest.raises(IntrinsicsError, match=words):
        intrinsics.solve(pictures)


def test_pictures_of_two_sizes_are_refused():
    pictures = shown(BENT)
    pictures[3] = Picture(pictures[3].points, pictures[3].corners, 1280, 960)
    with pytest.raises(IntrinsicsError, match="640×480 and 1280×960"):
        intrinsics.solve(pictures)
