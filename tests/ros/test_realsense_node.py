"""The camera node with the RealSense driver, on a recording that the real SDK plays: pictures, stamps and depth over DDS."""

import gc
import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import CameraInfo, Image

from tests.cameras.soft_realsense import FOCAL, HEIGHT, OVERRIDES, WIDTH, record
from vla_ros.cameras.camera import CameraError
from vla_ros.cameras.realsense import load_sdk
from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.nodes import convert
from vla_ros.nodes.camera import CameraNode
from vla_ros.nodes.process import newest

from .bed import small_config

COUNT = 30


@pytest.fixture(scope="module")
def parameters(tmp_path_factory):
    """The node's parameters for a recording with depth."""
    try:
        sdk = load_sdk()
    except CameraError as error:
        pytest.skip(str(error))
    path = str(tmp_path_factory.mktemp("recording") / "wrist.db3")
    record(sdk, path, COUNT, depth=True)
    gc.collect()  # the file is complete when the recorder is gone
    words = dict(word.split("=") for word in (*OVERRIDES, "cameras.wrist.depth=true"))
    wrist = small_config(**words).cameras["wrist"]
    names = (name.removeprefix("cameras.wrist.") for name in words)
    values = {f"cameras.wrist.{name}": getattr(wrist, name) for name in names}
    values["cameras.wrist.roi"] = list(wrist.roi)
    return {"camera": "wrist", "cameras.wrist.playback": path, **values}


def test_a_recording_is_published_like_a_camera(ros, parameters):
    images, infos, depths, reports = [], [], [], []
    probe = ros.node()
    probe.create_subscription(
        Image, "/wrist_camera/color/image_raw", lambda m: images.append((time.time_ns(), m)), newest()
    )
    probe.create_subscription(CameraInfo, "/wrist_camera/color/camera_info", infos.append, newest())
    probe.create_subscription(Image, "/wrist_camera/aligned_depth_to_color/image_raw", depths.append, newest())
    probe.create_subscription(DiagnosticArray, "/diagnostics", reports.append, newest(depth=10))
    node = ros.add(CameraNode, **parameters)
    ros.spin_until(lambda: (len(images) >= 20 and infos and depths and reports) or node.failure, "no frames")
    assert not node.failure
    for arrival, message in images:
        picture = convert.to_image(message, (HEIGHT, WIDTH))
        assert (picture == picture[0, 0, 0]).all()
        assert 4 * MILLISECOND <= arrival - convert.from_time(message.header.stamp) < 20 * SECOND
    assert len({bytes(message.data)[:1] for _, message in images}) > 5
    assert convert.to_intrinsics(infos[0]).fx == FOCAL
    assert (depths[0].encoding, depths[0].header.frame_id) == ("32FC1", images[0][1].header.frame_id)
    metres = np.frombuffer(depths[0].data, np.float32).reshape(HEIGHT, WIDTH)
    assert metres[HEIGHT // 2, WIDTH // 2] == pytest.approx(0.8)


def test_a_camera_that_is_not_there_ends_the_node_with_the_remedy(ros, parameters):
    node = ros.add(CameraNode, **parameters | {"cameras.wrist.playback": "/no/such.db3"})
    ros.spin_until(lambda: node.failure, "the node did not give up")
    assert "there is no file '/no/such.db3'" in node.failure
