"""A service and a client of it, brought up together: what `sim`, `demo` and `bench` have in common."""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_ros import bringup
from vla_ros.commands import sources
from vla_ros.commands.errors import CommandError
from vla_ros.config import Config, load

if TYPE_CHECKING:
    from vla_ros.nodes.client import Client
    from vla_ros.nodes.service import Service

CHUNKS = "/vla/action_chunk"
READY = 60.0
"""Seconds that cameras, arm and policy may take to be ready."""


@dataclass
class Live:
    """A running service and the client that talks to it."""

    service: Service
    client: Client


_LATCHED = ("DISARMED", "STOPPED")


def enable(client: Client, seconds: float = READY) -> None:
    """Enable the arm, again until nothing is in the way. Raises CommandError with the obstacle where it stays."""
    obstacle = ""

    def enabled() -> bool:
        nonlocal obstacle
        if client.arm.values.get("mode") == "STOPPED":
            client.trigger("/arm/reset", READY)
        done, obstacle = client.trigger("/arm/enable", READY)
        return done

    if not retry(client, enabled, seconds):
        raise CommandError(f"the arm cannot be enabled: {obstacle}")
    client.wait(lambda: client.arm.values.get("mode") not in _LATCHED, 1.0)  # its status comes behind the answer


def retry(client: Client, attempt: Callable[[], bool], seconds: float, pause: float = 0.2) -> bool:
    """Attempt it until it succeeds or the time is over."""
    for _ in range(max(1, int(seconds / pause))):
        if attempt():
            return True
        client.sleep(pause)
    return False


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of every command that starts the twin's service."""
    parser.add_argument(
        "--policy",
        metavar="SPEC",
        help="a bundle's folder or name, constant:x,y,z, or replay:DATASET#EPISODE (default demo)",
    )
    parser.add_argument("--unverified", action="store_true", help="serve a bundle that was never verified")
    parser.add_argument("--seed", type=int, help="of the first episode (default 0)")
    parser.add_argument("--renderer", choices=("auto", "ray", "gl"), help="how the twin's cameras see (default auto)")
    parser.add_argument(
        "--config", action="append", default=[], metavar="FILE", help="twin, or a YAML file; may be repeated"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="one setting, as limits.speed=0.1"
    )
    parser.add_argument(
        "--arm",
        choices=("twin", "kortex"),
        help="how the twin's arm is met: directly (default), or by the real arm's protocol",
    )
    sources.add_calibration(parser)
    parser.add_argument("--verbose", action="store_true", help="show what every process says")


def configuration(options: argparse.Namespace) -> Config:
    """The configuration that the options describe. Raises ConfigError, and CommandError for another robot than the twin."""
    short = {"policy.bundle": options.policy, "twin.seed": options.seed, "twin.renderer": options.renderer}
    overrides = [f"{name}={value}" for name, value in short.items() if value is not None]
    trusted = ["policy.unverified=true"] if options.unverified else []
    settings = [*_met(options), *options.set, *overrides, *trusted]
    config = load(*(options.config or ["twin"]), overrides=settings, calibration=options.calibration)
    if config.arm.driver != "twin" and not config.twin.kortex:
        raise CommandError(
            f"arm.driver is {config.arm.driver!r}: this command runs the twin only; --arm kortex meets it by Kortex"
        )
    return config


def _met(options: argparse.Namespace) -> list[str]:
    """The settings that --arm stands for."""
    if options.arm == "kortex":
        return kortex_overrides(options.set)
    return ["arm.driver=twin", "twin.kortex=false"] if options.arm == "twin" else []


def kortex_overrides(given: Sequence[str], free_ports: bool = True) -> list[str]:
    """The settings with which the twin is met by Kortex, but for those that are given; ports that are free, or the arm's own."""
    own = {"arm.driver": "kortex", "arm.address": "127.0.0.1", "twin.kortex": "true"}
    if free_ports:
        own["arm.port"], own["arm.feedback_port"] = str(_free(socket.SOCK_STREAM)), str(_free(socket.SOCK_DGRAM))
    named = {setting.partition("=")[0].strip() for setting in given}
    return [f"{name}={value}" for name, value in own.items() if name not in named]


def port_near(port: int) -> int:
    """That TCP port of loopback where nobody has it, else one that is free."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as found:
        try:
            found.bind(("127.0.0.1", port))
        except OSError:
            return port_near(0)
        return int(found.getsockname()[1])


def _free(kind: socket.SocketKind) -> int:
    """A port of this host that nobody has."""
    with socket.socket(socket.AF_INET, kind) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def live(config: Config, say: Callable[[str], None] = lambda line: None) -> Iterator[Live]:
    """The service with its policy active, for as long as the context lasts."""
    can_start(config)
    enter_ros()
    from vla_ros.nodes.client import Client
    from vla_ros.nodes.service import Service

    if os.environ.get("ROS_DOMAIN_ID"):
        with Client() as client:
            client.wait(lambda: client.publishers_of(CHUNKS) > 0, 1.5)
            _refuse_foreign(client, 0)
    with Service(config, say) as service, Client(service.check) as client:
        client.bring_up("policy")
        _refuse_foreign(client, 1)  # again: on a busy machine it takes a while to hear of others
        yield Live(service, client)


def can_start(config: Config) -> None:
    """Raises CommandError where an SDK, an interpreter or the policy's files are missing: sooner and shorter than its process."""
    obstacles = bringup.obstacles(config)
    if obstacles:
        raise CommandError("\n".join(["nothing was started:", *obstacles]))


def enter_ros() -> None:
    """Give this process the environment of the service before it speaks ROS. Raises CommandError where there is no rclpy."""
    variables = bringup.environment(os.environ)
    for name in set(os.environ) - set(variables):
        del os.environ[name]
    os.environ.update(variables)
    try:
        from vla_ros.nodes import process  # noqa: F401  imports rclpy
    except ImportError as error:
        raise CommandError(
            f"no ROS 2 here ({error}): source ROS 2 Jazzy, or install the wheels with `make env`"
        ) from None


def _refuse_foreign(client: Client, own: int) -> None:
    """Raises CommandError where somebody beside our `own` policy drives an arm in this domain."""
    if client.publishers_of(CHUNKS) > own:
        domain = os.environ["ROS_DOMAIN_ID"]
        raise CommandError(f"somebody publishes {CHUNKS} in ROS domain {domain}: stop it, or unset ROS_DOMAIN_ID")


def write_json(path: Path | None, document: Any) -> None:
    """Write the result where a path is given."""
    import json

    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=1) + "\n")
