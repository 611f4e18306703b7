"""`vla-ros bench record`: what the recorder costs, whether it keeps every frame, how soon it is ready, whether its memory grows."""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_ros.bringup import Process
from vla_ros.commands import live as live_service
from vla_ros.commands.errors import CommandError

if TYPE_CHECKING:
    from rich.console import Console

    from vla_ros.commands.measure import Bound, Figures
    from vla_ros.nodes.client import Client, Report

CORES, READY, GROWTH = 0.5, 1000.0, 10.0
"""Bounds: of a core while recording; ms from the end of an episode to the next; MB over all short episodes."""
EPISODE = 60.0
"""s of an episode while frames are counted: several of them make the minutes."""
WARM_UP, SHORT, SETTLED = 3.0, 0.5, 20
"""s before anything counts; s of a short episode; short episodes that do not count for the memory: pools fill."""
PATIENCE = 60.0
STAGE = (
    Process("stage", "vla_ros.nodes.stage", "node"),
    Process("recorder", "vla_ros.nodes.recorder", "node", stage=0),
)
"""The recorder with a stage in front of it: real processes over DDS, and no robot, twin or policy."""
WRITERS = ("vla_ros", "lerobot", "lerobot-streaming")


def add_kind(kinds: Any) -> None:
    """Add `record` to what `vla-ros bench` measures."""
    record = kinds.add_parser(
        "record",
        help="the recorder over DDS: two cameras of 640×480 at 30 Hz with noisy pictures; against LeRobot's own",
    )
    record.add_argument("--minutes", type=float, default=1.0, help="for which frames are counted (default 1)")
    record.add_argument("--episodes", type=int, default=50, metavar="N", help="short ones, for the memory (default 50)")
    record.add_argument(
        "--lerobot", type=Path, metavar="PYTHON", help="an interpreter with lerobot: its writer on the same frames"
    )
    record.add_argument("--seconds", type=float, default=10.0, help="of an episode of each writer (default 10)")
    record.add_argument("--output", type=Path, metavar="DIR", help="where it is recorded (default: a temporary folder)")
    record.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    record.add_argument("--no-bounds", action="store_true", help="exit with 0 although a bound is not met")
    record.set_defaults(run=run_record)


