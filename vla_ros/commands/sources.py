"""Where a command's configuration comes from: the options of commands that start no twin."""

from __future__ import annotations

import argparse
from pathlib import Path

from vla_ros.config import Config, load


def add_options(parser: argparse.ArgumentParser, default: str) -> None:
    """Add --config and --set; `default` is the configuration where none is named."""
    text = f"twin, robot, or a YAML file; may be repeated, the later ones winning (default {default})"
    parser.add_argument("--config", action="append", default=[], metavar="FILE", help=text)
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="one setting, as arm.address=192.168.1.10"
    )
    add_calibration(parser)
    parser.set_defaults(default_config=default)


def add_calibration(parser: argparse.ArgumentParser) -> None:
    """Add --calibration."""
    parser.add_argument(
        "--calibration", type=Path, metavar="FOLDER", help="what `vla-ros calibrate` wrote; put over the configuration"
    )


def configuration(options: argparse.Namespace) -> Config:
    """The configuration that the options describe. Raises ConfigError."""
    return load(*(options.config or [options.default_config]), overrides=options.set, calibration=options.calibration)
