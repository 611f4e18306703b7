"""`vla-ros record`: demonstrations in the twin, by hand: the service, the recorder and a teleop device together."""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_ros import bringup
from vla_ros.commands import live as live_service
from vla_ros.commands.errors import CommandError
from vla_ros.teleop.devices import DEVICES

if TYPE_CHECKING:
    from rich.console import Console

    from vla_ros.commands.episodes import TwinLink
    from vla_ros.commands.live import Live
    from vla_ros.nodes.client import Report

SEEDS = 20
"""Tasks of the twin that are recorded in turn where none is given."""
PATIENCE = 60.0


def add_commands(subparsers: Any) -> None:
    """Add `record` to the command line."""
    parser = subparsers.add_parser("record", help="record demonstrations by hand in the twin")
    parser.add_argument(
        "output", type=Path, help="folder of the dataset (LeRobotDataset v3.0); one that is there is appended to"
    )
    parser.add_argument(
        "--task",
        action="append",
        default=[],
        metavar="TEXT",
        help="an instruction; several are recorded in turn (default: the twin's own)",
    )
    parser.add_argument("--tasks", type=Path, metavar="FILE", help="instructions, one a line")
    parser.add_argument("--episodes", type=int, metavar="N", help="end after N saved episodes; else at Ctrl-C")
    parser.add_argument(
        "--device",
        choices=[*DEVICES, "none"],
        default="keyboard",
        help="default: keyboard; none: /recorder/* and /teleop/* alone",
    )
    parser.add_argument("--no-dashboard", action="store_true", help="without the page")
    live_service.add_options(parser)
    parser.set_defaults(run=run_record)


def run_record(options: argparse.Namespace) -> int:
    """Bring everything up and record until it is over. 1: a process or the device ended; 2: it cannot start so."""
    from rich.console import Console

    from vla_ros.commands.sim import starting, with_dashboard

    console = Console()
    if options.device == "keyboard" and not sys.stdin.isatty():
        raise CommandError(
            "the keyboard needs a terminal: start it in one (ssh -t), or give another --device; none: /recorder/* alone"
        )
    tasks = instructions(options)
    options.set = [*options.set, *settings(options.output, tasks, scenes=not (options.task or options.tasks))]
    config = live_service.configuration(with_dashboard(options, wanted=True))
    lacking = bringup.without_recorder(config)
    if lacking:
        raise CommandError(lacking)
    _tell_of_interrupted(console, options.output)
    with starting(console, options, config) as live, _hand(options.device, live.service.domain) as hand:
        return _record(console, live, options, hand)


def _tell_of_interrupted(console: Console, dataset: Path) -> None:
    from vla_ros.episodes.interrupted import left

    count = len(left(dataset))
    if count:
        text = f"{count} takes were interrupted: `vla-ros episodes recover {dataset}` makes their logs whole"
        console.print(text, highlight=False, markup=False, soft_wrap=True)


def instructions(options: argparse.Namespace) -> list[str]:
    """What is recorded in turn: as given, or the sentences of the twin's own scenes. Raises CommandError where one is empty."""
    if options.tasks is not None:
        lines = options.tasks.read_text().splitlines()
        given = [*options.task, *(line for line in lines if line.strip() and not line.startswith("#"))]
    else:
        given = options.task
    if not given and options.tasks is None:
        from vla_ros.twin.tasks import sample

        first = options.seed or 0
        given = [sample(seed).instruction for seed in range(first, first + SEEDS)]
    if not given or not all(text.strip() for text in given):
        raise CommandError("an instruction is empty: name what is to be done, as --task 'pick up the red cube'")
    return [text.strip() for text in given]


def settings(output: Path, tasks: Sequence[str], scenes: bool) -> list[str]:
    """The settings of the recorder; with scenes of the twin, which begin with the arm in its place, nothing parks."""
    path = json.dumps(str(output.expanduser().absolute()))
    return [
        f"record.output={path}",
        f"record.tasks={json.dumps(list(tasks))}",
        *(["record.park=false"] if scenes else []),
    ]


@contextlib.contextmanager
def _hand(device: str, domain: int) -> Iterator[subprocess.Popen[bytes] | None]:
    """The keyboard in a process that has this terminal; other devices have a node of the service."""
    if device == "none":
        yield None
        return
    words = [sys.executable, "-m", "vla_ros.cli", "teleop", "--device", device, "--domain", str(domain)]
    with subprocess.Popen(words) as process:
        try:
            yield process
        finally:
            process.terminate()  # it gives the terminal back


def _record(console: Console, live: Live, options: argparse.Namespace, hand: subprocess.Popen[bytes] | None) -> int:
    from vla_ros.commands.episodes import TwinLink
    from vla_ros.commands.sim import show_page

    show_page(console, live)
    report = live.client.hear("/recorder/status", "recorder")
    if not live.client.wait(lambda: report.values.get("phase") == "armed", PATIENCE):
        raise CommandError(f"nothing can be recorded: {report.message or 'the recorder says nothing'}")
    before = int(report.values["episodes"])
    console.print(f"{before} episodes in {options.output}; recording goes on behind them", highlight=False)
    twin = None if options.task or options.tasks else TwinLink(live)
    try:
        _watch(console, live, report, twin, options, before, hand)
    except KeyboardInterrupt:
        pass
    finally:
        if twin is not None:
            twin.close()
    console.print(f"{int(report.values['episodes']) - before} episodes recorded", highlight=False)
    return 1 if hand is not None and hand.poll() not in (None, 0, 130) else 0


def _watch(
    console: Console,
    live: Live,
    report: Report,
    twin: TwinLink | None,
    options: argparse.Namespace,
    before: int,
    hand: subprocess.Popen[bytes] | None,
) -> None:
    """Print what changes, which a device in this terminal does by itself, and set the next scene, until it is over."""
    said, task = "", 0
    while hand is None or hand.poll() is None:
        live.client.sleep(0.1)
        values = report.values
        if hand is None and report.message != said:
            said = report.message
            console.print(said, highlight=False, markup=False)
        if options.episodes is not None and int(values["episodes"]) - before >= options.episodes:
            return
        if twin is not None and values["phase"] == "armed" and int(values["task"]) != task:
            task = int(values["task"])
            _next_scene(live, twin, (options.seed or 0) + task)


def _next_scene(live: Live, twin: TwinLink, seed: int) -> None:
    from vla_ros.commands.episodes import set_up

    set_up(live, twin, seed)
    live_service.enable(live.client)
