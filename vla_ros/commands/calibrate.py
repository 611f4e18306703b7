"""`vla-ros calibrate …`: measure what this cell's devices are like. One file per kind of calibration."""

from __future__ import annotations

from typing import Any

from vla_ros.commands import (
    calibrate_board,
    calibrate_hand_eye,
    calibrate_intrinsics,
    calibrate_latency,
    calibrate_table,
)


def add_commands(subparsers: Any) -> None:
    """Add `calibrate` to the command line."""
    calibrate = subparsers.add_parser("calibrate", help="measure what this cell's devices are like")
    kinds = calibrate.add_subparsers(title="what to measure", metavar="WHAT", required=True)
    for kind in (calibrate_board, calibrate_intrinsics, calibrate_hand_eye, calibrate_table, calibrate_latency):
        kind.add_command(kinds)
