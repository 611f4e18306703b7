"""Contact sheets and videos: the right pixels in the right place, whatever the sizes."""

from pathlib import Path

import av
import numpy as np
import pytest

from vla_ros.episodes.video import frames as decoded
from vla_ros.evaluation import pictures
from vla_ros.evaluation.pictures import (
    GREEN,
    GROUND,
    RED,
    compose_frame,
    contact_sheet,
    enlarged,
    write_video,
)

STATIC = np.full((80, 120, 3), (200, 30, 30), np.uint8)
WRIST = np.full((60, 80, 3), (30, 30, 200), np.uint8)
CORNERS = 80
"""Pixels that the rounded corners take of a tile, at most."""


def share(picture: np.ndarray, colour: tuple[int, int, int]) -> int:
    """Number of pixels of exactly this colour."""
    return int((np.asarray(picture) == colour).all(-1).sum())


def test_every_image_is_on_the_sheet_at_a_whole_scale():
    sheet = contact_sheet([("static", [STATIC] * 4), ("wrist", [WRIST] * 3)], ["0 s", "1 s", "2 s", "3 s"])
    assert share(sheet, (200, 30, 30)) == pytest.approx(4 * 360 * 240, abs=4 * CORNERS)
    assert share(sheet, (30, 30, 200)) == pytest.approx(3 * 320 * 240, abs=3 * CORNERS)


def test_the_result_has_a_colour():
    rows = [("static", [STATIC] * 2)]
    assert share(contact_sheet(rows, title="push it", status="success", good=True), GREEN) > 1000
    assert share(contact_sheet(rows, title="push it", status="dropped", good=False), RED) > 1000
    assert share(contact_sheet(rows, title="push it"), GREEN) == 0


def test_a_long_title_does_not_run_into_the_result():
    rows = [("static", [STATIC] * 2)]
    long, short = (contact_sheet(rows, title=t, status="success", good=True) for t in ("put the cube " * 40, ""))
    assert long.size == short.size
    chip = np.s_[:92, 600:]
    first = int((np.asarray(short)[chip] == GREEN).all(-1).any(0).argmax())
    edge = np.asarray(long)[:92, 600 + first - 16 : 600 + first]
    assert share(edge, GROUND) == edge.shape[0] * edge.shape[1]


@pytest.mark.parametrize("rows", [[], [("static", [])]])
def test_an_empty_sheet_is_a_picture(rows: list):
    assert contact_sheet(rows, title="nothing").width > 0


@pytest.mark.parametrize(("width", "size"), [(360, (360, 240)), (400, (360, 240)), (30, (30, 20)), (120, (120, 80))])
def test_enlarged(width: int, size: tuple[int, int]):
    assert enlarged(STATIC, width).size == size


def test_enlarging_keeps_pixels_square():
    image = np.arange(4 * 3 * 3, dtype=np.uint8).reshape(3, 4, 3)
    np.testing.assert_array_equal(np.asarray(enlarged(image, 8)), image.repeat(2, 0).repeat(2, 1))


def test_a_frame_holds_the_insets_and_keeps_its_size():
    main = np.full((720, 1280, 3), 90, np.uint8)
    frame = compose_frame(main, [("static", STATIC), ("wrist", WRIST)], ["pick up the red cube", "0.4 s"])
    assert (frame.shape, frame.dtype) == (main.shape, np.uint8)
    assert share(frame, (200, 30, 30)) == pytest.approx(240 * 160, abs=CORNERS)
    assert share(frame, (30, 30, 200)) == pytest.approx(240 * 180, abs=CORNERS)
    assert share(frame[600:, :400], (90, 90, 90)) < 0.6 * 120 * 400, "the text has a plate to stand on"
    assert (main == 90).all(), "the caller's picture is left alone"


def test_a_frame_without_anything_is_the_picture():
    main = np.random.default_rng(0).integers(0, 255, (72, 128, 3), dtype=np.uint8)
    np.testing.assert_array_equal(compose_frame(main), main)


@pytest.mark.parametrize("shape", [(80, 120), (81, 121)])
def test_a_video_plays_anywhere(tmp_path: Path, shape: tuple[int, int]):
    path = tmp_path / "demo.mp4"
    levels = (20, 120, 220)
    assert write_video(path, (np.full((*shape, 3), level, np.uint8) for level in levels), 25) == 3
    frames = np.stack(list(decoded(path)))
    assert frames.shape == (3, 80 + shape[0] % 2 * 2, 120 + shape[1] % 2 * 2, 3)
    np.testing.assert_allclose(frames.mean((1, 2, 3)), levels, atol=2)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 25)


def test_a_video_needs_frames(tmp_path: Path):
    with pytest.raises(ValueError, match="no frames"):
        write_video(tmp_path / "demo.mp4", [], 25)


def test_the_font_has_what_we_write():
    text = "“”…°·±–×→²µ≥".translate(pictures._REPLACED)
    drawn = {character: bytes(pictures._font(20).getmask(character)) for character in text + "\ue000"}
    missing = drawn.pop("\ue000")
    assert [character for character, pixels in drawn.items() if pixels == missing] == []
