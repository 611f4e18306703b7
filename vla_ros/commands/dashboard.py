"""`vla-ros dashboard`: the page alone, for a service that was started without it."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any, cast

from vla_ros import bringup, runtime
from vla_ros.commands import live
from vla_ros.commands.clients import choose_domain
from vla_ros.commands.errors import CommandError
from vla_ros.config import Config, load

PORT = 8080
"""Where the page is, unless told otherwise."""


def add_commands(subparsers: Any) -> None:
    """Add `dashboard` to the command line."""
    parser = subparsers.add_parser("dashboard", help="serve the page on which a running service is seen and steered")
    parser.add_argument(
        "--domain", type=int, help="ROS domain of the service (default: ROS_DOMAIN_ID, or the only one)"
    )
    parser.add_argument("--port", type=int, default=PORT, help=f"of HTTP (default {PORT})")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at; off loopback only with --tokens")
    parser.add_argument("--tokens", metavar="FILE", help="tokens with their scopes, mode 600; see docs/dashboard.md")
    parser.add_argument(
        "--config", action="append", default=[], metavar="FILE", help="default: the running service's own"
    )
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="as dashboard.origins=[…]")
    parser.add_argument(
        "--openapi", type=Path, metavar="FILE", help="write what the REST part is, as OpenAPI, and serve nothing"
    )
    parser.set_defaults(run=run_dashboard)


def run_dashboard(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C. 2 where it cannot be served so."""
    if options.openapi is not None:
        return describe(options.openapi)
    choose_domain(options.domain)
    config = configuration(options)
    live.enter_ros()
    from vla_ros.nodes.dashboard import main

    with tempfile.TemporaryDirectory(prefix="vla_ros-dashboard-") as folder:
        bringup.prepare(config, Path(folder))
        return main(["--ros-args", "-r", "__node:=dashboard_alone", "--params-file", f"{folder}/{bringup.PARAMETERS}"])


def describe(path: Path) -> int:
    """Write the OpenAPI document. Raises CommandError where the dashboard is not installed."""
    try:
        from vla_ros.dashboard.app import create_app, openapi
    except ModuleNotFoundError as error:
        raise CommandError(f"no dashboard here ({error}): pip install 'vla_ros[dashboard]'") from None
    from vla_ros.clock import MonotonicClock
    from vla_ros.dashboard.access import access
    from vla_ros.dashboard.slots import Board

    config, nobody = load("twin"), cast(Any, None)
    made = create_app(Board.of(config.cameras), nobody, config, access(config), MonotonicClock())
    path.write_text(json.dumps(openapi(made), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


def configuration(options: argparse.Namespace) -> Config:
    """That of the service in this domain, unless files are named, with what the options say. Raises ConfigError."""
    own = {"host": options.host, "port": options.port, "tokens": options.tokens or ""}
    settings = [*(f"dashboard.{name}={value!r}" for name, value in own.items()), *options.set]
    return load(*(options.config or _running()), overrides=settings)


def _running() -> list[str]:
    """The file of the service that runs in this domain, if one does."""
    domain = os.environ.get("ROS_DOMAIN_ID")
    file = runtime.folder(load("twin")) / bringup.CONFIG
    return [str(file)] if domain and file.is_file() else []
