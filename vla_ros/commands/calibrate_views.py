"""Views of the board for one camera: the twin is prepared, the arm looks where the board is, goes from pose to pose, and stands."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from vla_ros.commands.calibrate_cell import bar, in_words
from vla_ros.commands.errors import CommandError

if TYPE_CHECKING:
    from rich.console import Console

    from vla_ros.calibration.board import Detection, Finder
    from vla_ros.calibration.plan import Scene, Station
    from vla_ros.config import Config
    from vla_ros.geometry import Array, Pose
    from vla_ros.nodes.drive import Driver, Shot

COUNT = 25
RATE = 2.0
"""Frames a second of the camera in the twin: a picture of the whole sensor takes about 0.2 s to cast."""
OTHERS = 2.0
"""Of the other cameras, whose pictures nobody looks at."""
APART = 0.04
"""m that parts of the arm keep from each other in a planned pose: twice what the governor wants."""


@dataclass(frozen=True)
class Seen:
    """One view: the picture and where the tool was, and what was found in it."""

    shot: Shot
    found: Detection


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which camera, how many views, and where the board is."""
    parser.add_argument("camera", help="a camera of the configuration")
    parser.add_argument("--views", type=int, default=COUNT, metavar="N", help=f"poses to go to (default {COUNT})")
    parser.add_argument(
        "--board", type=float, nargs="+", metavar="X",
        help="where the board roughly is: x y z m, and qx qy qz qw; for a camera on the tool in the base frame (default: flat in "
        "the middle of the workspace), for one that stands in the tool's (default: held like a sheet)",
    )  # fmt: skip
    parser.add_argument("--plan-seed", type=int, default=0, help="of the poses (default 0)")


def prepared(name: str, config: Config) -> list[str]:
    """What the twin is started with: the whole sensor of this camera, few pictures a second, and a board where it is looked for."""
    camera = known(name, config)
    made = [f"cameras.{other}.rate={OTHERS}" for other in config.cameras if other != name]
    made += [f"cameras.{name}.rate={RATE}", f"cameras.{name}.binning=1"]
    made.append(f"cameras.{name}.roi=[0, 0, {camera.width}, {camera.height}]")
    if not config.twin.board:
        place = usual(name, config)
        made.append(f"twin.board={'base' if camera.parent == 'tool' else 'tool'}")
        made.append(f"twin.board_position={place.position.tolist()}")
        made.append(f"twin.board_quaternion={place.quaternion.tolist()}")
    return made


def known(name: str, config: Config) -> Any:
    """The camera's settings. Raises CommandError for one that there is not."""
    if name not in config.cameras:
        raise CommandError(f"no camera {name!r} in the configuration: known are {', '.join(config.cameras)}")
    return config.cameras[name]


def whole(name: str, config: Config) -> None:
    """Raises CommandError where the camera does not deliver its whole sensor pixel by pixel."""
    camera = known(name, config)
    if camera.binning != 1 or tuple(camera.roi) != (0, 0, camera.width, camera.height):
        raise CommandError(
            f"camera {name} delivers only a part of its sensor, or {camera.binning} pixels as one: start the service with "
            f"--set 'cameras.{name}.roi=[0, 0, {camera.width}, {camera.height}]' --set cameras.{name}.binning=1, or stop it "
            "and let this start the twin's"
        )


def usual(name: str, config: Config) -> Pose:
    """Where the board is expected unless somebody says otherwise."""
    import numpy as np

    from vla_ros.calibration.plan import HELD, LYING
    from vla_ros.geometry import Pose

    if config.cameras[name].parent == "base":
        return HELD
    return Pose(LYING.position + np.array([0.0, 0.0, config.workspace.table]), LYING.quaternion)


def expected(told: Sequence[float] | None, name: str, config: Config) -> Pose:
    """Where the board is said to be. Raises CommandError for a number of numbers that is no pose."""
    import numpy as np

    from vla_ros import geometry
    from vla_ros.geometry import Pose

    default = usual(name, config)
    if told is None:
        return default
    if len(told) not in (3, 7):
        raise CommandError(f"--board takes x y z, or x y z qx qy qz qw: got {len(told)} numbers")
    numbers = np.array(told, float)
    if len(told) == 7 and float(np.linalg.norm(numbers[3:])) < 1e-6:
        raise CommandError("--board: a quaternion of length zero is no rotation")
    return Pose(numbers[:3], geometry.normalized(numbers[3:]) if len(told) == 7 else default.quaternion)


