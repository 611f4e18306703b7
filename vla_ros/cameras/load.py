"""The driver that the configuration names for a camera, with what the configuration puts around it."""

from __future__ import annotations

import zlib
from pathlib import Path

from vla_ros.cameras.camera import Camera, CameraError
from vla_ros.cameras.faulty import FaultyCamera
from vla_ros.clock import Clock
from vla_ros.config import Config
from vla_ros.faults import scheduled


def load(config: Config, name: str, runtime: Path, clock: Clock) -> FaultyCamera:
    """The camera of that name, not yet open, with its configured faults around it: their time begins now.

    Raises CameraError for a camera that the configuration, or a driver that this version does not have.
    """
    faults = scheduled(config.faults, f"camera.{name}", clock.now())
    return FaultyCamera(_driver(config, name, runtime, clock), clock, faults, seed=zlib.crc32(name.encode()))


def _driver(config: Config, name: str, runtime: Path, clock: Clock) -> Camera:
    if name not in config.cameras:
        raise CameraError(f"no camera {name!r}: choose one of {', '.join(sorted(config.cameras))}")
    driver = config.cameras[name].driver
    if driver == "twin":
        from vla_ros.cameras.twin import LateCamera, TwinCamera

        camera, delay = TwinCamera(config, name, runtime, clock), config.twin.delays.get(name, 0.0)
        return LateCamera(camera, clock, delay) if delay else camera
    raise CameraError(
        f"cameras.{name}.driver {driver!r} is not in this version yet: "
        "use twin, or any driver that publishes Image and CameraInfo on the camera's topics (driver: topic)"
    )
