"""`vla-ros calibrate board`: the ChArUco board for the printer, in its true size."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vla_ros.commands.calibrate_cell import in_words


def add_command(kinds: Any) -> None:
    """Add `board` to the kinds of calibration."""
    parser = kinds.add_parser("board", help="write the ChArUco board of the configuration as PDF or PNG, to be printed")
    parser.add_argument(
        "--output", type=Path, default=Path("board.pdf"), metavar="FILE", help=".pdf or .png (default board.pdf)"
    )
    parser.add_argument("--paper", choices=("A4", "A3"), default="A4", help="the sheet, lying (default A4)")
    parser.add_argument("--config", action="append", default=[], metavar="FILE", help="configuration with `board`")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="as board.square=0.025")
    parser.set_defaults(run=run_board)


def run_board(options: argparse.Namespace) -> int:
    """Write the file, and say how to print it."""
    from rich.console import Console

    from vla_ros.calibration.board import write_print
    from vla_ros.config import load

    board = load(*options.config, overrides=options.set).board
    with in_words():
        dpi = write_print(board, options.output, options.paper)
    console = Console()
    console.print(f"written: {options.output} ({options.paper}, {dpi:.0f} dpi)", highlight=False)
    console.print(
        f"Print it at 100 %, glue it on something flat and stiff, and measure a row of squares: where {board.columns} of them are not "
        f"{1e3 * board.columns * board.square:.1f} mm, set board.square and board.marker to what they are.",
        highlight=False,
    )
    return 0
