"""What the kinds of calibration say, write and refuse, without a service."""

from __future__ import annotations

import argparse
import json
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image
from rich.console import Console

from tests.calibration.studio import Twinned, session
from vla_ros.calibration import hand_eye, intrinsics, table
from vla_ros.calibration.board import BoardError, Detection
from vla_ros.cli import make_parser
from vla_ros.commands import (
    calibrate_board,
    calibrate_cell,
    calibrate_hand_eye,
    calibrate_intrinsics,
    calibrate_pictures,
    calibrate_table,
)
from vla_ros.commands import calibrate_views as views
from vla_ros.commands.errors import CommandError
from vla_ros.config import load

QUIET = Console(quiet=True)


def parsed(*words):
    return make_parser().parse_args(["calibrate", *words])


def seen(run):
    """The views of a session as a command has them, with a picture for each."""
    twin = Twinned(run.config, run.name)
    picture = twin.picture(run.stations[0].joints)
    from vla_ros.calibration.board import points

    index = {tuple(np.round(p, 6)): i for i, p in enumerate(points(run.config.board))}
    found = [Detection(np.array([index[tuple(np.round(p, 6))] for p in v.points]), v.corners) for v in run.views]
    return [views.Seen(SimpleNamespace(image=picture, tool=v.tool), d) for v, d in zip(run.views, found, strict=True)]


def colours(path):
    with Image.open(path) as picture:
        return {colour for _, colour in picture.getcolors(1 << 20)}


@pytest.mark.parametrize("kind", ["board", "intrinsics wrist", "hand-eye static", "table", "latency"])
def test_every_kind_is_on_the_command_line(kind):
    assert callable(parsed(*kind.split()).run)


def test_the_board_is_written(tmp_path, capsys):
    pytest.importorskip("cv2")
    assert parsed("board", "--output", str(tmp_path / "b.png"), "--set", "board.columns=6").run.__name__ == "run_board"
    options = parsed("board", "--output", str(tmp_path / "b.png"))
    assert calibrate_board.run_board(options) == 0
    assert (tmp_path / "b.png").is_file()
    assert "210.0 mm" in capsys.readouterr().out.replace("\n", " ")
    with pytest.raises(CommandError, match="does not fit on A4"):
        calibrate_board.run_board(parsed("board", "--set", "board.square=0.06"))


@pytest.mark.parametrize("name", ["static", "wrist"])
def test_the_twin_is_prepared_with_the_whole_sensor_and_a_board(name):
    made = views.prepared(name, load())
    config = load(overrides=made)
    views.whole(name, config)
    assert config.twin.board == ("base" if name == "wrist" else "tool")
    assert config.cameras[name].rate == views.RATE
    with pytest.raises(CommandError, match=f"cameras.{name}.binning=1"):
        views.whole(name, load())


def test_a_board_that_somebody_put_elsewhere_stays_there():
    config = load(overrides=["twin.board=base", "twin.board_position=[0.5, 0.1, 0.02]"])
    made = load(overrides=["twin.board=base", "twin.board_position=[0.5, 0.1, 0.02]", *views.prepared("wrist", config)])
    assert made.twin.board_position == (0.5, 0.1, 0.02)


def test_a_camera_that_there_is_not_is_refused():
    with pytest.raises(CommandError, match="no camera 'head' in the configuration: known are static, wrist"):
        views.prepared("head", load())


def test_where_the_board_is_may_be_said():
    config = load(overrides=["workspace.table=0.01"])
    assert views.expected(None, "wrist", config).position[2] == pytest.approx(0.012)
    told = views.expected([0.1, 0.2, 0.3, 0.0, 0.0, 0.0, 2.0], "static", config)
    np.testing.assert_allclose(told.position, [0.1, 0.2, 0.3])
    np.testing.assert_allclose(told.quaternion, [0, 0, 0, 1])
    for wrong in ([0.1], [0.0] * 7):
        with pytest.raises(CommandError, match="--board"):
            views.expected(wrong, "wrist", config)


def test_what_calibration_refuses_ends_the_command_with_its_words():
    with pytest.raises(CommandError, match="not seen"), calibrate_cell.in_words():
        raise BoardError("the board is not seen")


@pytest.mark.parametrize("name", ["wrist", "static"])
def test_a_hand_eye_calibration_is_written_with_its_picture(tmp_path, name):
    pytest.importorskip("cv2")
    run = session(name)
    pictures = seen(run)
    found = hand_eye.solve(views.views_of(pictures, run.config), run.lens, run.parent)
    options = argparse.Namespace(camera=name, folder=tmp_path, json=tmp_path / "x.json")
    calibrate_hand_eye._write(QUIET, options, found, pictures, run.config)
    config = load("twin", calibration=tmp_path)
    assert np.linalg.norm(np.array(config.cameras[name].position) - run.truth.position) < 0.2e-3
    assert "views" in (tmp_path / f"{name}_pose.yaml").read_text().splitlines()[2]
    assert {calibrate_pictures.GREEN, calibrate_pictures.RED, calibrate_pictures.BLUE} <= colours(
        tmp_path / f"{name}_pose.png"
    )
    summary = json.loads((tmp_path / "x.json").read_text())["summary"]
    assert summary["true_error_m"]["value"] < 0.2e-3
    assert summary["leave_one_out_m"]["n"] == len(found.views)
    assert any("taken at their word" in line for line in calibrate_hand_eye.words(found, 25))


