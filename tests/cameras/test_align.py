"""Depth in another camera's view, on a scene whose depth is known in both."""

from __future__ import annotations

import numpy as np
import pytest

from vla_ros.cameras.align import Aligner
from vla_ros.cameras.lens import Lens
from vla_ros.geometry import Array, exp, matrix

DEPTH, COLOUR = (96, 128), (120, 200)
BENT = (0.5, -2.6, 0.0003, -0.0002, 1.5, 0.38, -2.4, 1.4)
NEAR = Lens(100.0, 100.0, 63.5, 47.5)
FAR = Lens(115.0, 117.0, 99.5, 59.5)


def plane(rays: tuple[Array, Array], turn: Array, shift: Array, normal: Array, distance: float) -> Array:
    """z in m, along the rays of a camera whose frame is `turn` · point + `shift`, of the plane normal · point = distance."""
    ray = np.stack([*rays, np.ones_like(rays[0])], axis=-1)
    tilted = turn @ normal
    return np.asarray((distance + tilted @ shift) / (ray @ tilted))


@pytest.mark.parametrize("bend", [(), BENT])
def test_a_slanted_wall_is_where_the_other_camera_sees_it(bend: tuple[float, ...]) -> None:
    eye, other = Lens(*_four(NEAR), bend), Lens(*_four(FAR), bend)
    turn, shift = matrix(exp(np.array([0.1, -0.05, 0.02]))), np.array([-0.032, -0.002, 0.004])
    normal = np.array([0.2, 0.1, 1.0]) / np.linalg.norm([0.2, 0.1, 1.0])
    seen = plane(eye.rays(DEPTH), np.eye(3), np.zeros(3), normal, 0.9)
    wanted = plane(other.rays(COLOUR), turn, shift, normal, 0.9)
    got = Aligner(eye, DEPTH, other, COLOUR, turn, shift)(np.rint(1000 * seen).astype(np.uint16)) / 1000
    known = got > 0
    assert known[35:85, 60:130].all()  # no holes, although its pixels are finer
    assert np.abs(got - wanted)[known].max() < 0.02  # a pixel of this slant is 8 mm deep
    assert np.abs(got - wanted)[known].mean() < 0.004


def _four(lens: Lens) -> tuple[float, float, float, float]:
    return lens.fx, lens.fy, lens.cx, lens.cy


def test_what_is_near_covers_what_is_behind_it() -> None:
    depth = np.full(DEPTH, 2000, np.uint16)
    depth[30:60, 40:80] = 500
    aligned = Aligner(NEAR, DEPTH, FAR, COLOUR, np.eye(3), np.array([-0.032, 0.0, 0.0]))(depth)
    u = 115 * (np.array([40, 79]) - 63.5) / 100 + 99.5 - 115 * 0.032 / 0.5  # where the edges of the box come to lie
    assert (aligned[45, int(u[0]) + 2 : int(u[1]) - 1] == 500).all()
    assert aligned[45, int(u[0]) - 3] == 2000
    shade = aligned[45, int(u[1]) + 3 : int(u[1]) + 6]  # beside it is what the depth camera cannot see
    assert set(np.unique(aligned)) == {0, 500, 2000}
    assert (shade == 0).all()


def test_the_unknown_stays_unknown_and_nothing_behind_the_camera_is_drawn() -> None:
    align = Aligner(NEAR, DEPTH, FAR, COLOUR, np.eye(3), np.array([0.0, 0.0, -1.0]))
    assert not align(np.zeros(DEPTH, np.uint16)).any()
    assert not align(np.full(DEPTH, 900, np.uint16)).any()
    assert align(np.full(DEPTH, 1500, np.uint16)).max() == 500


def test_a_finer_camera_gets_larger_blocks() -> None:
    depth = np.zeros(DEPTH, np.uint16)
    depth[48, 64] = 1000
    fine = Lens(350.0, 150.0, 99.5, 59.5)
    rows, columns = np.nonzero(Aligner(NEAR, DEPTH, fine, COLOUR, np.eye(3), np.zeros(3))(depth))
    assert (len(set(rows)), len(set(columns))) == (2, 4)
    assert (rows.mean(), columns.mean()) == (
        pytest.approx(59.5 + 150 * 0.005, abs=0.51),
        pytest.approx(99.5 + 350 * 0.005, abs=0.51),
    )


def test_rays_far_outside_are_not_folded_into_the_picture_by_the_lens() -> None:
    folding = Lens(*_four(FAR), (-0.3, 0.0, 0.0, 0.0, 0.0))
    depth = np.zeros(DEPTH, np.uint16)
    wide = Lens(20.0, 20.0, 63.5, 47.5)
    depth[47, 120] = 1000  # a ray at 2.8, which the model would put back at -1.0
    assert not Aligner(wide, DEPTH, folding, COLOUR, np.eye(3), np.zeros(3))(depth).any()
