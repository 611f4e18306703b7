"""The camera node of an Azure Kinect in an environment of its own, started as a service does: its frames come here over DDS."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image

from tests.cameras.soft_azure_kinect import BENT, OVERRIDES, colour
from vla_ros import bringup
from vla_ros.config import load
from vla_ros.nodes import convert
from vla_ros.nodes.camera_topics import intrinsics, to_view
from vla_ros.nodes.process import newest

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-kinect/bin/python"
RECORD = """
import sys
sys.path.insert(0, sys.argv[1])
from tests.cameras.soft_azure_kinect import BENT, calibration, jpeg, record, wall
record(sys.argv[2], 10, depth=wall(), picture=lambda k: jpeg(20 + 10 * k), made=calibration(BENT))
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A recording that the SDK has made, which this environment does not have."""
    if not PYTHON.is_file():
        pytest.skip("there is no .venv-kinect: make env-kinect")
    path = tmp_path_factory.mktemp("recording") / "static.mkv"
    subprocess.run([PYTHON, "-c", RECORD, ROOT, path], check=True)
    return path


class Started:
    """The camera's process, as bringup starts it, and what it publishes."""

    def __init__(self, ros, processes, folder, *overrides):
        self.config = bringup.prepare(load("twin", overrides=[*OVERRIDES, *overrides]), folder)
        self.images, self.infos, self.depths = [], [], []
        probe = ros.node()
        probe.create_subscription(Image, "/static_camera/color/image_raw", self.images.append, newest())
        probe.create_subscription(CameraInfo, "/static_camera/color/camera_info", self.infos.append, newest())
        depths = "/static_camera/aligned_depth_to_color/image_raw"
        probe.create_subscription(Image, depths, self.depths.append, newest())
        process = next(p for p in bringup.processes(self.config) if p.name == "static_camera")
        self.process = processes.start(*process.command(folder, os.getpid())[2:])

    def enough(self):
        """Whether everything has come, or nothing will."""
        came = len(self.images) >= 12 and self.infos and self.depths
        return came or self.process.popen.poll() is not None


def test_its_frames_arrive_in_a_process_that_could_not_load_its_sdk(ros, processes, tmp_path, recording):
    overrides = [f"cameras.static.python={PYTHON}", f"cameras.static.playback={recording}"]
    cut = ["cameras.static.roi=[398, 175, 480, 320]", "cameras.static.binning=4", "cameras.static.depth=true"]
    started = Started(ros, processes, tmp_path, *overrides, *cut)
    ros.spin_until(started.enough, "no frames")
    assert started.process.popen.poll() is None, started.process.text
    pid = started.process.popen.pid
    assert Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0] == str(PYTHON)
    maps = Path(f"/proc/{pid}/maps").read_text()
    assert "libk4a" in maps
    assert str(PYTHON.parents[1]) in maps
    assert f"{sys.prefix}/lib" not in maps  # not one library of the environment that started it
    wanted = intrinsics(started.config.cameras["static"])
    for message in started.images:
        picture = to_view(message, wanted)
        assert picture.shape == (80, 120, 3)
        np.testing.assert_allclose(picture.mean(axis=(0, 1)), colour(int(picture[0, 0, 1])), atol=5.0)
    info = convert.to_intrinsics(started.infos[-1])
    assert (info.roi, info.binning) == ((398, 175, 480, 320), 4)
    assert started.infos[-1].distortion_model == "rational_polynomial"
    assert info.distortion == pytest.approx(BENT, rel=1e-5)
    metres = np.frombuffer(started.depths[-1].data, np.float32).reshape(80, 120)
    assert metres[40, 60] == pytest.approx(0.8, abs=0.005)


def test_without_an_environment_of_its_own_it_ends_with_the_remedy(ros, processes, tmp_path):
    pytest.importorskip("numpy", minversion="2")
    started = Started(ros, processes, tmp_path)
    assert started.process.ends() == 1
    assert "make env-kinect" in started.process.text
    assert "Traceback" not in started.process.text
