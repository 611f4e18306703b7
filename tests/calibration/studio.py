"""Boards rendered in the twin and found in its pictures: what the tests of calibration look at."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from vla_ros import geometry, kinematics
from vla_ros.calibration import plan, rigid
from vla_ros.calibration.board import BoardError, Finder, points
from vla_ros.calibration.bundle import View
from vla_ros.calibration.lens import Lens, configured
from vla_ros.config import Config, load
from vla_ros.geometry import Pose, compose
from vla_ros.twin import scene
from vla_ros.twin.physics import Twin
from vla_ros.twin.render import RayRenderer

VIEWS = 25
WRONG_BY, WRONG_TURN = 0.010, 0.03
"""m and rad (standard deviation per axis) that the planner's guess of the camera is off."""


@dataclass(frozen=True)
class Session:
    """What a camera saw of a board: the views, the lens, and where the camera really is."""

    config: Config
    name: str
    lens: Lens
    truth: Pose
    views: list[View]
    stations: list[plan.Station]

    @property
    def parent(self):
        return self.config.cameras[self.name].parent

    def off(self, found: Pose) -> tuple[float, float]:
        """mm and degrees from the truth."""
        way, turn = rigid.apart(found, self.truth)
        return 1e3 * way, float(np.degrees(turn))


def configuration(name: str) -> Config:
    """The twin with the whole sensor of that camera, and the usual board."""
    plain = load()
    camera, place = plain.cameras[name], plan.LYING if plain.cameras[name].parent == "tool" else plan.HELD
    return load(
        overrides=[
            f"cameras.{name}.binning=1",
            f"cameras.{name}.roi=[0, 0, {camera.width}, {camera.height}]",
            f"twin.board={'base' if camera.parent == 'tool' else 'tool'}",
            f"twin.board_position={place.position.tolist()}",
            f"twin.board_quaternion={place.quaternion.tolist()}",
        ]
    )


def mounted(config: Config, name: str) -> Pose:
    camera = config.cameras[name]
    return Pose(np.array(camera.position), geometry.normalized(np.array(camera.quaternion)))


def scene_of(config: Config, name: str, seed: int = 5) -> plan.Scene:
    """What a planner would be told that knows the camera a little wrong."""
    truth, random, board = mounted(config, name), np.random.default_rng(seed), config.twin
    turn = geometry.exp(random.normal(0, WRONG_TURN, 3))
    guess = Pose(
        truth.position + random.normal(0, WRONG_BY, 3), geometry.normalized(geometry.multiply(truth.quaternion, turn))
    )
    place = Pose(np.array(board.board_position), geometry.normalized(np.array(board.board_quaternion)))
    camera = config.cameras[name]
    return plan.Scene(configured(camera), camera.parent, guess, place, config.board, config.workspace, config.limits)


class Twinned:
    """A twin whose arm is put somewhere, and what its camera sees then."""

    def __init__(self, config: Config, name: str) -> None:
        self.twin, self.name = Twin(config), name
        self._renderer = RayRenderer(self.twin.model, config.cameras[name], name)

    def picture(self, joints: np.ndarray) -> np.ndarray:
        self.twin.data.qpos[:7] = joints
        scene.update(self.twin.model, self.twin.data)
        return self._renderer.render(self.twin.data)


@functools.cache
def session(name: str) -> Session:
    """One run of that camera's calibration, with exact poses of the arm; the same in every test."""
    config = configuration(name)
    stations = plan.plan(scene_of(config, name), kinematics.HOME, VIEWS)
    twin, finder, corners, views = Twinned(config, name), Finder(config.board), points(config.board), []
    for station in stations:
        try:
            found = finder.find(twin.picture(station.joints))
        except BoardError:
            continue
        views.append(View(kinematics.forward(station.joints), corners[found.ids], found.corners))
    return Session(config, name, configured(config.cameras[name]), mounted(config, name), views, stations)


def noisy(views: list[View], seed: int, way: float = 0.5e-3, turn: float = 1e-3) -> list[View]:
    """The views of an arm whose poses are wrong by so much (m and rad, standard deviation per axis)."""
    random = np.random.default_rng(seed)
    errors = [Pose(random.normal(0, way, 3), geometry.exp(random.normal(0, turn, 3))) for _ in views]
    return [View(compose(v.tool, e), v.points, v.corners) for v, e in zip(views, errors, strict=True)]
