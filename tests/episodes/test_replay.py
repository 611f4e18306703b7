"""A recorded way: where it was recorded it is again, at any share of its speed."""

import numpy as np
import pytest

from vla_ros import geometry
from vla_ros.episodes.layout import DatasetError
from vla_ros.episodes.lerobot import DatasetWriter
from vla_ros.episodes.reader import DatasetReader
from vla_ros.episodes.replay import track
from vla_ros.kinematics import TOOL_DOWN

FPS = 10


@pytest.fixture
def reader(tmp_path):
    """Two episodes of which the second goes from (0.4, 0, 0.2) along y and turns about z, closing the gripper half way."""
    with DatasetWriter(tmp_path, {"observation.state": ("float32", (8,))}, FPS, "robot") as writer:
        for far in (0.0, 0.1):
            writer.begin("a")
            for k in range(11):
                state = [0.4, far * k / 10, 0.2, 0.0, 0.0, 0.05 * k, 0.3, float(k >= 5)]
                writer.add({}, {"observation.state": state})
            writer.commit()
    return DatasetReader(tmp_path)


@pytest.mark.parametrize("speed", [1.0, 0.5, 0.1])
def test_the_way_is_the_recorded_one_at_a_share_of_its_speed(reader, speed):
    way = track(reader, 1, speed)
    assert way.seconds == pytest.approx(1.0 / speed)
    for share in (0.0, 0.33, 0.5, 1.0, 1.5):
        pose, true = way.at(share * way.seconds), min(share, 1.0)
        np.testing.assert_allclose(pose.position, [0.4, 0.1 * true, 0.2], atol=1e-6)
        np.testing.assert_allclose(geometry.difference(pose.quaternion, TOOL_DOWN), [0, 0, 0.5 * true], atol=1e-6)
    np.testing.assert_allclose(way.twist(way.seconds / 2), [0, 0.1 * speed, 0, 0, 0, 0.5 * speed], atol=1e-5)
    assert [way.gripper(share * way.seconds) for share in (0.0, 0.48, 0.52, 2.0)] == [0.0, 0.0, 1.0, 1.0]


def test_what_is_not_there_is_named(reader, tmp_path):
    with pytest.raises(DatasetError, match="no episode 2"):
        track(reader, 2)
    with DatasetWriter(tmp_path / "b", {"observation.state": ("float32", (3,))}, FPS, "robot") as writer:
        writer.begin("a")
        writer.add({}, {"observation.state": [0, 0, 0]})
        writer.commit()
    with pytest.raises(DatasetError, match="8 numbers"):
        track(DatasetReader(tmp_path / "b"), 0)
