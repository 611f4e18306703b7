"""`vla-ros robot describe|home|clear-faults|check`: the real arm from the command line, with no service running."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_ros.commands import live, sources
from vla_ros.commands.errors import CommandError
from vla_ros.commands.robot.verdict import Verdict, Word
from vla_ros.config import Config

if TYPE_CHECKING:
    from vla_ros.arms.kortex_operator import Description, Operator
    from vla_ros.arms.kortex_setup import KinematicLimit
    from vla_ros.commands.robot.cell import Cell


@dataclass(frozen=True)
class Entry:
    """A check of the list: the module and function that make it, and what will move, for who holds the emergency stop."""

    name: str
    module: str
    moves: str

    def load(self) -> Callable[[Cell], Verdict]:
        """The function."""
        function = self.name.replace("-", "_")
        return getattr(importlib.import_module(f"vla_ros.commands.robot.{self.module}"), function)  # type: ignore[no-any-return]


CHECKS = {
    entry.name: entry
    for entry in (
        Entry("home", "home", "all joints, to arm.home, at 5°/s"),
        Entry("limits", "limits", "the tool up and down by up to 4 cm, at up to 2 cm/s"),
        Entry("dead-man", "stopping", "the tool up, at 2 cm/s, until the arm stops by itself: 2 to 7 cm"),
        Entry("watchdog", "stopping", "the tool up, at 2 cm/s, until a second session stops it: 2 to 7 cm"),
        Entry("pose", "pose", "the tool along and about each axis by 2 cm and 5°, and back"),
        Entry("gravity", "gravity", "the tool turns by 20° about x and y, each way, at 5°/s, and back"),
        Entry("gripper", "gripper", "the gripper opens and closes; the tool up and down by 4 cm, at 1 cm/s"),
        Entry("force", "force", "nothing; you press on the gripper"),
    )
}
"""In the order of `all`: the arm is brought into its box first, and what stops it is proven before it moves farther."""


def add_commands(subparsers: Any) -> None:
    """Add `robot` to the command line."""
    robot = subparsers.add_parser(
        "robot", help="the real arm, without the service: describe, home, clear-faults, check"
    )
    kinds = robot.add_subparsers(title="what to do", metavar="WHAT", required=True)
    describe = kinds.add_parser("describe", help="what the arm says of itself; nothing is changed")
    home = kinds.add_parser("home", help="move the joints to arm.home, at arm.home_speed")
    clear = kinds.add_parser("clear-faults", help="clear the arm's faults, once their cause is gone")
    check = kinds.add_parser("check", help="what has to be verified once on the metal: moves slowly, measures, judges")
    check.add_argument("name", choices=[*CHECKS, "all"], help="which check")
    check.add_argument("--object", action="store_true", help="gripper: with an object between the fingers too")
    for parser, run in ((describe, run_describe), (home, run_home), (clear, run_clear_faults), (check, run_check)):
        sources.add_options(parser, "robot")
        parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
        parser.set_defaults(run=run)
    for parser in (home, check):
        parser.add_argument(
            "--yes", action="store_true", help="do not ask for the emergency stop: for twins, not for robots"
        )


@contextlib.contextmanager
def alone(options: argparse.Namespace) -> Iterator[Config]:
    """The configuration, with its arm claimed for this process. Raises CommandError, RuntimeBusyError."""
    from vla_ros.nodes.domain import claim_arm

    config = sources.configuration(options)
    if config.arm.driver != "kortex":
        raise CommandError(
            f"arm.driver is {config.arm.driver!r}: this is for the real arm (--config robot). To practise: `vla-ros twin --kortex` in "
            "another terminal, and --set arm.address=127.0.0.1 here"
        )
    held = claim_arm(config)
    try:
        with _explained():
            yield config
    finally:
        if held is not None:
            held.close()


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    from vla_ros.arms.arm import ArmError

    try:
        yield
    except ArmError as error:
        raise CommandError(str(error)) from None


def operator(config: Config) -> Operator:
    """A person's connection with the arm, not yet open; what it tells goes to the screen."""
    from vla_ros.arms.kortex_operator import Operator

    return Operator(config, say=lambda text: print_line(text))


def print_line(text: str) -> None:
    """A line of what is going on."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run_describe(options: argparse.Namespace) -> int:
    """Show what the arm says of itself."""
    from rich.console import Console

    with alone(options) as config, operator(config) as arm:
        arm.open(configure=False)
        told, connected = arm.describe(), arm.connections()
    Console().print(table(told, connected))
    live.write_json(options.json, description_document(told, connected))
    return 0


def table(told: Description, connected: Sequence[str] | None) -> Any:
    """The description as rows."""
    from rich.markup import escape
    from rich.table import Table

    drawn = Table("", "", box=None, show_header=False)
    for name, text in rows(told, connected):
        drawn.add_row(f"[bold]{name}[/]", escape(text))
    return drawn


def rows(told: Description, connected: Sequence[str] | None) -> list[tuple[str, str]]:
    """Names and texts, in the units of the arm's own pages: m, degrees."""
    it, tool = told.identity, told.tool
    gripper = "with gripper" if it.gripper else "no gripper"
    found = [
        ("arm", f"{it.model} {it.serial}, {it.actuators} joints, {gripper}, firmware {it.firmware}, SDK {it.sdk}"),
        ("state", f"{told.arm_state}, {told.servoing_mode}" + (f", fault: {told.fault}" if told.fault else "")),
        ("tool", f"at {_list(tool.pose.position)} m of the flange, {tool.mass:.3f} kg, centre {_list(tool.centre)} m"),
        (
            "tool pose",
            f"{_list(told.reported_tool.position)} m by the arm, {_list(told.computed_tool.position)} m by its joints",
        ),
    ]
    found += limit_rows(told.limits)
    found += [
        (f"zone {z.name}", f"{_list(z.low)} to {_list(z.high)} m" + ("" if z.enabled else ", off")) for z in told.zones
    ]
    found += [("note", note) for note in told.notes]
    return [
        *found,
        ("connected", "not told" if connected is None else f"{', '.join(connected)} (two of them this command)"),
    ]