@dataclass
class Measured:
    """What was found. `kept` and `missing`: frames that are in the videos, and those between the first and the last that are not."""

    cpu: list[float] = field(default_factory=list)
    ready: list[float] = field(default_factory=list)
    saved: list[float] = field(default_factory=list)
    rss: list[float] = field(default_factory=list)
    kept: int = 0
    missing: int = 0
    lost: int = 0
    repeated: int = 0
    skipped: int = 0
    writers: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def run_record(options: argparse.Namespace) -> int:
    """Measure, print, write. 0: every bound is met; 1: one is not."""
    from rich.console import Console

    console = Console()
    if options.lerobot is not None and not os.access(options.lerobot, os.X_OK):
        raise CommandError(f"--lerobot {options.lerobot}: no interpreter there")
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)  # before the work, not after it
    found = Measured()
    with _folder(options.output) as folder:
        _live(console, options, folder / "data", found)
        _count(console, folder / "data", found)
        if options.lerobot is not None:
            _contest(console, options, folder, found)
    bounds = bounds_of(found, options)
    console.print(_table(found, options), highlight=False)
    for bound in bounds:
        console.print(f"[{'green' if bound.met else 'red'}]{bound.line()}[/]", highlight=False)
    live_service.write_json(options.json, document(found, bounds))
    return 0 if options.no_bounds or all(bound.met for bound in bounds) else 1


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    """The folder that is given, which must be new and stays; or one that is removed."""
    if given is not None:
        if given.exists():
            raise CommandError(f"--output {given}: is there already")
        given.mkdir(parents=True)
        yield given
        return
    folder = Path(tempfile.mkdtemp(prefix="vla_ros-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def configuration(output: Path) -> Any:
    """Two cameras of 640×480 at 30 Hz, whole; nothing parks."""
    from vla_ros.config import load

    camera = {"width": 640, "height": 480, "fx": 600.0, "fy": 600.0, "cx": 320.0, "cy": 240.0, "roi": [0, 0, 640, 480]}
    camera |= {"binning": 1, "rate": 30.0}
    settings = [f"cameras.{n}.{k}={json.dumps(v)}" for n in ("static", "wrist") for k, v in camera.items()]
    settings += [f"record.output={json.dumps(str(output))}", 'record.tasks=["pick up the red cube"]']
    return load("twin", overrides=[*settings, "record.park=false", "record.longest=3600"])


def _live(console: Console, options: argparse.Namespace, output: Path, found: Measured) -> None:
    live_service.enter_ros()
    from vla_ros.nodes.client import Client
    from vla_ros.nodes.service import Service

    config = configuration(output)
    with Service(config, processes=STAGE) as stage, Client(stage.check) as client:
        recorder = _Recorder(client, stage.pids()["recorder"])
        recorder.armed()
        client.sleep(WARM_UP)
        episodes = max(1, math.ceil(options.minutes * 60 / EPISODE))
        for k in range(episodes):
            console.print(f"counting: {k + 1} of {episodes}", style="dim")
            cpu, ready, saved = recorder.episode(options.minutes * 60 / episodes)
            found.cpu.append(cpu)
            found.ready.append(ready)
            found.saved.append(saved)
            found.repeated += recorder.repeated
            found.skipped += recorder.skipped
        for k in range(options.episodes):
            if k % 25 == 0:
                console.print(f"short episodes: {k} of {options.episodes}", style="dim")
            _, ready, saved = recorder.episode(SHORT)
            found.ready.append(ready)
            found.saved.append(saved)
            found.rss.append(recorder.rss())
        found.lost = int(recorder.report.values["lost"])


class _Recorder:
    """The recorder's buttons, and what its process uses."""

    def __init__(self, client: Client, pid: int) -> None:
        self._client, self._pid = client, pid
        self.report: Report = client.hear("/recorder/status", "recorder")
        self.repeated, self.skipped = 0, 0

    def armed(self) -> None:
        """Wait until it is ready. Raises CommandError with its own reason."""
        if not self._client.wait(lambda: self.report.values.get("phase") == "armed", PATIENCE):
            raise CommandError(f"the recorder does not become ready: {self.report.message}")

    def episode(self, seconds: float) -> tuple[float, float, float]:
        """Record one: share of a core while it was recorded; ms from its end until the next may begin, and until it is on the disk."""
        count = int(self.report.values["episodes"])
        self._press("start")
        before, began = self._cpu(), time.monotonic()
        self._client.sleep(seconds)
        share = (self._cpu() - before) / (time.monotonic() - began)
        self.repeated, self.skipped = (int(self.report.values[name]) for name in ("repeated", "skipped"))
        began = time.monotonic()
        self._press("success")
        ready = self._until(lambda: self.report.values["phase"] == "armed", began)
        saved = self._until(lambda: int(self.report.values["episodes"]) > count, began)
        return share, ready, saved

    def _until(self, condition: Callable[[], bool], began: float) -> float:
        if not self._client.wait(condition, PATIENCE):
            raise CommandError(
                f"the recorder did not save: {self.report.message} {self.report.values.get('saved', '')}"
            )
        return 1000 * (time.monotonic() - began)

    def rss(self) -> float:
        """MB of memory that is resident."""
        pages = int(Path(f"/proc/{self._pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def _press(self, name: str) -> None:
        done, text = self._client.trigger(f"/recorder/{name}")
        if not done:
            raise CommandError(f"the recorder refused to {name}: {text}")

    def _cpu(self) -> float:
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _count(console: Console, dataset: Path, found: Measured) -> None:
    """Read the numbers in every picture: between the first and the last of an episode each is there, once."""
    from vla_ros.episodes import barcode
    from vla_ros.episodes.reader import DatasetReader

    reader = DatasetReader(dataset)
    console.print(f"reading {reader.info['total_frames']} frames of {len(reader.cameras)} cameras back", style="dim")
    for episode in reader.episodes:
        for camera in reader.cameras:
            shown = [barcode.read(image) for image in reader.frames(episode.index, camera)]
            kept, missing = counted(shown)
            found.kept, found.missing = found.kept + kept, found.missing + missing


def counted(shown: Sequence[int]) -> tuple[int, int]:
    """Different numbers among those shown, and how many between the first and the last are not."""
    there = set(shown)
    return len(there), max(there) - min(there) + 1 - len(there)


def _contest(console: Console, options: argparse.Namespace, folder: Path, found: Measured) -> None:
    """Each writer in turn, twice, on the same frames: A B C A B C."""
    import sys

    script = Path(__file__).with_name("record_writers.py")
    root = str(Path(__file__).parents[2])
    for turn in range(2):
        for kind in WRITERS:
            console.print(f"writing: {kind}, {turn + 1} of 2", style="dim")
            python = sys.executable if kind == "vla_ros" else str(options.lerobot)
            environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
            if kind == "vla_ros":
                environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, environment.get("PYTHONPATH"))))
            target = folder / f"{kind}-{turn}"
            words = [python, str(script), kind, str(target), str(options.seconds), "2", "30"]
            done = subprocess.run(words, env=environment, capture_output=True, text=True)
            if done.returncode:
                last = done.stderr.strip().splitlines()[-1:] or ["no word"]
                raise CommandError(f"the writer {kind} failed in {python}: {last[0]}")
            found.writers.setdefault(kind, []).append(json.loads(done.stdout.splitlines()[-1]))


def growth(rss: Sequence[float]) -> float:
    """MB by which the memory grows over all short episodes: the slope of a line through them, behind those in which pools fill."""
    import numpy as np

    settled = np.array(rss[SETTLED:])
    if len(settled) < 2:
        return math.nan
    slope = np.polyfit(np.arange(len(settled)), settled, 1)[0]
    return float(slope * len(settled))


def bounds_of(found: Measured, options: argparse.Namespace) -> list[Bound]:
    """What must hold; of the memory only where enough short episodes were recorded."""
    from vla_ros.commands.measure import Bound

    cost = max(found.cpu)
    bounds = [
        Bound("recorder_cores", "share of a core while recording", cost, CORES, n=len(found.cpu)),
        Bound("missing_frames", "delivered frames that are in no video", found.missing, 0, n=found.kept),
        Bound(
            "stop_to_ready_ms",
            "from the end of an episode to the next, ms",
            max(found.ready),
            READY,
            n=len(found.ready),
        ),
    ]
    if len(found.rss) > 2 * SETTLED:
        text = f"MB that the memory grows by over {len(found.rss) - SETTLED} episodes"
        bounds.append(Bound("memory_growth_mb", text, growth(found.rss), GROWTH, n=len(found.rss)))
    return bounds


def figures_of(found: Measured) -> list[Figures]:
    """The quantities with a distribution, ms."""
    from vla_ros.commands.measure import Figures

    made = [
        Figures("ready", "from the end of an episode until the next may begin", found.ready),
        Figures("saved", "… until it is on the disk", found.saved),
    ]
    for kind, runs in found.writers.items():
        for name, text in (
            ("add_ms", "add a frame"),
            ("save_ms", "save an episode"),
            ("late_ms", "last frame late by"),
        ):
            values = [value for run in runs for value in run[name]]
            made.append(Figures(f"{kind}_{name.removesuffix('_ms')}", f"{kind}: {text}", values))
    return made


def ratios(writers: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, float]:
    """Processor time of each of the others' recordings over that of ours in the same run."""
    cost = {kind: sum(run["cpu_s"] for run in runs) for kind, runs in writers.items()}
    return {f"{kind}_over_vla_ros": cost[kind] / cost["vla_ros"] for kind in cost if kind != "vla_ros"}


def document(found: Measured, bounds: Sequence[Bound]) -> dict[str, Any]:
    """What --json writes."""
    from vla_ros.evaluation.wilson import machine

    summary: dict[str, Any] = {k: v for figure in figures_of(found) for k, v in figure.summary().items()}
    plain: dict[str, float] = {
        "kept_frames": found.kept,
        "lost_frames": found.lost,
        "repeated_rows": found.repeated,
        "skipped_frames": found.skipped,
    }
    plain |= {"cpu_mean_cores": sum(found.cpu) / len(found.cpu), **ratios(found.writers)}
    for bound in bounds:
        plain[bound.name] = bound.value
    summary |= {name: {"value": value, "low": None, "high": None, "n": found.kept} for name, value in plain.items()}
    items: list[dict[str, Any]] = [{"bound": b.name, "limit": b.limit, "met": b.met} for b in bounds]
    for kind, runs in found.writers.items():
        items += [{"writer": kind} | {k: run[k] for k in ("cpu_s", "wall_s", "frames", "rss_mb")} for run in runs]
    return {"summary": summary, "items": [*items, {"rss_mb": found.rss}], "machine": machine()}


def _table(found: Measured, options: argparse.Namespace) -> Any:
    from rich.console import Group
    from rich.table import Table

    from vla_ros.commands.bench_report import figure_table

    counts = Table(title="the recorder, over DDS", show_header=False)
    counts.add_row("frames read back", str(found.kept))
    counts.add_row("missing between first and last", str(found.missing))
    counts.add_row("lost, by the recorder's own word", str(found.lost))
    counts.add_row("rows that repeat a frame, frames that were skipped", f"{found.repeated}, {found.skipped}")
    counts.add_row("share of a core, each minute", " ".join(f"{share:.2f}" for share in found.cpu))
    if found.rss:
        counts.add_row(
            "memory, MB: first, last, most", f"{found.rss[0]:.0f}, {found.rss[-1]:.0f}, {max(found.rss):.0f}"
        )
    parts: list[Any] = [counts, figure_table(figures_of(found))]
    if found.writers:
        cost = Table("writer", "CPU, % of a core", "memory, MB", "over vla_ros", title="writers on the same frames")
        over = ratios(found.writers)
        for kind, runs in found.writers.items():
            share = 100 * sum(r["cpu_s"] for r in runs) / sum(r["wall_s"] for r in runs)
            ratio = over.get(f"{kind}_over_vla_ros")
            memory = max(r["rss_mb"] for r in runs)
            cost.add_row(kind, f"{share:.0f}", f"{memory:.0f}", "1" if ratio is None else f"{ratio:.1f}")
        parts.append(cost)
    return Group(*parts)
