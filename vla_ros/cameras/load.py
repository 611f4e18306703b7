"""The driver that the configuration names for a camera, with what the configuration puts around it."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

from vla_ros.cameras.camera import Camera, CameraError
from vla_ros.cameras.faulty import FaultyCamera
from vla_ros.clock import Clock
from vla_ros.config import Config
from vla_ros.faults import scheduled

Say = Callable[[str], None]
"""Told in words what a person should know of a device."""


def load(config: Config, name: str, runtime: Path, clock: Clock, say: Say = lambda text: None) -> FaultyCamera:
    """The camera of that name, not yet open, with its configured faults around it: their time begins now.

    Raises CameraError for a camera that the configuration, or a driver that this version does not have.
    """
    faults = scheduled(config.faults, f"camera.{name}", clock.now())
    return FaultyCamera(_driver(config, name, runtime, clock, say), clock, faults, seed=zlib.crc32(name.encode()))


def _driver(config: Config, name: str, runtime: Path, clock: Clock, say: Say) -> Camera:
    if name not in config.cameras:
        raise CameraError(f"no camera {name!r}: choose one of {', '.join(sorted(config.cameras))}")
    driver = config.cameras[name].driver
    if driver == "twin":
        from vla_ros.cameras.twin import LateCamera, TwinCamera

        camera, delay = TwinCamera(config, name, runtime, clock), config.twin.delays.get(name, 0.0)
        return LateCamera(camera, clock, delay) if delay else camera
    if driver == "realsense":
        from vla_ros.cameras.realsense import RealSenseCamera

        return RealSenseCamera(config, name, clock, say)
    if driver == "azure_kinect":
        from vla_ros.cameras.azure_kinect import AzureKinectCamera

        return AzureKinectCamera(config, name, clock, say)
    raise CameraError(
        f"cameras.{name}.driver {driver!r} opens no device: another node publishes its pictures, and this one is not to be started"
    )
