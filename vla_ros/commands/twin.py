"""`vla-ros twin`: the simulated robot alone, for clients of its own: the Kortex protocol, or the shared blocks of a service."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from vla_ros.commands.live import kortex_overrides

if TYPE_CHECKING:
    from vla_ros.config import Config


def add_commands(subparsers: Any) -> None:
    """Add `twin` to the command line."""
    twin = subparsers.add_parser("twin", help="run the simulated robot alone, with --kortex as a Gen3 on the network")
    twin.add_argument(
        "--kortex", action="store_true", help="answer the Kortex protocol; then nothing else moves the arm"
    )
    twin.add_argument("--address", help="of this host, where to listen (default 127.0.0.1)")
    twin.add_argument("--port", type=int, help="TCP (default 10000)")
    twin.add_argument("--feedback-port", type=int, help="UDP (default 10001)")
    twin.add_argument("--seed", type=int, help="of the first episode (default 0)")
    twin.add_argument(
        "--config", action="append", default=[], metavar="FILE", help="twin, or a YAML file; may be repeated"
    )
    twin.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="one setting, as twin.speed=0.5")
    twin.set_defaults(run=run_twin)


def overrides(options: argparse.Namespace) -> list[str]:
    """The settings that the options stand for."""
    short = {"arm.address": options.address, "arm.port": options.port, "arm.feedback_port": options.feedback_port}
    named = [f"{name}={value}" for name, value in short.items() if value is not None]
    kortex = kortex_overrides([*options.set, *named], free_ports=False) if options.kortex else []
    seed = [] if options.seed is None else [f"twin.seed={options.seed}"]
    return [*kortex, *options.set, *named, *seed]


def run_twin(options: argparse.Namespace) -> int:
    """Run until Ctrl-C. 2: it cannot start so."""
    from vla_ros.clock import MonotonicClock
    from vla_ros.config import load
    from vla_ros.runtime import RuntimeBusyError, Stopping, folder, lock
    from vla_ros.twin import process
    from vla_ros.twin.controller.server import PortTakenError

    config = load(*(options.config or ["twin"]), overrides=overrides(options))
    clock, runtime = MonotonicClock(), folder(config)
    sys.setswitchinterval(process.SWITCH)
    process.be_on_time(config)
    try:
        held = lock(runtime)
        robot = process.TwinProcess(config, runtime, config.twin.seed, clock)
    except (PortTakenError, RuntimeBusyError) as error:
        print(error, file=sys.stderr)
        return 2
    with held:
        stopping = Stopping()
        print(greeting(config), f"Blocks: {runtime}. Ctrl-C ends it.", sep="\n", flush=True)
        try:
            process.run(robot, clock, stopping)
        finally:
            robot.close()
    return 0


def greeting(config: Config) -> str:
    """Where it is met, and how."""
    if not config.twin.kortex:
        return "The twin runs; a service with arm.driver=twin in the same folder moves it."
    arm = config.arm
    return (
        f"A simulated Gen3 speaks Kortex at {arm.address}, TCP {arm.port} and UDP {arm.feedback_port}; "
        f"user {arm.user}, password {arm.password}."
    )
