"""`vla-ros demo`: look whether this machine has what is needed, play three tasks live, and leave a film and pictures of them."""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_ros.commands import live as live_service
from vla_ros.commands import sim
from vla_ros.commands.errors import CommandError

if TYPE_CHECKING:
    from rich.console import Console

    from vla_ros.commands.episodes import Trial
    from vla_ros.nodes.eyes import Eyes

NEEDED = 2
"""Successes of the three episodes for the demo to count as one."""
SHARED_MEMORY = 300_000_000
"""Bytes that the shared memory of a service's processes may take."""
PACKAGES = ("rclpy", "mujoco", "onnxruntime", "av", "PIL")
COLUMNS = 6


def add_commands(subparsers: Any) -> None:
    """Add `demo` to the command line."""
    demo = subparsers.add_parser("demo", help="three tasks in the twin, with a film and pictures of them")
    demo.add_argument("--output", type=Path, default=Path("demo"), metavar="DIR", help="where they go (default demo/)")
    demo.add_argument("--episodes", type=int, default=3, metavar="N", help="default 3")
    demo.add_argument("--no-video", action="store_true", help="render no film")
    live_service.add_options(demo)
    demo.set_defaults(run=run_demo, seed=2_000_000, instruction=None)


def run_demo(options: argparse.Namespace) -> int:
    """0 when at least two of three episodes succeed, 1 when not, 2 when this machine lacks something."""
    from rich.console import Console

    console = Console()
    for found in check_machine():
        console.print(f"  {found}", highlight=False)
    config = live_service.configuration(options)
    options.output.mkdir(parents=True, exist_ok=True)  # before the work, not after it
    video = None if options.no_video else options.output / "demo.mp4"
    with sim.starting(console, options, config) as live, sim.filming(live, video) as film:
        from vla_ros.nodes.eyes import Eyes

        eyes = Eyes(live.client.node, config)
        trials = sim.play_all(console, live, film, [eyes], options)
    pictures = hang(eyes, trials, options.output / "cameras.png")
    sim.develop(console, film, config, video)
    sim.report(console, trials, options.output / "result.json")
    return _conclude(console, trials, [video, pictures, options.output / "result.json"])


def check_machine() -> Iterator[str]:
    """A line for everything that the demo needs and that is there. Raises CommandError for what is not."""
    yield f"Python {sys.version.split()[0]}"
    live_service.enter_ros()
    for name in PACKAGES:
        yield f"{name} {_version(name)}"
    free = shutil.disk_usage("/dev/shm").free
    if free < SHARED_MEMORY:
        raise CommandError(
            f"/dev/shm has {free / 1e6:.0f} MB free, {SHARED_MEMORY / 1e6:.0f} are needed: free some, or --shm-size=1g"
        )
    yield f"shared memory: {free / 1e9:.1f} GB free"
    yield f"{os.cpu_count()} processor cores"


def _version(name: str) -> str:
    try:
        importlib.import_module(name)
    except ImportError as error:
        raise CommandError(f"{name} cannot be imported ({error}): run `make env`") from None
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # as Pillow, whose module has another name, and a ROS that apt installed
        return "is there"


def hang(eyes: Eyes, trials: Sequence[Trial], path: Path) -> Path:
    """A contact sheet of what the cameras saw in the first success, or in the first episode where there is none."""
    from vla_ros.evaluation.pictures import contact_sheet

    chosen = next((i for i, trial in enumerate(trials) if trial.success), 0)
    trial, take = trials[chosen], eyes.takes[chosen]
    rows = {name: _spread(pictures) for name, pictures in sorted(take.items())}
    captions = [f"{seconds:.0f} s" for seconds, _ in next(iter(rows.values()), [])]
    status = f"{'succeeded' if trial.success else 'failed'} in {trial.seconds:.1f} s"
    labelled = [(f"{name} camera", [image for _, image in pictures]) for name, pictures in rows.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(labelled, captions, trial.instruction, status, trial.success, tile=240).save(path)
    return path


def _spread(pictures: Sequence[Any]) -> list[Any]:
    """At most COLUMNS of them, the first and the last included."""
    if len(pictures) <= COLUMNS:
        return list(pictures)
    return [pictures[round(i * (len(pictures) - 1) / (COLUMNS - 1))] for i in range(COLUMNS)]


def _conclude(console: Console, trials: Sequence[Trial], files: Sequence[Path | None]) -> int:
    successes, n = sum(trial.success for trial in trials), len(trials)
    needed = min(NEEDED, n)
    good = successes >= needed
    colour = "green" if good else "red"
    console.print(f"[{colour}]{successes} of {n} episodes succeeded[/] (needed: {needed})", highlight=False)
    for file in files:
        if file is not None:
            console.print(f"  {file}", highlight=False)
    return 0 if good else 1