def test_slack_is_said():
    pytest.importorskip("cv2")
    from tests.calibration.studio import noisy

    run = session("wrist")
    found = hand_eye.solve(noisy(run.views, 0), run.lens, run.parent)
    assert any("given slack of 0." in line for line in calibrate_hand_eye.words(found, 25))


def test_intrinsics_are_written_with_their_picture(tmp_path):
    pytest.importorskip("cv2")
    run = session("wrist")
    pictures = seen(run)
    found = intrinsics.solve(calibrate_intrinsics.pictures_of(pictures, run.config))
    options = argparse.Namespace(camera="wrist", folder=tmp_path, json=tmp_path / "x.json")
    calibrate_intrinsics._write(QUIET, options, found, pictures, run.config)
    assert load("twin", calibration=tmp_path).cameras["wrist"].fx == pytest.approx(found.lens.fx)
    assert calibrate_pictures.BLUE in colours(tmp_path / "wrist.png")
    entry = json.loads((tmp_path / "x.json").read_text())["summary"]["fx"]
    assert entry["low"] < entry["value"] < entry["high"]


def test_few_cells_of_the_picture_are_said():
    corners = np.zeros((4, 2))
    found = intrinsics.Intrinsics(load_lens(), np.ones(4), 0.1, np.array([0.1]), (0,), (1,), 0.2, 0.5, corners, corners)
    text = " ".join(calibrate_intrinsics.words(found, 2))
    assert "20 % of the picture's cells" in text
    assert "--by-hand" in text
    assert "1 left out" in text


def load_lens():
    from vla_ros.calibration.lens import configured

    return configured(load().cameras["wrist"])


def test_views_by_hand_count_when_the_board_stands_somewhere_else():
    def found(shift, ids=(0, 1, 2, 3)):
        return Detection(np.array(ids), np.array([[10.0, 10.0], [20.0, 10.0], [10.0, 20.0], [20.0, 20.0]]) + shift)

    assert calibrate_intrinsics.steady(found(0.0), found(0.3), 640)
    assert not calibrate_intrinsics.steady(found(0.0), found(3.0), 640)
    assert not calibrate_intrinsics.steady(found(0.0), None, 640)
    assert calibrate_intrinsics.elsewhere(found(0.0), found(50.0), 640)
    assert not calibrate_intrinsics.elsewhere(found(0.0), found(10.0), 640)
    assert calibrate_intrinsics.elsewhere(found(0.0), found(0.0, (5, 6, 7, 8)), 640)


def touched():
    places = table.places(load().workspace)
    return [np.array([*place, 0.004 + 0.001 * place[1]]) for place in places]


def test_the_table_is_written_with_its_picture(tmp_path):
    points = touched()
    found = table.fit(points, load().workspace)
    options = argparse.Namespace(folder=tmp_path, json=tmp_path / "x.json")
    calibrate_table._write(QUIET, options, found, points, load())
    assert load("twin", calibration=tmp_path).workspace.table == pytest.approx(found.highest, abs=1e-5)
    assert calibrate_pictures.GREEN in colours(tmp_path / "table.png")
    assert json.loads((tmp_path / "x.json").read_text())["summary"]["height_m"]["n"] == 5


def test_settings_for_a_touch_are_written_and_are_a_configuration(tmp_path):
    options = parsed("table", "--prepare", str(tmp_path / "touch.yaml"), "--set", "workspace.table=0.01")
    assert calibrate_table.run_table(options) == 0
    config = load("twin", tmp_path / "touch.yaml")
    assert table.may_touch(config)
    assert config.workspace.table == pytest.approx(0.01 - table.SEARCH)
    assert "twin" not in yaml.safe_load(
        (tmp_path / "touch.yaml").read_text()
    ) or config.twin.table_offset == pytest.approx(table.SEARCH)


def test_a_service_that_keeps_the_fingers_off_the_table_is_not_asked_to_touch():
    options = argparse.Namespace(touches=5)
    with pytest.raises(CommandError, match="--prepare"):
        calibrate_table.touch(QUIET, None, load(), options)


def test_too_few_touches_are_refused_before_anything_is_started(tmp_path):
    with pytest.raises(CommandError, match="at least 3"):
        calibrate_table.run_table(parsed("table", "--touches", "2", "--folder", str(tmp_path)))


def test_the_search_is_the_twins_settings():
    config = load(overrides=calibrate_table.overrides(load(), 0.02))
    assert table.may_touch(config)
    assert config.workspace.table + config.twin.table_offset == pytest.approx(0.0)
    assert config.twin.cleared