def limit_rows(limits: Sequence[KinematicLimit]) -> list[tuple[str, str]]:
    """A row for each set of limits, with the modes that have it."""
    modes: dict[str, list[str]] = {}
    for limit in limits:
        joints = ", ".join(f"{math.degrees(speed):.0f}" for speed in limit.joint_speeds)
        text = f"{limit.speed:.3f} m/s, {math.degrees(limit.turn_speed):.1f} °/s, joints {joints} °/s"
        modes.setdefault(text, []).append(limit.mode)
    return [("limits", f"{text}: {', '.join(names)}") for text, names in modes.items()]


def _list(values: Any) -> str:
    return f"[{', '.join(f'{float(v):.3f}' for v in values)}]"


def description_document(told: Description, connected: Sequence[str] | None) -> dict[str, Any]:
    """What --json writes."""
    from vla_ros.evaluation.wilson import machine

    return {
        "summary": {},
        "items": [{"name": name, "text": text} for name, text in rows(told, connected)],
        "machine": machine(),
    }


def run_home(options: argparse.Namespace) -> int:
    """Move the joints home."""
    with alone(options) as config:
        speed = math.degrees(config.arm.home_speed)
        consent(f"moves: all joints, to arm.home, at {speed:.0f}°/s, by the joints' own way", options.yes)
        with operator(config) as arm:
            arm.open()
            arm.home()
    print_line("home")
    return 0


def run_clear_faults(options: argparse.Namespace) -> int:
    """Clear the arm's faults."""
    with alone(options) as config, operator(config) as arm:
        arm.open(configure=False)
        before, after = arm.feedback().fault, arm.clear_faults().fault
    print_line(f"was: {before or 'no fault'}; is: {after or 'no fault'}")
    return 1 if after else 0


def run_check(options: argparse.Namespace) -> int:
    """Go through the checks. 0: all PASS; 1: one FAIL or UNSURE."""
    names = list(CHECKS) if options.name == "all" else [options.name]
    with alone(options) as config:
        for name in names:
            print_line(f"{name} moves: {CHECKS[name].moves}")
        consent("", options.yes)
        verdicts = go_through(names, make_cell(config, options))
        set_back(config)
    live.write_json(options.json, document(verdicts))
    return 0 if all(verdict.word is Word.PASS for verdict in verdicts) else 1


def make_cell(config: Config, options: argparse.Namespace) -> Cell:
    """What the checks work with; with --yes every question is answered so."""
    from vla_ros.commands.robot.cell import Cell

    def ask(question: str) -> bool:
        return bool(options.yes) or yes(question)

    return Cell(config, operator, lambda text: print_line(f"  {text}"), ask, options.object)


def go_through(names: Sequence[str], cell: Cell) -> list[Verdict]:
    """One check after the other; after a FAIL none that moves the arm goes on."""
    verdicts: list[Verdict] = []
    for name in names:
        verdict = attempt(name, cell)
        print_line(verdict.line())
        verdicts.append(verdict)
        if verdict.word is Word.FAIL and name != names[-1]:
            print_line("a check failed: the rest is not begun")
            break
    return verdicts


def attempt(name: str, cell: Cell) -> Verdict:
    """The check's verdict; UNSURE where the arm refuses or cannot be reached."""
    from vla_ros.arms.arm import ArmError

    try:
        return CHECKS[name].load()(cell)
    except ArmError as error:
        return Verdict(name, Word.UNSURE, f"could not be made: {error}", "as it says; then again")


def set_back(config: Config) -> None:
    """The soft limits of the configuration again, in place of the low ones of the checks."""
    with operator(config) as arm:
        arm.open()
    print_line("the arm's soft limits are those of the configuration again")


def consent(what: str, given: bool) -> None:
    """Raises CommandError unless a person says yes with the emergency stop in hand."""
    if what:
        print_line(what)
    if given:
        return
    if not yes("emergency stop in hand, nobody in reach of the arm?"):
        raise CommandError("nothing was moved: take the emergency stop in hand and answer y")


def yes(question: str) -> bool:
    """Whether the answer is y; anything else, and no terminal, is no."""
    try:
        return input(f"{question} [y/N] ").strip().lower() == "y"
    except EOFError:
        return False


def document(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """What --json writes."""
    from vla_ros.evaluation.wilson import machine

    summary = {
        f"{v.name}.{figure}": {"value": value, "low": None, "high": None, "n": 1}
        for v in verdicts
        for figure, value in v.figures.items()
    }
    items = [{"name": v.name, "verdict": v.word.value, "text": v.text, "remedy": v.remedy} for v in verdicts]
    return {"summary": summary, "items": items, "machine": machine()}
