"""The twin's camera: what the physics shows, stamped with when it was true."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vla_ros.cameras.camera import Camera, CameraError
from vla_ros.cameras.twin import TwinCamera
from vla_ros.clock import MILLISECOND, SECOND, VirtualClock
from vla_ros.config import load
from vla_ros.shared import Block
from vla_ros.twin import blocks, tasks
from vla_ros.twin.physics import Twin
from vla_ros.twin.render import make_renderer

CONFIG = load(overrides=["twin.noise=0"])


@pytest.fixture(scope="module")
def twin() -> Twin:
    return Twin(CONFIG)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(SECOND)


@pytest.fixture
def block(tmp_path: Path) -> Block:
    return Block.create(tmp_path / "twin_state", blocks.STATE)


def publish(block: Block, twin: Twin, stamp: int, episode: int) -> None:
    block.write(blocks.pack_state(stamp, twin.now, episode, twin.data.qpos, twin.episode.look()))


@pytest.mark.parametrize("name", ["static", "wrist"])
def test_a_frame_is_the_picture_of_the_state_it_is_stamped_with(
    name: str, twin: Twin, block: Block, clock: VirtualClock, tmp_path: Path
) -> None:
    camera = TwinCamera(CONFIG, name, tmp_path, clock)
    camera.open()
    for episode in (1, 2):
        twin.reset(tasks.sample(episode))
        twin.advance(20 * MILLISECOND)
        stamp = clock.now() + episode
        publish(block, twin, stamp, episode)
        frame = camera.read(0.1)
        assert frame is not None
        assert frame.exposure == stamp
        assert frame.arrival == clock.now()
        assert frame.sequence == episode
        own = make_renderer(twin.model, CONFIG.cameras[name], name, "ray").render(twin.data)
        np.testing.assert_array_equal(frame.image, own)
    camera.close()


def test_frames_come_at_the_rate_and_only_when_there_is_something_new(
    twin: Twin, block: Block, clock: VirtualClock, tmp_path: Path
) -> None:
    camera: Camera = TwinCamera(CONFIG, "wrist", tmp_path, clock)
    camera.open()
    arrivals = []
    for k in range(5):
        publish(block, twin, clock.now() + k, 1)
        frame = camera.read(0.1)
        assert frame is not None
        arrivals.append(frame.arrival)
    assert np.diff(arrivals) == pytest.approx(SECOND / 30, abs=2)
    assert camera.read(0.1) is None
    assert clock.now() >= arrivals[-1] + 100 * MILLISECOND
    camera.close()


def test_it_returns_by_its_timeout(twin: Twin, block: Block, clock: VirtualClock, tmp_path: Path) -> None:
    camera = TwinCamera(CONFIG, "wrist", tmp_path, clock)
    camera.open()
    publish(block, twin, clock.now(), 1)
    assert camera.read(0.1) is not None
    before = clock.now()
    assert camera.read(0.01) is None
    assert clock.now() - before == 10 * MILLISECOND
    camera.close()


def test_it_follows_a_twin_that_was_started_anew(twin: Twin, block: Block, clock: VirtualClock, tmp_path: Path) -> None:
    camera = TwinCamera(CONFIG, "wrist", tmp_path, clock)
    camera.open()
    publish(block, twin, clock.now(), 1)
    assert camera.read(0.1) is not None
    fresh = Block.create(tmp_path / "twin_state", blocks.STATE)
    assert camera.read(0.1) is None
    publish(fresh, twin, clock.now(), 1)
    assert camera.read(0.1) is not None
    camera.close()


def test_the_intrinsics_are_the_configured_ones(clock: VirtualClock, tmp_path: Path) -> None:
    intrinsics = TwinCamera(CONFIG, "static", tmp_path, clock).intrinsics
    assert (intrinsics.fx, intrinsics.cy, intrinsics.binning) == (607.1, 365.1, 4)
    assert intrinsics.image_shape == (80, 120)


def test_without_a_twin_it_says_what_to_start(clock: VirtualClock, tmp_path: Path) -> None:
    camera = TwinCamera(CONFIG, "static", tmp_path, clock)
    with pytest.raises(CameraError, match="vla-ros sim"):
        camera.open()
    with pytest.raises(CameraError, match="open"):
        camera.read(0.1)
