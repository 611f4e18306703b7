"""`vla-ros sim`: the whole service with the twin for a robot."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.util
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from vla_ros.commands import live as live_service
from vla_ros.commands.dashboard import PORT

if TYPE_CHECKING:
    from rich.console import Console

    from vla_ros.commands.episodes import Trial
    from vla_ros.commands.film import Film
    from vla_ros.commands.live import Live


class Watcher(Protocol):
    """Takes note of an episode from `roll` to `cut`."""

    def roll(self) -> None:
        """An episode begins."""

    def cut(self) -> None:
        """It is over."""


def add_commands(subparsers: Any) -> None:
    """Add `sim` to the command line."""
    sim = subparsers.add_parser("sim", help="run the service with the MuJoCo twin for a robot")
    sim.add_argument(
        "--instruction", metavar="TEXT", help="what to do; with --episodes instead of each task's own words"
    )
    sim.add_argument("--episodes", type=int, metavar="N", help="play N seeded tasks and end; else stay up and listen")
    sim.add_argument("--record-video", type=Path, metavar="FILE", help="an mp4 of it, rendered when it is over")
    sim.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    sim.add_argument("--no-dashboard", action="store_true", help="without the page; with --episodes there is none")
    live_service.add_options(sim)
    sim.set_defaults(run=run_sim)


def run_sim(options: argparse.Namespace) -> int:
    """Bring the service up, then play or listen. 0: done; 1: a process died; 2: it cannot start so."""
    from rich.console import Console

    console = Console()
    config = live_service.configuration(with_dashboard(options, options.episodes is None))
    for path in filter(None, (options.record_video, options.json)):
        path.parent.mkdir(parents=True, exist_ok=True)  # before the work, not after it
    with starting(console, options, config) as live, filming(live, options.record_video) as film:
        if options.episodes is None:
            film.roll()
            with contextlib.suppress(KeyboardInterrupt):
                _listen(console, live, options.instruction)
            trials: list[Trial] = []
        else:
            trials = play_all(console, live, film, [], options)
    develop(console, film, config, options.record_video)
    if options.episodes is not None:
        report(console, trials, options.json)
    return 0


def with_dashboard(options: argparse.Namespace, wanted: bool) -> argparse.Namespace:
    """The options with a port for the page, where it is wanted: its usual one, or one that is free."""
    told = any(setting.startswith("dashboard.port=") for setting in options.set)
    if wanted and not (options.no_dashboard or told) and importlib.util.find_spec("fastapi"):
        options.set = [f"dashboard.port={live_service.port_near(PORT)}", *options.set]
    return options


@contextlib.contextmanager
def starting(console: Console, options: argparse.Namespace, config: Any) -> Iterator[Live]:
    """The live service, with a line on the console for what is going on."""
    say = (lambda line: console.print(line, style="dim", markup=False, highlight=False)) if options.verbose else _mute
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        with console.status("starting twin, cameras, policy, arm …"):
            live = stack.enter_context(live_service.live(config, say))
            live_service.enable(live.client)
        console.print(f"ready in {time.monotonic() - began:.1f} s, ROS domain {live.service.domain}")
        yield live
        console.print("stopping")


def _mute(line: str) -> None:
    pass


def _listen(console: Console, live: Live, instruction: str | None) -> None:
    """Stay up until Ctrl-C, and print what changes."""
    domain = f"ROS_DOMAIN_ID={live.service.domain}"
    console.print(
        f"Say what to do:  [bold]{domain} vla-ros say 'pick up the red cube'[/]", highlight=False, soft_wrap=True
    )
    topic = "/vla/instruction std_msgs/msg/String"
    pub = f"{domain} ros2 topic pub --once {topic} \"{{data: 'pick up the red cube'}}\""
    console.print(f"            or:  {pub}", highlight=False, soft_wrap=True)  # a line that is copied stays one line
    console.print("Ctrl-C ends it. An empty instruction makes it idle; `vla-ros stop` stops the arm.")
    show_page(console, live)
    if instruction:
        live.client.instruct(instruction)
    before: tuple[str, ...] = ()
    while True:
        live.client.sleep(0.2)
        now = (live.client.policy.values.get("instruction", ""), live.client.policy.message, _arm(live))
        if now != before:
            before = now
            console.print(f"[bold]{now[0] or '–'}[/]  policy: {now[1]}  arm: {now[2]}", highlight=False)


def show_page(console: Console, live: Live) -> None:
    """Where the dashboard is, or why it is not."""
    if not live.service.config.dashboard.port:
        why = "" if importlib.util.find_spec("fastapi") else ": pip install 'vla_ros[dashboard]'"
        console.print(f"no dashboard{why}", style="dim")
        return
    for words in live.service.fallen():
        console.print(words, style="red", markup=False)
        return
    console.print(f"Dashboard:  [bold]{live.service.config.dashboard.address}[/]", highlight=False, soft_wrap=True)


def _arm(live: Live) -> str:
    """What the arm does, without what changes from cycle to cycle."""
    arm = live.client.arm
    return "moving" if arm.values.get("mode") == "ACTIVE" else arm.message


@contextlib.contextmanager
def filming(live: Live, path: Path | None) -> Iterator[Film]:
    """A film of the service; without a path nothing is noted."""
    from vla_ros.commands.film import Film

    film = Film(live.service.runtime, lambda: _lines(live), loaded=path is not None)
    try:
        yield film
    finally:
        film.close()


def _lines(live: Live) -> tuple[str, ...]:
    policy, arm = live.client.policy, live.client.arm
    mode = arm.values.get("mode", "").lower()
    state = arm.message if mode in arm.message else f"{mode}: {arm.message}"
    return policy.values.get("instruction") or "(no instruction)", state


def play_all(
    console: Console, live: Live, film: Film, others: Sequence[Watcher], options: argparse.Namespace
) -> list[Trial]:
    """Every episode, with a bar, while the watchers watch."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from vla_ros.commands.episodes import TwinLink, play

    seed, twin, trials = options.seed or 0, TwinLink(live), []
    watchers = [film, *others]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with contextlib.closing(twin), Progress(*columns, console=console) as progress:
        bar = progress.add_task("episodes", total=options.episodes)
        for number in range(options.episodes):
            trial = play(live, twin, seed + number, options.instruction, lambda: _all(watchers, "roll"))
            live.client.sleep(0.5)
            _all(watchers, "cut")
            film.linger((trial.instruction, _ending(trial)))
            trials.append(trial)
            progress.console.print(_line(trial), highlight=False)
            progress.advance(bar)
    return trials


