"""`vla-ros bench policy`: a step of the KosMos-2 policy as it is made here, against its authors' schedule and the floor."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_ros.commands.errors import CommandError

if TYPE_CHECKING:
    from rich.console import Console

    from vla_ros.commands.measure import Bound, Figures
    from vla_ros.networks.cost import Ceiling
    from vla_ros.networks.speed.contest import Outcome, Rounds

SIZES = ("tiny", "200m", "full")
FASTER, INT8_FASTER, WINDOW_FASTER, OVER_FLOOR = 2.0, 4.0, 20.0, 2.5
"""Times faster than the reference, in fp32 and in int8; than a recomputed window of 16; and times the floor, on a GPU."""
WIDE = 16
NAMES = {
    "onnxruntime_fp32": "ONNX Runtime fp32",
    "onnxruntime_int8": "ONNX Runtime int8",
    "torch_bf16_cuda_graph": "torch bf16, CUDA graph",
    "reference": "reference, fp32 eager",
    "recomputed_window": "window recomputed",
}


def add_kind(kinds: Any) -> None:
    """Add `policy` to what `vla-ros bench` measures."""
    policy = kinds.add_parser(
        "policy",
        help="a step of the KosMos-2 policy with random weights, against the reference's schedule and the floor",
    )
    policy.add_argument("--size", choices=SIZES, default="tiny", help="of the network (default tiny)")
    policy.add_argument("--windows", type=int, nargs="+", default=[8, 16], metavar="W", help="frames (default 8 16)")
    policy.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    policy.add_argument("--threads", type=int, default=2, help="of the CPU (default 2: the bounds are for two cores)")
    policy.add_argument("--rounds", type=int, metavar="N", help="timed steps (default 20, on a GPU 100)")
    policy.add_argument(
        "--window-rounds", type=int, metavar="N", help="timed recomputed windows (default 6, on a GPU 20)"
    )
    policy.add_argument(
        "--export-only", action="store_true", help="write the encoder's graph in bf16 once; time no steps"
    )
    policy.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    policy.add_argument("--no-bounds", action="store_true", help="exit with 0 although a bound is not met")
    policy.set_defaults(run=run_policy)


def run_policy(options: argparse.Namespace) -> int:
    """Measure, print, write. 0: every bound is met; 1: one is not; 2: this machine cannot."""
    from rich.console import Console

    console = Console()
    check(options)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)  # before the work, not after it
    if options.export_only:
        return _export(console, options)
    outcomes = _measured(console, options)
    for outcome in outcomes:
        console.print(outcome_table(outcome), outcome_notes(outcome), highlight=False)
    found = [bound for outcome in outcomes for bound in bounds(outcome)]
    for bound in found:
        console.print(f"[{'green' if bound.met else 'red'}]{bound.line()}[/]", highlight=False)
    _write(options.json, document(outcomes, found, options.threads))
    return 0 if options.no_bounds or all(bound.met for bound in found) else 1


def check(options: argparse.Namespace) -> None:
    """Raises CommandError for what this machine cannot do."""
    if min(options.windows) < 1 or options.threads < 1:
        raise CommandError("--windows and --threads: at least 1")
    if options.size == "full" and options.device == "cpu" and not options.export_only:
        raise CommandError(
            "--size full takes tens of seconds a step on a CPU: give --device cuda, or --export-only to write its graph"
        )
    if options.device == "cuda":
        from vla_ros.networks.speed.cuda import available

        if not available():
            raise CommandError(
                "--device cuda: torch finds no NVIDIA GPU here. Install torch with CUDA, or give --device cpu"
            )


def _measured(console: Console, options: argparse.Namespace) -> list[Outcome]:
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("loading", total=None)

        def said(text: str) -> None:
            progress.update(task, description=text)

        return _on_cuda(options, said) if options.device == "cuda" else _on_cpu(options, said)


def _on_cpu(options: argparse.Namespace, said: Any) -> list[Outcome]:
    from vla_ros.networks.speed.ceilings import cpu_ceilings
    from vla_ros.networks.speed.contest import Rounds, on_cpu

    def ceilings() -> dict[str, Ceiling]:
        return cpu_ceilings(options.threads)

    rounds, outcomes = _rounds(options, Rounds()), []
    for window in options.windows:
        with tempfile.TemporaryDirectory(prefix="vla-ros-bench-") as folder:
            outcomes.append(on_cpu(options.size, window, options.threads, Path(folder), ceilings, rounds, said))
    return outcomes


def _on_cuda(options: argparse.Namespace, said: Any) -> list[Outcome]:
    from vla_ros.networks.speed.cuda import ROUNDS, measure

    return measure(options.size, options.windows, _rounds(options, ROUNDS), said)


def _rounds(options: argparse.Namespace, usual: Rounds) -> Rounds:
    from vla_ros.networks.speed.contest import Rounds

    return Rounds(options.rounds or usual.reference, options.window_rounds or usual.window, usual.warm_up)


def _export(console: Console, options: argparse.Namespace) -> int:
    from vla_ros.evaluation.wilson import machine
    from vla_ros.networks.speed.full_export import export_encoder

    with tempfile.TemporaryDirectory(prefix="vla-ros-bench-") as folder, console.status("exporting …"):
        exported = export_encoder(options.size, Path(folder))
    figures = {"bytes": exported.bytes, "seconds": exported.seconds, "peak_memory_bytes": exported.peak}
    console.print(
        f"{options.size}: encode in bf16, {exported.bytes / 1e9:.2f} GB on the disk, {exported.seconds:.0f} s, "
        f"at most {exported.peak / 1e9:.1f} GB of memory",
        highlight=False,
    )
    summary = {f"export_{k}": {"value": v, "low": None, "high": None, "n": 1} for k, v in figures.items()}
    _write(options.json, {"summary": summary, "items": [{"size": options.size, **figures}], "machine": machine()})
    return 0


def bounds(outcome: Outcome) -> list[Bound]:
    """What the figures must keep to."""
    from vla_ros.commands.measure import Bound

    where, found = f"{outcome.size}, window {outcome.window}", []
    least = {
        "reference_over_onnxruntime_fp32": FASTER,
        "reference_over_onnxruntime_int8": INT8_FASTER,
        "recomputed_window_over_onnxruntime_fp32": WINDOW_FASTER if outcome.window >= WIDE else 0.0,
    }
    for name, limit in least.items():
        if name in outcome.ratios and limit:
            share = outcome.ratios[name]
            text = f"{where}: {name.replace('_', ' ')}"
            found.append(Bound(_key(outcome, name), text, share.value, limit, False, share.n))
    graph = "torch_bf16_cuda_graph"
    if graph in outcome.floors:
        text = f"{where}: {NAMES[graph]}, times the floor"
        value, n = outcome.over_floor(graph), len(outcome.times[graph])
        found.append(Bound(_key(outcome, f"{graph}_over_floor"), text, value, OVER_FLOOR, True, n))
    return found


def figures(outcome: Outcome) -> list[Figures]:
    """Times of all ways, ms."""
    from vla_ros.commands.measure import Figures

    return [Figures(_key(outcome, name), NAMES[name], times.tolist()) for name, times in outcome.times.items()]


def document(outcomes: Sequence[Outcome], found: Sequence[Bound], threads: int) -> dict[str, Any]:
    """What --json writes: quantiles in ms, ratios with their intervals, times the floor; and what was compared."""
    from vla_ros.evaluation.wilson import machine

    summary: dict[str, Any] = {}
    for outcome in outcomes:
        for figure in figures(outcome):
            summary |= figure.summary()
        for name, share in outcome.ratios.items():
            summary[_key(outcome, name)] = {"value": share.value, "low": share.low, "high": share.high, "n": share.n}
        for name in outcome.floors:
            value, n = outcome.over_floor(name), len(outcome.times[name])
            summary[_key(outcome, f"{name}_over_floor")] = {"value": value, "low": None, "high": None, "n": n}
    items: list[dict[str, Any]] = [_item(outcome) for outcome in outcomes]
    items += [{"bound": b.name, "limit": b.limit, "at_most": b.at_most, "met": b.met} for b in found]
    return {"summary": summary, "items": items, "machine": machine() | {"threads": threads}}


def _item(outcome: Outcome) -> dict[str, Any]:
    floors = {name: {"serial_ms": f.serial, "overlapped_ms": f.overlapped} for name, f in outcome.floors.items()}
    ceilings = {n: {"operations_per_s": c.rate, "bytes_per_s": c.bandwidth} for n, c in outcome.ceilings.items()}
    sure = {name: share.sure for name, share in outcome.ratios.items()}
    return {
        "size": outcome.size,
        "window": outcome.window,
        "largest_difference_from_reference": dict(outcome.differences),
        "ceilings": ceilings,
        "floors": floors,
        "probability_of_the_intervals": sure,
        **outcome.facts,
    }


def outcome_table(outcome: Outcome) -> Any:
    """The ways with their times, how many times as fast they are, and how far from the floor."""
    from rich.table import Table

    drawn = Table(title=f"{outcome.size}, window {outcome.window}: ms a step")
    for heading in ("", "p50", "p99", "n", "× reference", "× window", "× floor", "differs"):
        drawn.add_column(
            heading, justify="right" if heading else "left", overflow="fold"
        )  # an interval is no less than its end
    for figure, name in zip(figures(outcome), outcome.times, strict=True):
        p50, p99, *_ = figure.quantiles()
        ratios = [_share(outcome, f"{slow}_over_{name}") for slow in ("reference", "recomputed_window")]
        over = f"{outcome.over_floor(name):.2f}" if name in outcome.floors else ""
        differs = f"{outcome.differences[name]:.1e}" if name in outcome.differences else ""
        drawn.add_row(figure.text, f"{p50:.2f}", f"{p99:.2f}", str(len(figure.values)), *ratios, over, differs)
    return drawn


def outcome_notes(outcome: Outcome) -> str:
    """What was timed, and what its floor is."""
    known = outcome.facts
    floors = ", ".join(f"{NAMES[name]} {f.serial:.3g} ms" for name, f in outcome.floors.items())
    return (
        f"{known['parameters'] / 1e6:.1f} M parameters, {known['flops'] / 1e9:.3g} GFLOP a step; floors: {floors}. "
        f"Differences are of the chunk; from frame to frame it moves by {known['chunk_moves']:.2g}."
    )


def _share(outcome: Outcome, name: str) -> str:
    if name not in outcome.ratios:
        return ""
    share = outcome.ratios[name]
    return f"{share.value:.1f} ({share.low:.1f}–{share.high:.1f})"


def _key(outcome: Outcome, name: str) -> str:
    return f"{outcome.size}_w{outcome.window}_{name}"


def _write(path: Path | None, content: dict[str, Any]) -> None:
    from vla_ros.commands.live import write_json

    write_json(path, content)
