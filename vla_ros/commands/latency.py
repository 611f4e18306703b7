"""`vla-ros latency`: how long the running service takes from light to motion, stage by stage, as it happens."""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from vla_ros.commands import clients
from vla_ros.commands import live as live_service
from vla_ros.commands.calibrate_cell import its_configuration
from vla_ros.commands.errors import CommandError

if TYPE_CHECKING:
    from vla_ros.commands.measure import BareLoop, Figures
    from vla_ros.nodes.client import Client
    from vla_ros.nodes.traces import ChunkTrace, Traces

ROWS = {
    "received": "exposure → in the policy node",
    "encoded": "exposure → encoded",
    "decided": "exposure → decided",
    "command": "exposure → first command of the chunk",
    "motion": "exposure → motion",
    "step_encode": "  received → encoded",
    "step_decide": "  encoded → decided",
    "step_send": "  decided → first command",
    "step_move": "  command → motion in the feedback",
    "late": "servo: late to its moment",
}
REFRESH = 0.5
PATIENCE = 5.0
_QUANTILES = ("p50", "p99", "p999")


def add_commands(subparsers: Any) -> None:
    """Add `latency` to the command line."""
    latency = subparsers.add_parser("latency", help="latency of a running service, stage by stage, live")
    latency.add_argument("--seconds", type=float, metavar="S", help="end after that (default: Ctrl-C ends it)")
    latency.add_argument("--json", type=Path, metavar="FILE", help="write the figures here at the end")
    latency.add_argument("--record", type=Path, metavar="FILE", help="write a line of JSON for every chunk here")
    latency.add_argument(
        "--domain", type=int, help="ROS domain of the service (default: ROS_DOMAIN_ID, or the only service)"
    )
    latency.set_defaults(run=run_latency)


def run_latency(options: argparse.Namespace) -> int:
    """Listen and show until the time is over or Ctrl-C."""
    clients.choose_domain(options.domain)
    live_service.enter_ros()
    from rich.console import Console

    from vla_ros.clock import SECOND
    from vla_ros.commands.measure import BareLoop
    from vla_ros.config import load
    from vla_ros.nodes.client import Client
    from vla_ros.nodes.traces import Traces

    servo = its_configuration(load()).servo
    heard: list[ChunkTrace] = []
    with contextlib.ExitStack() as stack:
        write = stack.enter_context(_recorder(options.record))

        def note(trace: ChunkTrace) -> None:
            heard.append(trace)
            write(trace)

        client = stack.enter_context(Client())
        traces = Traces(client.node, note)
        if not client.wait(lambda: traces.statuses > 0, PATIENCE):
            raise CommandError(
                "nobody publishes /arm/status in this ROS domain: start the service, or name its --domain"
            )
        bare = stack.enter_context(BareLoop(round(SECOND / servo.rate), servo.priority))
        show(Console(), client, traces, bare, options.seconds)
        errors = bare.errors()
    live_service.write_json(options.json, document(traces, heard, errors))
    return 0


@contextlib.contextmanager
def _recorder(path: Path | None) -> Iterator[Any]:
    """What writes a line for a chunk; each is on the disk before the next."""
    if path is None:
        yield lambda trace: None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", buffering=1) as file:
        yield lambda trace: _write(file, trace)


def _write(file: IO[str], trace: ChunkTrace) -> None:
    file.write(json.dumps(trace.line()) + "\n")


def show(console: Any, client: Client, traces: Traces, bare: BareLoop, seconds: float | None) -> None:
    """Keep the table on the screen for so long, or until Ctrl-C."""
    from rich.live import Live

    deadline = None if seconds is None else time.monotonic() + seconds
    with Live(console=console, auto_refresh=False) as screen, contextlib.suppress(KeyboardInterrupt):
        while deadline is None or time.monotonic() < deadline:
            client.sleep(REFRESH if deadline is None else min(REFRESH, max(0.0, deadline - time.monotonic())))
            screen.update(table(traces.latency, traces.arm, bare.errors()), refresh=True)


def table(latency: Mapping[str, float], arm: Mapping[str, str], bare: Sequence[float]) -> Any:
    """The stages' quantiles as the service tells them, and below them how evenly its servo turns."""
    from rich.table import Table

    drawn = Table("", "p50", "p99", "p99.9", title="latency, ms", caption=_caption(latency, arm, bare))
    for name, text in ROWS.items():
        values = [latency.get(f"{name}_{q}_ms") for q in _QUANTILES]
        drawn.add_row(text, *("–" if value is None else f"{value:.2f}" for value in values))
    return drawn


def _caption(latency: Mapping[str, float], arm: Mapping[str, str], bare: Sequence[float]) -> str:
    chunks, jump = latency.get("chunks", 0.0), latency.get("seam_velocity_max_share")
    parts = [f"{chunks:.0f} chunks", f"{latency.get('missed', 0.0):.0f} periods missed since the servo began"]
    ratio = period_ratio(arm, bare)
    if ratio is not None:
        parts.append(f"period error p99: {arm['period_error_p99_ms']} ms, {ratio:.1f} × a bare loop's")
    if jump is not None:
        parts.append(f"largest jump of velocity at a seam: {jump:.2%} of the cap")
    return f"{arm.get('mode', '–').lower()} · " + " · ".join(parts)


def period_ratio(arm: Mapping[str, str], bare: Sequence[float]) -> float | None:
    """99th percentile of the servo's period errors over that of a loop on this machine which only sleeps; None: not known yet."""
    import numpy as np

    told = float(arm.get("period_error_p99_ms", "nan"))
    own = float(np.percentile(bare, 99)) if len(bare) else 0.0
    return told / own if own > 0 and told >= 0 else None


def figures(heard: Sequence[ChunkTrace]) -> list[Figures]:
    """The stages of the chunks that were heard of one by one."""
    from vla_ros.commands.measure import Figures

    found = []
    for name in ("received", "encoded", "decided", "command"):
        values = [getattr(trace, f"{name}_ms") for trace in heard]
        found.append(Figures(name, ROWS[name], [value for value in values if value is not None]))
    return found


def document(traces: Traces, heard: Sequence[ChunkTrace], bare: Sequence[float]) -> dict[str, Any]:
    """What --json writes: what the service told last, and with intervals what was counted here chunk by chunk."""
    from vla_ros.evaluation.wilson import machine

    n = int(traces.latency.get("chunks", 0))
    summary: dict[str, Any] = {
        name.removesuffix("_ms"): {"value": value, "low": None, "high": None, "n": n}
        for name, value in traces.latency.items()
    }
    for figure in figures(heard):
        if figure.values:
            summary |= figure.summary()
    ratio = period_ratio(traces.arm, bare)
    summary["period_error_p99_ratio"] = {"value": ratio, "low": None, "high": None, "n": len(bare)}
    return {"summary": summary, "items": [trace.line() for trace in heard], "machine": machine()}
