"""What a training run tells: lines on the terminal, `loss.csv` and a plot of it."""

from __future__ import annotations

import csv
import time
from pathlib import Path

from rich.console import Console

COLUMNS = ("step", "arm", "gripper", "learning_rate", "frames_per_second")
PLOT_EVERY = 20


class Report:
    """Means between two log lines; `rows` are all of them since step 0."""

    def __init__(self, folder: Path, steps: int, frames: int, quiet: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.rows: list[list[float]] = []
        self._folder, self._steps, self._frames = folder, steps, frames
        self._console = Console(quiet=quiet, highlight=False)
        self._sums = [0.0, 0.0]
        self._count = 0
        self._rate = 0.0
        self._since = self._began = time.monotonic()
        self._shown = 0.0

    def say(self, text: str) -> None:
        """One line for the user."""
        self._console.print(text, soft_wrap=True)

    def progress(self, what: str, share: float) -> None:
        """How far something is that comes before training; a line every five seconds."""
        now = time.monotonic()
        if now - self._shown > 5 or share == 1:
            self._shown = now
            self.say(f"{what}: {share:.0%}")

    def start(self, step: int, windows: list[int]) -> None:
        """Training begins at `step`."""
        self.say(f"training from step {step} to {self._steps} on {' + '.join(map(str, windows))} windows")
        self._since = self._began = time.monotonic()

    def add(self, arm: float, gripper: float, rate: float) -> None:
        """One step's losses and learning rate."""
        self._sums[0] += arm
        self._sums[1] += gripper
        self._count += 1
        self._rate = rate

    def log(self, step: int) -> None:
        """A line for the steps since the last one."""
        now = time.monotonic()
        seconds = max(now - self._since, 1e-9)
        arm, gripper = (total / self._count for total in self._sums)
        speed = self._frames * self._count / seconds
        left = (self._steps - step) * seconds / self._count
        self.say(
            f"step {step}/{self._steps}  arm {arm:.4f}  gripper {gripper:.4f}  lr {self._rate:.1e}  "
            f"{speed:.0f} frames/s  {_duration(left)} left"
        )
        self.rows.append([step, arm, gripper, self._rate, speed])
        self._write()
        self._sums, self._count, self._since = [0.0, 0.0], 0, now

    def finish(self) -> None:
        """The plot of the whole run."""
        plot(self.rows, self._folder / "loss.png")
        self.say(f"trained in {_duration(time.monotonic() - self._began)}: {self._folder}")

    def _write(self) -> None:
        with (self._folder / "loss.csv").open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *self.rows])
        if len(self.rows) % PLOT_EVERY == 0:
            plot(self.rows, self._folder / "loss.png")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def plot(rows: list[list[float]], path: Path) -> None:
    """Losses over steps as a PNG; nothing where there is no matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return
    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure((7, 4), layout="tight")
    axes = figure.subplots()
    steps, arm, gripper = ([row[k] for row in rows] for k in range(3))
    axes.semilogy(steps, arm, label="arm (smooth L1)")
    axes.semilogy(steps, gripper, label="gripper (cross-entropy)")
    axes.set_xlabel("step")
    axes.legend()
    figure.savefig(path, dpi=110)
