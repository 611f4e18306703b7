"""Messages and the words of the house say the same, and what does not fit is refused by name."""

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image
from trajectory_msgs.msg import MultiDOFJointTrajectoryPoint

from vla_ros import geometry
from vla_ros.cameras.pixels import deliver
from vla_ros.nodes import convert
from vla_ros.nodes.camera_topics import to_depth_view, to_view
from vla_ros.values import ActionChunk, Intrinsics

from .bed import arm_at

RANDOM = np.random.default_rng(3)
STAMP = 1_700_000_000_123_456_789


def picture(height=6, width=8):
    return RANDOM.integers(0, 256, (height, width, 3), dtype=np.uint8)


def chunk(n=6, execute=4):
    turns = [geometry.exp(RANDOM.normal(0, 0.1, 3)) for _ in range(n)]
    quaternions = np.array(turns).reshape(n, 4)
    return ActionChunk(
        7, 100_000_000, RANDOM.normal(0, 1, (n, 3)), quaternions, RANDOM.uniform(0, 1, n), execute, "p", "i", 3
    )


def test_an_image_comes_back_as_it_was_and_its_message_is_used_again():
    writer = convert.ImageWriter((6, 8), "optical")
    first, second = picture(), picture()
    message = writer.write(first, STAMP)
    np.testing.assert_array_equal(convert.to_image(message, (6, 8)), first)
    assert convert.from_time(message.header.stamp) == STAMP
    assert writer.write(second, STAMP) is message
    np.testing.assert_array_equal(convert.to_image(message, (6, 8)), second)


def test_depth_in_metres_and_in_millimetres_is_the_same():
    metres = np.array([[0.4, np.nan, 1.2345], [65.535, 70.0, -1.0]], np.float32)
    wanted = [[400, 0, 1234], [65535, 0, 0]]
    message = convert.from_depth(metres, STAMP, "optical")
    assert convert.to_depth(message).tolist() == wanted
    rows = np.array([[400, 0, 1234, 9], [65535, 0, 0, 9]])
    for kind, big in (("<u2", 0), (">u2", 1)):
        data = rows.astype(kind).tobytes()
        message = Image(height=2, width=3, encoding="16UC1", step=8, data=data, is_bigendian=big)
        assert convert.to_depth(message).tolist() == wanted


def test_depth_of_a_whole_sensor_is_cut_and_thinned_as_its_pictures_are():
    camera = Intrinsics(12, 8, 10.0, 10.0, 6.0, 4.0, (4, 2, 6, 4), 2, ())
    whole = np.arange(96, dtype=np.uint16).reshape(8, 12)
    message = Image(height=8, width=12, encoding="16UC1", step=24, data=whole.tobytes())
    assert to_depth_view(message, camera).tolist() == [[41, 43, 45], [65, 67, 69]]
    cut = Image(height=2, width=3, encoding="16UC1", step=6, data=whole[:2, :3].tobytes())
    assert to_depth_view(cut, camera).tolist() == whole[:2, :3].tolist()
    with pytest.raises(convert.MessageError, match="depth is 6×8, wanted is 3×2"):
        to_depth_view(Image(height=8, width=6, encoding="16UC1", step=12, data=bytes(96)), camera)


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (Image(height=2, width=3, encoding="mono16", step=6, data=bytes(12)), "'mono16': publish 32FC1 or 16UC1"),
        (Image(height=2, width=3, encoding="16UC1", step=6, data=bytes(10)), "10 bytes with step 6 for 3×2"),
        (Image(height=2, width=3, encoding="32FC1", step=8, data=bytes(16)), "step 8"),
    ],
)
def test_what_is_no_depth_is_named(message, says):
    with pytest.raises(convert.MessageError, match=says):
        convert.to_depth(message)


def test_a_bgr_image_is_turned_round():
    image = picture()
    message = Image(height=6, width=8, encoding="bgr8", step=24, data=image[:, :, ::-1].tobytes())
    np.testing.assert_array_equal(convert.to_image(message, (6, 8)), image)


def test_whatever_the_order_of_colours_and_with_or_without_alpha_an_image_comes_as_rgb():
    image = picture()
    alpha = np.full((6, 8, 1), 255, np.uint8)
    for encoding, pixels in {
        "rgba8": np.concatenate([image, alpha], axis=2),
        "bgra8": np.concatenate([image[:, :, ::-1], alpha], axis=2),
    }.items():
        message = Image(height=6, width=8, encoding=encoding, step=36, data=padded(pixels, 36))
        np.testing.assert_array_equal(convert.to_image(message, (6, 8)), image)
    grey = Image(height=6, width=8, encoding="mono8", step=8, data=image[:, :, 0].tobytes())
    np.testing.assert_array_equal(convert.to_image(grey, (6, 8)), np.repeat(image[:, :, :1], 3, axis=2))


