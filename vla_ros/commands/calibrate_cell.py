"""What the kinds of calibration have in common: the service that they talk to, a bar, and errors in words."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_ros.commands import clients
from vla_ros.commands import live as live_service
from vla_ros.commands.errors import CommandError

if TYPE_CHECKING:
    from rich.console import Console

    from vla_ros.config import Config
    from vla_ros.config.schema import CameraConfig
    from vla_ros.nodes.client import Client
    from vla_ros.nodes.drive import Driver

FOLDER = Path("calibration")
"""Where calibrations are written, unless told otherwise."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which service is talked to, and what the twin's is started with where none runs."""
    parser.add_argument("--domain", type=int, help="ROS domain of the running service to use")
    live_service.add_options(parser)


def add_folder(parser: argparse.ArgumentParser) -> None:
    """Where the result goes."""
    parser.add_argument(
        "--folder",
        type=Path,
        default=FOLDER,
        metavar="FOLDER",
        help=f"where calibrations are written (default {FOLDER})",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")


@contextlib.contextmanager
def reached(
    console: Console, options: argparse.Namespace, overrides: Callable[[Config], Sequence[str]] = lambda config: ()
) -> Iterator[tuple[Client, Config]]:
    """A client of the service that runs, with its configuration; where none runs, of one of the twin's that is started for this.

    `overrides` are what the twin's is started with besides, for the configuration that the options describe.
    """
    from vla_ros.commands import bench, sim
    from vla_ros.config import load

    clients.choose_domain(options.domain)
    if options.domain is not None or _runs():
        live_service.enter_ros()
        from vla_ros.nodes.client import Client

        with Client() as client:
            if not client.wait(lambda: client.arm.count > 0, 5.0):
                raise CommandError(
                    "nobody publishes /arm/status in this ROS domain: start the service, or name its --domain"
                )
            yield client, its_configuration(load(*(options.config or ["twin"]), overrides=options.set))
        return
    options.policy = options.policy or bench.CONSTANT  # nobody asks it anything
    options.set = [*options.set, *overrides(live_service.configuration(options))]
    config = live_service.configuration(options)
    with sim.starting(console, options, config) as live:
        yield live.client, config


def _runs() -> bool:
    """Whether a service of this machine has claimed the domain that the environment names."""
    from vla_ros.nodes import domain

    number = os.environ.get("ROS_DOMAIN_ID")
    return bool(number) and not domain.is_free(int(number or 0))


def its_configuration(told: Config) -> Config:
    """What the running service was started with, where it runs on this machine; else what we were `told`."""
    from vla_ros import bringup, runtime
    from vla_ros.config import load

    file = runtime.folder(told) / bringup.CONFIG
    return load(file) if file.is_file() else told


@contextlib.contextmanager
def driving(client: Client, config: Config, camera: str = "") -> Iterator[Driver]:
    """The arm, enabled and in our hands; it is left at rest, whatever ends this."""
    from vla_ros.nodes.drive import Driver

    if client.policy.values.get("instruction"):
        client.instruct("")  # or the policy would go on with it between one motion and the next
    live_service.enable(client)
    driver = Driver(client, config, camera)
    try:
        yield driver
    finally:
        driver.rest()


@contextlib.contextmanager
def bar(console: Console, text: str) -> Iterator[Callable[[float], None]]:
    """A progress bar, moved by the share that is done."""
    from rich.progress import Progress

    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(text, total=1.0)
        yield lambda share: progress.update(task, completed=share)


@contextlib.contextmanager
def in_words() -> Iterator[None]:
    """What calibration refuses ends the command with its text."""
    from vla_ros.calibration.board import BoardError
    from vla_ros.calibration.hand_eye import HandEyeError
    from vla_ros.calibration.intrinsics import IntrinsicsError
    from vla_ros.calibration.plan import PlanError
    from vla_ros.calibration.table import TableError

    try:
        yield
    except (BoardError, HandEyeError, IntrinsicsError, PlanError, TableError) as error:
        raise CommandError(str(error)) from None


def serial(camera: CameraConfig) -> str:
    """What a calibration says its camera is: what the configuration names, or that it is simulated."""
    from vla_ros.config.calibration import TWIN

    return TWIN if camera.driver == TWIN else camera.serial


def begun(command: str) -> str:
    """The first remark of a file: what wrote it, and when."""
    from datetime import datetime, timezone

    from vla_ros import __version__

    moment = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return f"Measured by `vla-ros calibrate {command}` {__version__}, {moment}."


def figure(value: float, error: float | None = None, n: int = 1) -> dict[str, Any]:
    """One entry of a summary, with twice the standard error as its interval."""
    low, high = (None, None) if error is None else (value - 2 * error, value + 2 * error)
    return {"value": value, "low": low, "high": high, "n": n}
