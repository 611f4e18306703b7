"""The board's points and its print, and what is said of pictures without it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from vla_ros import kinematics
from vla_ros.calibration import board
from vla_ros.calibration.board import BoardError, Finder
from vla_ros.config.schema import BoardConfig

from .studio import Twinned, configuration, session

cv2 = pytest.importorskip("cv2")
BOARD = BoardConfig()


def printed(path):
    with Image.open(path) as page:
        return np.array(page.convert("RGB")), page.info


def test_the_points_are_opencvs_seen_from_the_middle():
    theirs = board.pattern(BOARD).getChessboardCorners()
    ours = theirs * [1, -1, 1] + [-0.105, 0.075, 0]
    np.testing.assert_allclose(board.points(BOARD), ours, atol=1e-7)
    assert board.points(BOARD).shape == (24, 3)
    np.testing.assert_allclose(np.ptp(board.outline(BOARD), axis=0), [0.21, 0.15, 0.0])


def test_the_print_is_true_to_scale_and_readable(tmp_path):
    path = tmp_path / "board.png"
    dpi = board.write_print(BOARD, path)
    page, info = printed(path)
    assert info["dpi"][0] == pytest.approx(dpi, rel=1e-3)
    np.testing.assert_allclose(np.array(page.shape[:2]) / dpi * 0.0254, [0.210, 0.297], atol=1e-4)
    small = np.array(Image.fromarray(page).resize((page.shape[1] // 4, page.shape[0] // 4), Image.Resampling.BOX))
    found = Finder(BOARD).find(small)
    assert len(found) == 24
    metres = (found.corners - found.corners.mean(axis=0)) * 4 / dpi * 0.0254 * [1, -1]
    np.testing.assert_allclose(metres, board.points(BOARD)[found.ids][:, :2], atol=5e-5)


def test_the_print_is_a_pdf_page_of_the_papers_size(tmp_path):
    path = tmp_path / "board.pdf"
    board.write_print(BOARD, path, "A3")
    text = path.read_bytes()
    box = text[text.index(b"/MediaBox") :].split(b"[")[1].split(b"]")[0].split()
    np.testing.assert_allclose([float(x) for x in box], [0, 0, 420 / 25.4 * 72, 297 / 25.4 * 72], atol=0.2)
    assert b"CCITTFaxDecode" in text


@pytest.mark.parametrize(
    ("made", "path", "words"),
    [
        (BoardConfig(square=0.05, marker=0.04), "x.pdf", "does not fit on A4"),
        (BOARD, "x.jpg", "must end in .pdf or .png"),
        (BoardConfig(dictionary="DICT_9X9_7"), "x.pdf", "none of OpenCV's"),
        (BoardConfig(dictionary="CORNER_REFINE_NONE"), "x.pdf", "none of OpenCV's"),
        (
            BoardConfig(columns=14, rows=14, square=0.012, marker=0.009, dictionary="DICT_4X4_50"),
            "x.pdf",
            "needs 98 markers",
        ),
    ],
)
def test_a_board_that_cannot_be_printed_is_refused(tmp_path, made, path, words):
    with pytest.raises(BoardError, match=words):
        board.write_print(made, tmp_path / path)


def test_a_picture_without_the_board_says_so():
    with pytest.raises(BoardError, match="the board is not seen"):
        Finder(BOARD).find(np.full((480, 640, 3), 128, np.uint8))


def test_a_board_of_another_dictionary_is_not_seen():
    other = BoardConfig(dictionary="DICT_4X4_100")
    picture = Twinned(configuration("wrist"), "wrist").picture(session("wrist").stations[0].joints)
    assert len(Finder(BOARD).find(picture)) >= board.FEWEST
    with pytest.raises(BoardError, match="not seen"):
        Finder(other).find(picture)


def test_a_corner_of_the_board_is_too_little():
    run = session("wrist")
    twin = Twinned(run.config, "wrist")
    counts = [len(v.corners) for v in run.views]
    full = next(s for s in run.stations if len(Finder(BOARD).find(twin.picture(s.joints))) == max(counts))
    picture = twin.picture(full.joints).copy()
    found = Finder(BOARD).find(picture)
    right = np.sort(found.corners[:, 0])[6] - 8
    picture[:, int(right) :] = 128
    with pytest.raises(BoardError, match=r"only \d corners|not seen|on one line"):
        Finder(BOARD).find(picture)


def test_what_is_found_does_not_change_from_call_to_call():
    run = session("wrist")
    picture = Twinned(run.config, "wrist").picture(kinematics.wrapped(run.stations[0].joints))
    first, second = (Finder(BOARD).find(picture) for _ in range(2))
    assert (first.corners == second.corners).all()
    assert (first.ids == second.ids).all()
