"""The twin's calibration board: the pattern is OpenCV's, corners are found where they are, and scenes without one are as before."""

from __future__ import annotations

import numpy as np
import pytest

from vla_ros import geometry, kinematics
from vla_ros.config import load
from vla_ros.config.schema import BoardConfig
from vla_ros.geometry import compose
from vla_ros.twin import board, scene
from vla_ros.twin.physics import OBJECTS, Twin
from vla_ros.twin.render import GlRenderer, RayRenderer, RenderError

cv2 = pytest.importorskip("cv2")

FULL = [
    "cameras.static.binning=1",
    "cameras.static.roi=[0, 0, 1280, 720]",
    "cameras.wrist.binning=1",
    "twin.board_quaternion=[0, 0, 0.2, 0.98]",
]


@pytest.mark.parametrize("parent", ["base", "tool"])
def test_the_board_is_where_the_configuration_puts_it(parent):
    config = load(overrides=[f"twin.board={parent}", "twin.board_position=[0.1, 0.02, 0.3]", FULL[-1]])
    twin = Twin(config)
    twin.data.qpos[:7] = kinematics.HOME
    scene.update(twin.model, twin.data)
    place = board.place(config)
    expected = place if parent == "base" else compose(kinematics.forward(kinematics.HOME), place)
    geom = twin.model.geom(board.NAME).id
    turn = twin.data.geom_xmat[geom].reshape(3, 3)
    face = twin.data.geom_xpos[geom] + turn @ [0, 0, board.THICKNESS / 2]
    np.testing.assert_allclose(face, expected.position, atol=1e-6)
    np.testing.assert_allclose(turn, geometry.matrix(expected.quaternion), atol=1e-6)


@pytest.mark.parametrize(
    "printed",
    [BoardConfig(), BoardConfig(columns=8, rows=6, square=0.025, marker=0.018, dictionary="DICT_4X4_100"),
     BoardConfig(columns=5, rows=7, square=0.03, marker=0.02, dictionary="DICT_6X6_250")],
)  # fmt: skip
def test_the_pattern_is_the_one_that_opencv_draws(printed):
    made, fine = board.pattern(printed), 120
    dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, printed.dictionary))
    drawn = cv2.aruco.CharucoBoard((printed.columns, printed.rows), printed.square, printed.marker, dictionary)
    picture = drawn.generateImage((printed.columns * fine, printed.rows * fine)) > 127
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    x = ((columns + 0.5) / fine - printed.columns / 2) * printed.square
    y = (printed.rows / 2 - (rows + 0.5) / fine) * printed.square
    assert (made.white(x, y) != picture).mean() < 0.02  # its markers begin at whole pixels
    assert made.white(np.array([1.0]), np.array([0.0])).all()


@pytest.mark.parametrize("name", ["static", "wrist"])
def test_corners_are_found_without_bias(name):
    from tests.calibration import studio
    from vla_ros.calibration import rigid

    run = studio.session(name)
    off = []
    place = rigid.of_pose(board.place(run.config))
    for view in run.views:
        arm = rigid.of_pose(view.tool)
        camera = arm @ rigid.of_pose(run.truth) if run.parent == "tool" else rigid.of_pose(run.truth)
        there = place if run.parent == "tool" else arm @ place
        off.append(run.lens.project(rigid.applied(rigid.inverse(camera) @ there, view.points)) - view.corners)
    errors = np.concatenate(off)
    good = errors[np.linalg.norm(errors, axis=1) < 0.5]
    assert len(good) > 0.98 * len(errors)
    assert np.abs(good.mean(axis=0)).max() < 0.02
    assert good.std(axis=0).max() < 0.08


def test_a_scene_without_a_board_has_none_and_is_painted_as_before():
    config = load()
    assert board.geom(config, "base") == board.geom(config, "tool") == board.text(config) == ""
    assert board.painter(scene.build(config, OBJECTS), 0, (1, 1, 0, 0), 1) is None


def test_a_board_changes_no_pixel_but_its_own():
    pictures, hidden = [], None
    for extra in (["twin.cleared=true"], ["twin.board=base"]):
        config = load(overrides=[*FULL[:2], *extra, FULL[-1]])
        twin = Twin(config)
        renderer = RayRenderer(twin.model, config.cameras["static"], "static")
        pictures.append(renderer.render(twin.data))
        if "board" in extra[0]:
            hidden = renderer.segment(twin.data) == twin.model.geom(board.NAME).id
    assert hidden is not None
    assert 5000 < hidden.sum() < 100000
    assert (pictures[0][~hidden] == pictures[1][~hidden]).all()
    assert len(np.unique(pictures[1][hidden][:, 0])) > 20


def test_the_back_of_the_board_is_white():
    config = load(
        overrides=[
            *FULL[:2],
            "twin.board=base",
            "twin.board_position=[0.47, 0, 0.2]",
            "twin.board_quaternion=[1, 0, 0, 0]",
        ]
    )
    twin = Twin(config)
    renderer = RayRenderer(twin.model, config.cameras["static"], "static")
    picture, shown = renderer.render(twin.data), renderer.segment(twin.data) == twin.model.geom(board.NAME).id
    assert shown.sum() > 1000
    assert picture[shown].min() > 100


def test_a_pixel_is_the_mean_of_its_area():
    """Seen from far away, every pixel of a board shows the share of white in it, whatever falls between the rays."""
    config = load(overrides=["twin.board=base", "twin.board_position=[0.47, 0, 0.05]"])
    twin = Twin(config)
    renderer = RayRenderer(twin.model, config.cameras["static"], "static")
    picture, shown = renderer.render(twin.data), renderer.segment(twin.data) == twin.model.geom(board.NAME).id
    fine = load(overrides=[*FULL[:2], "twin.board=base", "twin.board_position=[0.47, 0, 0.05]"])
    whole = RayRenderer(twin.model, fine.cameras["static"], "static").render(twin.data)
    x, y, width, height = config.cameras["static"].roi
    b = config.cameras["static"].binning
    block = whole[y : y + height, x : x + width].reshape(height // b, b, width // b, b, 3).mean(axis=(1, 3))
    inner = shown[1:-1, 1:-1] & shown[:-2, 1:-1] & shown[2:, 1:-1] & shown[1:-1, :-2] & shown[1:-1, 2:]
    difference = (picture[1:-1, 1:-1].astype(float) - block[1:-1, 1:-1])[inner]
    assert np.abs(difference).mean() < 6.0  # a binned pixel has 6×6 rays, those below it 24×24
    assert abs(difference.mean()) < 0.5
    assert len(difference) > 500


def test_opengl_says_that_it_cannot_paint_the_board():
    config = load(overrides=["twin.board=base"])
    with pytest.raises(RenderError, match=r"twin\.renderer=ray"):
        GlRenderer(Twin(config).model, config.cameras["static"], "static")


def test_the_cubes_make_room():
    config = load(overrides=["twin.board=base"])
    twin = Twin(config)
    half = np.array([config.board.columns, config.board.rows]) * config.board.square / 2
    for name in ("cube_0", "cube_1", "cube_2"):
        assert (np.abs(twin.object_position(name)[:2] - [0.47, 0.0]) > half + 0.03).any()
