"""The configured camera, with what the configuration puts around it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vla_ros.cameras.camera import CameraError
from vla_ros.cameras.load import load as load_camera
from vla_ros.clock import MILLISECOND, SECOND, VirtualClock
from vla_ros.config import load
from vla_ros.shared import Block
from vla_ros.twin import blocks
from vla_ros.twin.eye import Eye
from vla_ros.twin.physics import Twin
from vla_ros.values import Frame

DELAY = 80 * MILLISECOND


@pytest.fixture(scope="module")
def twin() -> Twin:
    return Twin(load())


def frames(tmp_path: Path, twin: Twin, seconds: float, *overrides: str) -> list[Frame]:
    """What the wrist camera gives of a twin whose first joint turns, and which publishes every 4 ms."""
    clock = VirtualClock(SECOND)
    block = Block.create(tmp_path / "twin_state", blocks.STATE)
    camera = load_camera(load(overrides=overrides), "wrist", tmp_path, clock)
    camera.open()
    got: list[Frame] = []
    while clock.now() < SECOND + round(seconds * SECOND):
        block.write(state(twin, clock.now()))
        frame = camera.read(0.004)
        if frame is not None:
            got.append(frame)
    camera.close()
    return got


def state(twin: Twin, stamp: int, speed: float = 0.5) -> np.void:
    """The twin at `stamp`, with its first joint turned since one second by `speed` rad/s."""
    coordinates = twin.data.qpos.copy()
    coordinates[0] += speed * (stamp - SECOND) / SECOND
    return blocks.pack_state(stamp, twin.now, 1, coordinates, twin.episode.look())


def test_a_late_camera_shows_the_past_and_stamps_its_frames_at_delivery(tmp_path: Path, twin: Twin) -> None:
    late = frames(tmp_path, twin, 0.4, "twin.delays={wrist: 0.08, static: 0.2}", "twin.noise=0")
    assert len(late) == pytest.approx((0.4 - 0.08) * 30, abs=2)
    eye = Eye(load(), "wrist")
    eye.paint(twin.episode.look())
    for frame in late:
        assert 0 <= frame.arrival - frame.exposure <= 5 * MILLISECOND
        np.testing.assert_array_equal(frame.image, eye.render(state(twin, frame.exposure - DELAY)["coordinates"]))


def test_configured_faults_are_played_from_the_start(tmp_path: Path, twin: Twin) -> None:
    words = "faults={quiet: {target: camera.wrist, kind: disconnect, after: 0.1, seconds: 0.1}}"
    gaps = np.diff([frame.exposure for frame in frames(tmp_path, twin, 0.4, words)]) / SECOND
    assert gaps.max() > 0.1
    assert sorted(gaps)[-2] < 0.05


def test_every_frame_has_noise_of_its_own(tmp_path: Path, twin: Twin) -> None:
    noisy = frames(tmp_path, twin, 0.2, "twin.noise=2")
    clean = frames(tmp_path, twin, 0.2, "twin.noise=0")
    noise = np.stack([a.image.astype(int) - b.image for a, b in zip(noisy, clean, strict=True)])
    assert noise.std() == pytest.approx(2.0, rel=0.1)
    assert (noise[0] != noise[1]).mean() > 0.5


@pytest.mark.parametrize(
    ("name", "override", "says"),
    [
        ("front", "twin.seed=0", "static, wrist"),
        ("wrist", "cameras.wrist.driver=topic", "opens no device"),
    ],
)
def test_a_camera_that_is_not_there_is_named(tmp_path: Path, name: str, override: str, says: str) -> None:
    with pytest.raises(CameraError, match=says):
        load_camera(load(overrides=[override]), name, tmp_path, VirtualClock())
