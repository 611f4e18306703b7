"""`vla-ros episodes`: what is in a dataset, whether it is good, and without what it would be better."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_ros.commands import formats
from vla_ros.commands.errors import CommandError

if TYPE_CHECKING:
    from vla_ros.episodes.reader import DatasetReader

FOUND = 1
"""Exit status of `check` where an episode cannot be trained on as it is."""


def add_commands(subparsers: Any) -> None:
    """Add `episodes` to the command line."""
    parser = subparsers.add_parser(
        "episodes", help="list, show, check, trim, delete, merge, replay, recover, export, import recorded episodes"
    )
    kinds = parser.add_subparsers(title="what to do", metavar="WHAT", required=True)
    made = _adder(kinds)
    made("list", run_list, "every episode with its length, instruction and outcome").add_argument("dataset", type=Path)
    show = made("show", run_show, "an episode as a contact sheet and plots (PNG)")
    show.add_argument("dataset", type=Path)
    show.add_argument("episode", type=int)
    show.add_argument("--output", type=Path, help="folder of the pictures (default: the current one)")
    check = made(
        "check",
        run_check,
        "missing frames, jumps, standstill, constant dimensions, cameras apart, videos that cannot be read",
    )
    check.add_argument("dataset", type=Path)
    check.add_argument("--no-videos", action="store_true", help="leave the videos alone, which is faster")
    check.add_argument("--json", type=Path, metavar="FILE", help="write what was found here")
    trim = made("trim", run_trim, "cut an episode; its video is encoded again")
    trim.add_argument("dataset", type=Path)
    trim.add_argument("episode", type=int)
    trim.add_argument("--start", type=float, default=0.0, help="s into the episode where it is to begin")
    trim.add_argument("--end", type=float, help="s into the episode where it is to end (default: its end)")
    delete = made("delete", run_delete, "leave episodes out; those behind them move up")
    delete.add_argument("dataset", type=Path)
    delete.add_argument("episodes", type=int, nargs="+")
    for changing in (trim, delete):
        changing.add_argument("--output", type=Path, help="a new dataset (default: in place of the old one, at once)")
    replay = made("replay", run_replay, "lead the arm of a running service along an episode, through the governor")
    replay.add_argument("dataset", type=Path)
    replay.add_argument("episode", type=int)
    replay.add_argument("--speed", type=float, default=0.5, help="share of the speed it was recorded at (default 0.5)")
    replay.add_argument(
        "--domain", type=int, help="ROS domain of the service (default: ROS_DOMAIN_ID, or the only service)"
    )
    recover = made("recover", run_recover, "make the logs that interrupted takes have left whole MCAP files")
    recover.add_argument("dataset", type=Path)
    formats.add_commands(made)
    merge = made("merge", run_merge, "put datasets of one robot, rate and set of columns together")
    merge.add_argument("datasets", type=Path, nargs="+")
    merge.add_argument("--output", type=Path, required=True, help="the new dataset")


def _adder(kinds: Any) -> Callable[[str, Callable[[argparse.Namespace], int], str], Any]:
    def add(name: str, run: Callable[[argparse.Namespace], int], text: str) -> Any:
        parser = kinds.add_parser(name, help=text, description=text)
        parser.set_defaults(run=run)
        return parser

    return add


def _reader(path: Path) -> DatasetReader:
    from vla_ros.episodes.reader import DatasetReader

    return DatasetReader(path)


def run_list(options: argparse.Namespace) -> int:
    """A table of the episodes."""
    from rich.console import Console
    from rich.table import Table

    reader = _reader(options.dataset)
    fps = reader.info["fps"]
    table = Table(
        title=f"{options.dataset}: {len(reader.episodes)} episodes, {reader.info['total_frames']} frames at {fps} Hz"
    )
    for heading in ("", "s", "outcome", "instruction"):
        table.add_column(heading, justify="left" if heading in ("outcome", "instruction") else "right")
    for episode in reader.episodes:
        table.add_row(str(episode.index), f"{episode.length / fps:.1f}", _outcome(reader, episode.start), episode.task)
    Console().print(table)
    _tell_of_interrupted(options.dataset)
    return 0


def _tell_of_interrupted(dataset: Path) -> None:
    import sys

    from vla_ros.episodes.interrupted import left

    count = len(left(dataset))
    if count:
        sys.stdout.write(
            f"{count} logs of takes that are under way or were interrupted: `vla-ros episodes recover {dataset}`\n"
        )


def _outcome(reader: DatasetReader, start: int) -> str:
    if "success" not in reader.info["features"]:
        return "–"
    return "success" if bool(reader.column("success")[start, 0]) else "failure"


def run_show(options: argparse.Namespace) -> int:
    """Write the pictures and say where."""
    import sys

    from vla_ros.episodes.pictures import contact_sheet, plots

    reader, folder = _reader(options.dataset), options.output or Path()
    _there(reader, options.episode)
    for name, draw in (("frames", contact_sheet), ("plots", plots)):
        path = folder / f"episode-{options.episode:06d}-{name}.png"
        draw(reader, options.episode, path)
        sys.stdout.write(f"{path}\n")
    return 0


def _there(reader: DatasetReader, episode: int) -> None:
    if not 0 <= episode < len(reader.episodes):
        raise CommandError(f"{reader.path} has no episode {episode}: it has {len(reader.episodes)}")


def run_check(options: argparse.Namespace) -> int:
    """Print what was found. 1 where an episode cannot be trained on as it is."""
    import dataclasses
    import sys

    from vla_ros.episodes.check import check

    reader = _reader(options.dataset)
    found = check(reader, not options.no_videos)
    for finding in found:
        where = "dataset" if finding.episode is None else f"episode {finding.episode}"
        sys.stdout.write(f"{'bad ' if finding.bad else 'note'}  {where}: {finding.text}\n")
    bad = len({finding.episode for finding in found if finding.bad})
    sys.stdout.write(f"{len(reader.episodes)} episodes, {bad} of them bad\n")
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps([dataclasses.asdict(finding) for finding in found], indent=1) + "\n")
    return FOUND if bad else 0


def run_trim(options: argparse.Namespace) -> int:
    """Cut an episode."""
    from vla_ros.episodes.edit import cut

    reader = _reader(options.dataset)
    _there(reader, options.episode)
    fps, length = reader.info["fps"], reader.episodes[options.episode].length
    for name, seconds in (("start", options.start), ("end", options.end)):
        if seconds is not None and not math.isfinite(seconds):
            raise CommandError(f"--{name} {seconds:g}: give seconds into the episode, which has {length / fps:.1f}")
    last = length if options.end is None else round(options.end * fps)
    return _changed(options, cut(reader, options.episode, round(options.start * fps), last))


def run_delete(options: argparse.Namespace) -> int:
    """Leave episodes out."""
    from vla_ros.episodes.edit import parts

    return _changed(options, parts(_reader(options.dataset), options.episodes))


def _changed(options: argparse.Namespace, chosen: Any) -> int:
    import sys

    from vla_ros.episodes.edit import rewrite, select

    count = (
        rewrite(options.dataset, chosen) if options.output is None else select(options.dataset, options.output, chosen)
    )
    sys.stdout.write(f"{options.output or options.dataset}: {count} episodes\n")
    return 0


def run_replay(options: argparse.Namespace) -> int:
    """Lead the arm to where the episode begins, and along it. 1 where something holds it."""
    import sys

    from vla_ros.commands import live
    from vla_ros.commands.clients import choose_domain
    from vla_ros.config import load
    from vla_ros.episodes.replay import track

    if not 0.05 <= options.speed <= 1.0:
        raise CommandError(f"--speed {options.speed:g}: give a share from 0.05 to 1")
    way = track(_reader(options.dataset), options.episode, options.speed)
    choose_domain(options.domain)
    live.enter_ros()
    from vla_ros.nodes.client import Client
    from vla_ros.nodes.drive import Driver

    with Client() as client:
        driver = Driver(client, load("twin"))  # of which it takes the caps of speed; the service has its own
        try:
            if not driver.go(way.at(0.0)):
                raise CommandError("something holds the arm on the way to where the episode begins")
            off = driver.follow(way)
        finally:
            driver.rest()
    sys.stdout.write(f"{way.seconds:.1f} s, at most {off * 1000:.0f} mm from the recorded way\n")
    return 0


def run_recover(options: argparse.Namespace) -> int:
    """Make whole what is left, and say what it holds. 1 where a log holds nothing that can be read."""
    import sys

    from vla_ros.episodes.interrupted import recover

    found = recover(options.dataset)
    for one in found:
        if one.path is None:
            sys.stdout.write(f"{one.source}: no message can be read; it was left as it is\n")
        else:
            sys.stdout.write(f"{one.path}: {one.messages} messages of {len(one.topics)} topics, {one.seconds:.1f} s\n")
    if not found:
        sys.stdout.write(f"{options.dataset}: no interrupted take\n")
    return 0 if all(one.path for one in found) else 1


def run_merge(options: argparse.Namespace) -> int:
    """Put datasets together."""
    import sys

    from vla_ros.episodes.merge import merge

    sys.stdout.write(f"{options.output}: {merge(options.datasets, options.output)} episodes\n")
    return 0
