"""`vla-ros doctor`: look at everything, show it on one screen."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vla_ros.commands import live, sources
from vla_ros.commands.doctor.check import Check, Level, Probe, looked
from vla_ros.config import Config

MARKS = {
    Level.UNUSED: "[dim]–[/]",
    Level.OK: "[green]ok[/]",
    Level.WARNING: "[yellow]warning[/]",
    Level.FAILURE: "[red]failure[/]",
}
ORDER = ("host", "ROS", "arm", "cameras", "policy", "service")


def add_commands(subparsers: Any) -> None:
    """Add `doctor` to the command line."""
    doctor = subparsers.add_parser(
        "doctor", help="look at machine, arm, cameras, policy and service, and say what to do"
    )
    sources.add_options(doctor, "twin")
    doctor.add_argument(
        "--domain", type=int, help="ROS domain to listen in (default: ROS_DOMAIN_ID, or that of the only service)"
    )
    doctor.add_argument("--json", type=Path, metavar="FILE", help="write the findings here")
    doctor.set_defaults(run=run_doctor)


def run_doctor(options: argparse.Namespace) -> int:
    """Look and show. 0: nothing failed; 1: something did."""
    from rich.console import Console

    from vla_ros.commands import clients

    console, config = Console(), sources.configuration(options)
    clients.choose_domain(options.domain)
    if not options.config and not options.set:
        config = of_the_service(config)
    found = examine(probes(config, int(os.environ.get("ROS_DOMAIN_ID") or 0)), console)
    console.print(table(found))
    console.print(summary(found), highlight=False)
    live.write_json(options.json, document(found))
    return status(found)


def of_the_service(otherwise: Config) -> Config:
    """The configuration of the service that runs in this domain on this machine; where none does, the other one."""
    from vla_ros import bringup, runtime
    from vla_ros.config import load

    file = runtime.folder(otherwise) / bringup.CONFIG
    return load(file) if file.is_file() else otherwise


def probes(config: Config, domain: int) -> list[Probe]:
    """Every look that this configuration is worth, in the order of the screen."""
    from vla_ros.commands.doctor import arm, cameras, host, policy, ros
    from vla_ros.nodes import domain as domains

    held = config.arm.driver == "kortex" and not domains.arm_is_free(config)
    runs = domain in domains.claimed()
    looks = host.probes(config) + ros.probes(config, domain) + arm.probes(config, held)
    return looks + cameras.probes(config, runs) + policy.probes(config)


def examine(looks: Sequence[Probe], console: Any) -> list[Check]:
    """One after the other: a look at jitter is not to be disturbed by another look. Sorted by group."""
    found: list[Check] = []
    with console.status("looking …") as line:
        for probe in looks:
            line.update(f"looking at {probe.group}: {probe.name} …")
            found += looked(probe)
    return sorted(found, key=lambda check: ORDER.index(check.group))


def table(found: Sequence[Check]) -> Any:
    """The screen: a line per check, and its remedy below what is not in order."""
    from rich.markup import escape
    from rich.table import Table

    drawn = Table("", "", "", box=None, pad_edge=False, show_header=False)
    drawn.add_column(overflow="fold")  # an address that is cut off cannot be copied
    group = ""
    for check in found:
        text = escape(check.text) if check.level is not Level.UNUSED else f"[dim]{escape(check.text)}[/]"
        remedy = f"\n[bold]→[/] {escape(check.remedy)}" if check.remedy else ""
        drawn.add_row(
            "" if check.group == group else f"[bold]{check.group}[/]", check.name, MARKS[check.level], text + remedy
        )
        group = check.group
    return drawn


def count(found: Sequence[Check], level: Level) -> int:
    """How many checks ended so."""
    return sum(check.level is level for check in found)


def summary(found: Sequence[Check]) -> str:
    """The last line."""
    return (
        f"{count(found, Level.OK)} ok, {count(found, Level.WARNING)} warnings, {count(found, Level.FAILURE)} failures"
    )


def status(found: Sequence[Check]) -> int:
    """1 where something failed."""
    return 1 if count(found, Level.FAILURE) else 0


def document(found: Sequence[Check]) -> dict[str, Any]:
    """What --json writes."""
    from vla_ros.evaluation.wilson import machine

    items = [
        {"group": c.group, "name": c.name, "level": c.level.name.lower(), "text": c.text, "remedy": c.remedy}
        for c in found
    ]
    counts = {
        level.name.lower(): {"value": count(found, level), "low": None, "high": None, "n": len(found)}
        for level in Level
    }
    return {"summary": counts, "items": items, "machine": machine()}