def _all(watchers: Sequence[Watcher], word: Literal["roll", "cut"]) -> None:
    for watcher in watchers:
        getattr(watcher, word)()


def _ending(trial: Trial) -> str:
    return f"succeeded in {trial.seconds:.1f} s" if trial.success else f"failed: {_why(trial)}"


def _line(trial: Trial) -> str:
    mark = "[green]succeeded[/]" if trial.success else "[red]failed[/]   "
    why = "" if trial.success else f"  ({_why(trial)})"
    return f"{mark} in {trial.seconds:4.1f} s  seed {trial.seed}  {trial.instruction}{why}"


def _why(trial: Trial) -> str:
    return "another cube was lifted" if trial.wrong_object else trial.ended_by or "not lifted in time"


def develop(console: Console, film: Film, config: Any, path: Path | None) -> None:
    """Render the film with a bar."""
    from rich.progress import Progress

    from vla_ros.commands.film import develop as render

    if path is None or not film.shots:
        return
    with Progress(console=console) as progress:
        bar = progress.add_task("rendering the film", total=len(film.shots))
        render(film.shots, config, path, lambda: progress.advance(bar))
    console.print(f"film: {path}", highlight=False)


def report(console: Console, trials: list[Trial], path: Path | None) -> None:
    """The table of rates; the JSON where a path is given."""
    from vla_ros.evaluation.wilson import Rate, summary_json

    n = len(trials)
    rates = {
        "success": Rate.of(sum(trial.success for trial in trials), n),
        "wrong_object": Rate.of(sum(trial.wrong_object for trial in trials), n),
    }
    console.print(_table(rates))
    items = [dataclasses.asdict(trial) for trial in trials]
    live_service.write_json(path, summary_json(rates, items))


def _table(rates: Any) -> Any:
    from rich.table import Table

    drawn = Table(title="live, over ROS")
    for heading in ("", "rate", "95 % interval", "n"):
        drawn.add_column(heading, justify="right" if heading else "left")
    for name, rate in rates.items():
        drawn.add_row(name.replace("_", " "), f"{rate.value:.2f}", f"{rate.low:.2f} – {rate.high:.2f}", str(rate.n))
    return drawn