def padded(pixels, step):
    rows = np.zeros((len(pixels), step), np.uint8)
    rows[:, : pixels[0].size] = pixels.reshape(len(pixels), -1)
    return rows.tobytes()


CUT = Intrinsics(8, 6, 10.0, 10.0, 4.0, 3.0, (2, 0, 4, 6), 2)


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8"])
def test_the_whole_sensor_is_cut_and_binned_as_configured(encoding):
    image = picture()
    pixels = image if encoding == "rgb8" else image[:, :, ::-1]
    message = Image(height=6, width=8, encoding=encoding, step=24, data=pixels.tobytes())
    np.testing.assert_array_equal(to_view(message, CUT), deliver(image, CUT.roi, CUT.binning))
    assert to_view(message, CUT).shape == (3, 2, 3)


def test_what_is_cut_and_binned_already_is_left_as_it_is():
    image = picture(3, 2)
    message = Image(height=3, width=2, encoding="rgb8", step=6, data=image.tobytes())
    np.testing.assert_array_equal(to_view(message, CUT), image)


def test_an_image_that_is_neither_the_view_nor_the_whole_sensor_is_refused_with_both():
    message = Image(height=6, width=4, encoding="rgb8", step=12, data=picture(6, 4).tobytes())
    with pytest.raises(convert.MessageError, match=r"size is 4×6, wanted is 2×3.*whole sensor, 8×6"):
        to_view(message, CUT)


def test_rows_may_be_padded():
    image = picture()
    message = Image(height=6, width=8, encoding="rgb8", step=32, data=padded(image, 32))
    np.testing.assert_array_equal(convert.to_image(message, (6, 8)), image)


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"encoding": "yuv422_yuy2"}, ["encoding", "'yuv422_yuy2'", "rgb8"]),
        ({"width": 640, "height": 480}, ["size", "640×480", "8×6"]),
        ({"step": 8}, ["step 8", "144 bytes"]),
    ],
)
def test_an_image_that_does_not_fit_is_refused_by_name(fields, names):
    good = {"height": 6, "width": 8, "encoding": "rgb8", "step": 24, "data": picture().tobytes()}
    with pytest.raises(convert.MessageError) as error:
        convert.to_image(Image(**(good | fields)), (6, 8))
    assert all(name in str(error.value) for name in names)


def test_a_writer_refuses_an_image_of_another_shape():
    with pytest.raises(convert.MessageError, match=r"\(5, 8, 3\)"):
        convert.ImageWriter((6, 8), "optical").write(picture(5, 8), STAMP)


@pytest.mark.parametrize(("roi", "binning"), [((398, 175, 480, 320), 4), ((0, 0, 1280, 720), 1)])
def test_intrinsics_come_back(roi, binning):
    camera = Intrinsics(1280, 720, 607.1, 606.8, 638.6, 365.1, roi, binning)
    assert convert.to_intrinsics(convert.from_intrinsics(camera, "optical")) == camera


@pytest.mark.parametrize(
    ("distortion", "model"),
    [
        ((), "plumb_bob"),
        ((0.1, -0.2, 0.001, 0.002, 0.05), "plumb_bob"),
        ((0.5, -2.6, 0.0003, -0.0002, 1.5, 0.38, -2.4, 1.4), "rational_polynomial"),
    ],
)
def test_distortion_comes_back_under_the_name_of_its_model(distortion, model):
    camera = Intrinsics(1280, 720, 607.1, 606.8, 638.6, 365.1, (0, 0, 1280, 720), 1, distortion)
    message = convert.from_intrinsics(camera, "optical")
    assert message.distortion_model == model
    assert len(message.d) == (len(distortion) or 5)
    assert convert.to_intrinsics(message) == camera


def test_a_distortion_of_a_model_that_we_do_not_know_is_left_out():
    message = CameraInfo(width=640, height=480, distortion_model="equidistant", d=[0.1, 0.2, 0.3, 0.4, 0.5])
    assert convert.to_intrinsics(message).distortion == ()


