"""What `vla-ros bench` found, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vla_ros.commands.measure import Bound, Figures


def document(
    figures: Sequence[Figures], bounds: Sequence[Bound], processes: Mapping[str, dict[str, float]]
) -> dict[str, Any]:
    """What --json writes."""
    from vla_ros.evaluation.wilson import machine

    summary: dict[str, Any] = {name: value for figure in figures for name, value in figure.summary().items()}
    summary |= {f"{figure.name}_rms": _rms(figure) for figure in figures if figure.name.startswith(("accel", "jerk"))}
    for bound in bounds:
        summary[bound.name] = {"value": bound.value, "low": None, "high": None, "n": bound.n}
    items: list[dict[str, Any]] = [{"process": name, **cost} for name, cost in processes.items()]
    items += [{"bound": b.name, "limit": b.limit, "at_most": b.at_most, "met": b.met} for b in bounds]
    return {"summary": summary, "items": items, "machine": machine()}


def _rms(figure: Figures) -> dict[str, float | None]:
    import numpy as np

    value = float(np.sqrt(np.mean(np.square(figure.values)))) if len(figure.values) else None
    return {"value": value, "low": None, "high": None, "n": len(figure.values)}


def figure_table(figures: Sequence[Figures]) -> Any:
    """The quantiles of every figure, for people."""
    from rich.table import Table

    table = Table("", "p50", "p99", "p99.9", "max", "n", title="ms")
    for figure in figures:
        table.add_row(figure.text, *(f"{v:.2f}" for v in figure.quantiles()), str(len(figure.values)))
    return table


def process_table(processes: Mapping[str, Mapping[str, float]]) -> Any:
    """The cost of every process, for people."""
    from rich.table import Table

    table = Table("process", "CPU, % of a core", "RSS, MB")
    for name, cost in processes.items():
        table.add_row(name, f"{cost['cpu_percent']:.1f}", f"{cost['rss_mb']:.0f}")
    return table