def mounted(name: str, config: Config) -> Pose:
    """The camera's configured pose in its parent's frame."""
    import numpy as np

    from vla_ros import geometry
    from vla_ros.geometry import Pose

    camera = config.cameras[name]
    return Pose(np.array(camera.position), geometry.normalized(np.array(camera.quaternion)))


def collect(console: Console, driver: Driver, config: Config, options: argparse.Namespace) -> list[Seen]:
    """Look where the board is, plan around it, go there, and keep the pictures in which it is found."""
    from dataclasses import replace

    from vla_ros.calibration import plan
    from vla_ros.calibration.board import Finder

    finder = Finder(config.board)
    scene = scene_of(options, config)
    with in_words():
        if scene.parent == "base":
            driver.go(plan.raised(scene, driver.tool))
        driver.tool  # noqa: B018  waits for the first feedback
        look = plan.first_look(scene, driver.joints, options.plan_seed)
        driver.go(look.tool)
        scene = replace(scene, board=_really(scene, finder, driver.shoot()))
        stations = plan.plan(scene, driver.joints, options.views, options.plan_seed)
    console.print(f"the board is seen; {len(stations)} poses are planned around it", highlight=False)
    return _visited(console, driver, finder, stations)


def scene_of(options: argparse.Namespace, config: Config) -> Scene:
    """What is planned for."""
    from vla_ros.calibration.lens import configured
    from vla_ros.calibration.plan import Scene

    name = options.camera
    return Scene(
        lens=configured(config.cameras[name]),
        parent=config.cameras[name].parent,
        camera=mounted(name, config),
        board=expected(options.board, name, config),
        print=config.board,
        workspace=config.workspace,
        limits=config.limits,
        allowed=_apart,
    )


def _apart(joints: Array) -> bool:
    """Whether no two parts of the arm are near each other."""
    from vla_ros import kinematics
    from vla_ros.motion import proximity

    return float(proximity.nearest(kinematics.link_frames(joints)).distances.min()) > APART


def _really(scene: Scene, finder: Finder, shot: Shot) -> Pose:
    """Where the board is, by one picture and where the camera is thought to be."""
    from vla_ros.calibration import hand_eye, rigid

    view = _view(finder, shot)
    camera, tool = rigid.of_pose(scene.camera), rigid.of_pose(shot.tool)
    arm = tool if scene.parent == "tool" else rigid.inverse(tool)
    return rigid.to_pose(arm @ camera @ hand_eye.own_pose(view, scene.lens))


def _view(finder: Finder, shot: Shot) -> Any:
    from vla_ros.calibration.board import points
    from vla_ros.calibration.bundle import View

    found = finder.find(shot.image)
    return View(shot.tool, points(finder.board)[found.ids], found.corners)


def views_of(seen: Sequence[Seen], config: Config) -> list[Any]:
    """The views as the solvers take them."""
    from vla_ros.calibration.board import points
    from vla_ros.calibration.bundle import View

    corners = points(config.board)
    return [View(s.shot.tool, corners[s.found.ids], s.found.corners) for s in seen]


def _visited(console: Console, driver: Driver, finder: Finder, stations: Sequence[Station]) -> list[Seen]:
    from vla_ros.calibration.board import BoardError

    seen: list[Seen] = []
    say = partial(console.print, style="yellow", highlight=False)
    with bar(console, "views") as advance:
        for number, station in enumerate(stations, 1):
            if not driver.go(station.tool):
                say(
                    f"pose {number} is not reached: {driver.client.arm.message}; a picture is taken from where the arm is"
                )
            shot = driver.shoot()
            try:
                seen.append(Seen(shot, finder.find(shot.image)))
            except BoardError as error:
                say(f"pose {number} is left out: {error}")
            advance(number / len(stations))
    return seen
