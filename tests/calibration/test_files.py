"""Calibrations as files: what is written is read back as configuration, and what is of another camera or damaged is refused."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from vla_ros import geometry
from vla_ros.calibration import files
from vla_ros.calibration.lens import Lens
from vla_ros.config import ConfigError, load
from vla_ros.geometry import Pose

LENS = Lens(640, 480, 613.25, 612.75, 320.5, 241.125, (0.1, -0.2, 0.001, -0.002, 0.05))
POSE = Pose(np.array([0.0791, -0.0012, -0.1287]), geometry.normalized(np.array([-0.11, -0.12, 0.69, 0.7])))
CAMERA = ["cameras.wrist.serial='0344'"]


def written(folder, serial="0344"):
    files.write_intrinsics(folder, "wrist", LENS, serial, ["Measured today."])
    files.write_pose(folder, "wrist", "tool", POSE, serial, ["Measured today."])
    files.write_table(folder, 0.00321, ["Measured today."])
    return folder


def test_what_was_measured_becomes_configuration(tmp_path):
    config = load("twin", calibration=written(tmp_path), overrides=CAMERA)
    wrist = config.cameras["wrist"]
    assert (wrist.fx, wrist.fy, wrist.cx, wrist.cy) == (613.25, 612.75, 320.5, 241.125)
    assert wrist.distortion == LENS.distortion
    np.testing.assert_allclose(wrist.position, POSE.position)
    np.testing.assert_allclose(wrist.quaternion, POSE.quaternion)
    assert config.workspace.table == 0.00321
    assert config.cameras["static"] == load().cameras["static"]


def test_overrides_come_after_calibrations(tmp_path):
    config = load(
        "twin", calibration=written(tmp_path), overrides=[*CAMERA, "cameras.wrist.fx=600", "workspace.table=0.001"]
    )
    assert (config.cameras["wrist"].fx, config.workspace.table) == (600.0, 0.001)


def test_an_empty_folder_changes_nothing(tmp_path):
    (tmp_path / "README.md").write_text("no calibration")
    assert load("twin", calibration=tmp_path) == load("twin")


def test_latencies_are_read_too(tmp_path):
    (tmp_path / "latency.yaml").write_text("servo: {delay: 0.07}\ncameras: {static: {latency: 0.04}}\n")
    config = load("twin", calibration=written(tmp_path))
    assert (config.servo.delay, config.cameras["static"].latency) == (0.07, 0.04)


def test_a_pinhole_has_no_distortion(tmp_path):
    files.write_intrinsics(tmp_path, "wrist", Lens(640, 480, 600.0, 600.0, 320.0, 240.0))
    assert load("twin", calibration=tmp_path).cameras["wrist"].distortion == ()


def test_the_intrinsics_are_a_camera_info_file(tmp_path):
    content = yaml.safe_load(files.write_intrinsics(tmp_path, "wrist", LENS).read_text())
    assert content["image_width"] == 640
    assert content["camera_name"] == "wrist"
    assert content["camera_matrix"] == {
        "rows": 3,
        "cols": 3,
        "data": [613.25, 0.0, 320.5, 0.0, 612.75, 241.125, 0.0, 0.0, 1.0],
    }
    assert content["distortion_model"] == "plumb_bob"
    assert content["distortion_coefficients"]["data"] == list(LENS.distortion)
    assert (content["projection_matrix"]["rows"], content["projection_matrix"]["cols"]) == (3, 4)
    assert len(content["rectification_matrix"]["data"]) == 9
    assert "serial" not in content


def test_the_pose_has_the_structure_of_easy_handeye2(tmp_path):
    path = files.write_pose(tmp_path, "static", "base", POSE)
    content = yaml.safe_load(path.read_text())
    assert set(content) == {"parameters", "transform"}
    assert content["parameters"]["calibration_type"] == "eye_on_base"
    assert content["parameters"]["tracking_base_frame"] == "static_camera_optical_frame"
    assert set(content["transform"]["rotation"]) == set("xyzw")
    assert "static_transform_publisher --x 0.0791" in path.read_text()
    assert "--frame-id base_link --child-frame-id static_camera_optical_frame" in path.read_text()


@pytest.mark.parametrize(
    ("serial", "overrides", "words"),
    [
        ("0344", ["cameras.wrist.serial='0999'"], "serial number 0344, the configuration names 0999"),
        ("0344", ["cameras.wrist.serial='0999'", "cameras.wrist.fx=600"], "wrist.yaml"),
    ],
)
def test_a_calibration_of_another_specimen_is_refused(tmp_path, serial, overrides, words):
    settings = tmp_path / "mine.config"
    settings.write_text("cameras: {wrist: {serial: '0999'}}\n")
    folder = tmp_path / "calibration"
    folder.mkdir()
    with pytest.raises(ConfigError, match=words):
        load("twin", settings, calibration=written(folder, serial))


def edited(folder, file, change):
    path = folder / file
    content = yaml.safe_load(path.read_text())
    change(content)
    path.write_text(yaml.safe_dump(content))


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("wrist.yaml", lambda c: c.update(camera_name="static"), "camera_name is 'static', wanted is 'wrist'"),
        (
            "wrist.yaml",
            lambda c: c.update(image_width=1280),
            "image_width is 1280, the configured camera 'wrist' has 640",
        ),
        ("wrist.yaml", lambda c: c["camera_matrix"].update(data=[1.0] * 8), "camera_matrix.data must be 9 numbers"),
        (
            "wrist.yaml",
            lambda c: c["camera_matrix"]["data"].__setitem__(0, float("nan")),
            "camera_matrix.data must be 9",
        ),
        ("wrist.yaml", lambda c: c["camera_matrix"]["data"].__setitem__(0, -5.0), "focal lengths -5"),
        ("wrist.yaml", lambda c: c.pop("camera_matrix"), "it has no camera_matrix"),
        ("wrist.yaml", lambda c: c.update(distortion_model="equidistant"), "'equidistant' is none of plumb_bob"),
        ("wrist.yaml", lambda c: c["distortion_coefficients"].update(data=[0.0] * 4), "must be 5 numbers"),
        ("wrist_pose.yaml", lambda c: c["parameters"].update(name="head"), "parameters.name is 'head'"),
        ("wrist_pose.yaml", lambda c: c["parameters"].update(calibration_type="eye_on_base"), "is fixed to the tool"),
        ("wrist_pose.yaml", lambda c: c["parameters"].update(robot_effector_frame="flange"), "wanted is 'tool'"),
        ("wrist_pose.yaml", lambda c: c["parameters"].update(tracking_base_frame="cam"), "wrist_camera_optical_frame"),
        ("wrist_pose.yaml", lambda c: c["transform"].pop("rotation"), "it has no rotation"),
        ("wrist_pose.yaml", lambda c: c["transform"]["rotation"].update(x=3.0), "a rotation's is 1"),
        ("wrist_pose.yaml", lambda c: c["transform"]["translation"].update(x="far"), "must be numbers"),
        (
            "table.yaml",
            lambda c: c.update(limits={"speed": 0.2}),
            "sets limits.speed: it may hold workspace.table only",
        ),
    ],
)
def test_what_is_not_of_this_camera_or_damaged_is_refused_by_name(tmp_path, file, change, words):
    written(tmp_path, "")
    edited(tmp_path, file, change)
    with pytest.raises(ConfigError, match=words) as refused:
        load("twin", calibration=tmp_path)
    assert file in str(refused.value)


@pytest.mark.parametrize("text", ["{", "- a\n- b\n", "", "\x00"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path, text):
    (tmp_path / "wrist.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"(?s)wrist.yaml is damaged.*calibrate again"):
        load("twin", calibration=tmp_path)


def test_a_file_of_a_camera_that_there_is_not_is_refused(tmp_path):
    files.write_intrinsics(tmp_path, "head", LENS)
    with pytest.raises(ConfigError, match=r"head.yaml is of camera 'head', the configuration has static, wrist"):
        load("twin", calibration=tmp_path)


@pytest.mark.parametrize("write", [lambda f: files.write_intrinsics(f, "wrist", LENS, "twin"),
                                   lambda f: files.write_pose(f, "wrist", "tool", POSE, "twin"),
                                   lambda f: files.write_table(f, 0.003, twin=True)])  # fmt: skip
def test_what_was_measured_in_the_twin_is_refused_for_a_real_cell(tmp_path, write):
    path = write(tmp_path)
    with pytest.raises(ConfigError, match=rf"{path.name} was measured in the twin, and this .*: calibrate this"):
        load("robot", calibration=tmp_path)
    assert load("twin", calibration=tmp_path) != load("twin")
    behind_the_wire = ["arm.driver=kortex", "twin.kortex=true", "arm.address=127.0.0.1"]
    assert load("twin", calibration=tmp_path, overrides=behind_the_wire) != load("twin", overrides=behind_the_wire)


def test_what_is_set_by_hand_decides_whose_calibration_it_may_be(tmp_path):
    files.write_intrinsics(tmp_path, "wrist", LENS, "twin")
    with pytest.raises(ConfigError, match="driver is realsense"):
        load("twin", calibration=tmp_path, overrides=["cameras.wrist.driver=realsense"])
    files.write_intrinsics(tmp_path, "wrist", LENS, "0344")
    with pytest.raises(ConfigError, match="serial number 0344"):
        load("twin", calibration=tmp_path, overrides=["cameras.wrist.serial='0345'"])


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is no folder"):
        load("twin", calibration=tmp_path / "nowhere")


def test_a_table_that_leaves_no_room_is_the_configurations_error(tmp_path):
    files.write_table(tmp_path, 0.39)
    with pytest.raises(ConfigError, match="leaves no room for the fingers"):
        load("twin", calibration=tmp_path)
