"""`vla-ros fault`: break a sensor or an actuator of a running service for a while, and see what it does."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from vla_ros.commands import live
from vla_ros.commands.clients import choose_domain
from vla_ros.commands.errors import CommandError

SIDES = ("arm-feedback", "arm-command")


def add_commands(subparsers: Any) -> None:
    """Add `fault` to the command line."""
    parser = subparsers.add_parser("fault", help="break a sensor or an actuator of a running service for a while")
    parser.add_argument("node", help=f"static_camera, wrist_camera, policy, {' or '.join(SIDES)}")
    parser.add_argument("kind", help="delay, jitter, drop, freeze, corrupt, reorder or disconnect")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long (default: 2)")
    parser.add_argument(
        "--amount",
        type=float,
        help="delay and jitter: s of lateness; drop, corrupt and reorder: share (default: 1, all)",
    )
    parser.add_argument(
        "--domain", type=int, help="ROS domain of the service (default: ROS_DOMAIN_ID, or the only service)"
    )
    parser.set_defaults(run=run_fault)


def run_fault(options: argparse.Namespace) -> int:
    """Write the fault to the node's parameter. 1 where it refuses; raises CommandError for what is no fault."""
    node, text = told(options.node, options.kind, options.seconds, options.amount)
    choose_domain(options.domain)
    live.enter_ros()
    from vla_ros.nodes.client import Client
    from vla_ros.nodes.fault_parameter import ask

    with Client() as client:
        reason = ask(client, node, text)
    sys.stdout.write(f"{reason or f'{node}: {text}'}\n")
    return 1 if reason else 0


def told(where: str, kind: str, seconds: float, amount: float | None) -> tuple[str, str]:
    """Node and text of its parameter `fault`. Raises CommandError for what is no fault."""
    from vla_ros import faults

    text = f"{kind} {seconds:g}" + ("" if amount is None else f" {amount:g}")
    try:
        faults.parse_order(text)
    except ValueError as error:
        raise CommandError(str(error)) from None
    node, _, side = where.partition("-")
    if node == "arm" and where not in SIDES:
        raise CommandError(f"faults of the arm are on {' or '.join(SIDES)}")
    return node, f"{side} {text}".strip()