def test_zeros_in_camera_info_mean_the_whole_sensor():
    camera = convert.to_intrinsics(CameraInfo(width=640, height=480))
    assert (camera.roi, camera.binning) == ((0, 0, 640, 480), 1)


def test_the_arm_comes_back_without_its_force():
    arm = arm_at(5, (0.1, 0.2, 0.3), 0.4)
    joints, tool = convert.from_arm(arm, STAMP)
    assert joints.header.stamp == tool.header.stamp
    back = convert.to_arm(joints, tool, 5)
    for name in ("joints", "velocities", "torques", "force"):
        np.testing.assert_array_equal(getattr(back, name), getattr(arm, name))
    np.testing.assert_array_equal(back.tool.position, arm.tool.position)
    assert (back.stamp, back.gripper) == (5, 0.4)


def test_joints_are_found_by_name_and_missing_ones_named():
    joints, tool = convert.from_arm(arm_at(5, gripper=0.4), STAMP)
    joints.name, joints.position = list(joints.name)[::-1], list(joints.position)[::-1]
    assert convert.to_arm(joints, tool, 5).gripper == 0.4
    joints.name = ["elbow", *joints.name[1:]]
    with pytest.raises(convert.MessageError, match="lacks gripper"):
        convert.to_arm(joints, tool, 5)


@pytest.mark.parametrize(("n", "execute"), [(1, 1), (6, 4), (6, 6), (20, 1)])
def test_a_chunk_comes_back(n, execute):
    sent = chunk(n, execute)
    message = convert.from_chunk(sent, STAMP)
    assert convert.from_time(message.header.stamp) == STAMP
    back = convert.to_chunk(message, 7, 3, "p", "i")
    for name in ("positions", "quaternions", "grippers"):
        np.testing.assert_array_equal(getattr(back, name), getattr(sent, name))
    assert (back.stamp, back.step, back.execute, back.sequence) == (7, sent.step, execute, 3)
    assert (back.policy, back.instruction) == ("p", "i")


def test_the_velocities_of_a_chunk_are_the_way_to_each_target():
    sent = chunk()
    points = convert.from_chunk(sent, STAMP).points
    linear = points[2].velocities[0].linear
    way = (sent.positions[2] - sent.positions[1]) / 0.1
    np.testing.assert_allclose([linear.x, linear.y, linear.z], way, atol=1e-9)
    assert not points[4].velocities


def test_an_empty_chunk_says_that_there_is_nothing_to_do():
    message = convert.from_chunk(chunk(0, 1), STAMP)
    assert not message.points
    assert len(convert.to_chunk(message, 7, 3)) == 0


def test_a_trajectory_without_velocities_may_be_played_whole():
    message = convert.from_chunk(chunk(6, 2), STAMP)
    for point in message.points:
        point.velocities = []
    assert convert.to_chunk(message, 7, 3).execute == 6


def broken_names(message):
    message.joint_names = ["hand", "gripper"]


def broken_frame(message):
    message.header.frame_id = "world"


def broken_point(message):
    message.points[2] = MultiDOFJointTrajectoryPoint(transforms=message.points[2].transforms[:1])


def broken_time(message):
    message.points[2].time_from_start.nanosec += 5_000_000


def broken_marks(message):
    message.points[0].velocities = []


@pytest.mark.parametrize(
    ("breaks", "names"),
    [
        (broken_names, "joint_names"),
        (broken_frame, "frame_id"),
        (broken_point, "two transforms"),
        (broken_time, "time_from_start"),
        (broken_marks, "must come first"),
    ],
)
def test_a_trajectory_of_another_form_is_refused_by_name(breaks, names):
    message = convert.from_chunk(chunk(), STAMP)
    breaks(message)
    with pytest.raises(convert.MessageError, match=names):
        convert.to_chunk(message, 7, 3)


def test_diagnostics_come_back_by_name():
    status = convert.diagnostic("arm", b"\x01", "why", {"a": 1.5, "b": "x"}, "id")
    array = convert.diagnostics(STAMP, [status, convert.diagnostic("other", b"\x00", "", {})])
    (found,) = convert.named(array, "arm")
    assert convert.values(found) == {"a": "1.5", "b": "x"}


@pytest.mark.parametrize(
    ("text", "value"), [("0.25", 0.25), ("1e3", 1000.0), ("open", None), ("", None), ("inf", None)]
)
def test_a_value_is_a_number_or_none(text, value):
    assert convert.number(text) == value
    assert np.isnan(convert.number("nan"))
