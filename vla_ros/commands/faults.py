"""`vla-ros faults`: every fault in every phase of a pick, offline and with real processes, against what the safety table promises."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_ros.commands import live as live_service
from vla_ros.commands.errors import CommandError

if TYPE_CHECKING:
    from vla_ros.config import Config
    from vla_ros.evaluation.cases import Finding

SEED = 1_000_001
"""An episode that the demo policy solves, so that every phase is there."""
HEADINGS = (
    "fault", "phases", "expected", "braking begins after (periods)", "distance, mm", "top speed, mm/s", "limits exceeded",
    "recovered",
)  # fmt: skip


def add_commands(subparsers: Any) -> None:
    """Add `faults` to the command line."""
    faults = subparsers.add_parser("faults", help="prove the safety table: every fault in every phase of a pick")
    faults.add_argument("--short", action="store_true", help="each fault in one phase, and each process killed once")
    half = faults.add_mutually_exclusive_group()
    half.add_argument("--offline", action="store_true", help="only the faults on a virtual clock")
    half.add_argument("--live", action="store_true", help="only the real processes that are killed or hang")
    faults.add_argument("--only", default="", metavar="TEXT", help="only faults whose name holds this text")
    faults.add_argument("--processes", type=int, default=2, help="for the offline half (default 2)")
    faults.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    faults.add_argument("--markdown", type=Path, metavar="FILE", help="write the table here, for docs/safety.md")
    live_service.add_options(faults)
    faults.set_defaults(run=run_faults)


def run_faults(options: argparse.Namespace) -> int:
    """0: everything was as the table promises; 1: something was not."""
    from rich.console import Console

    console = Console()
    for path in filter(None, (options.json, options.markdown)):
        path.parent.mkdir(parents=True, exist_ok=True)  # before the work, not after it
    options.seed = SEED if options.seed is None else options.seed
    expert = options.policy == "expert"
    if expert and not options.offline:
        raise CommandError(
            "the scripted expert sees into the physics, which a live service does not let it: add --offline"
        )
    options.policy = None if expert else options.policy
    config = live_service.configuration(options)
    findings: list[Finding] = []
    if not options.live:
        findings += _offline(console, options, config, "expert" if expert else config.policy.bundle)
    if not options.offline:
        findings += _live(console, options, config)
    return _report(console, options, findings)


def horizon(policy: str) -> float:
    """Seconds for which a chunk of the policy may be played. Raises BundleError."""
    from vla_ros.policy import constant
    from vla_ros.policy.manifest import load_manifest
    from vla_ros.policy.policy import find_bundle, is_bundle

    if policy == "expert" or not is_bundle(policy):
        return constant.EXECUTE * constant.STEP / 1e9  # the expert's are the same, and those of a recorded episode
    chunk = load_manifest(find_bundle(policy)).chunk
    return chunk.execute * chunk.step_ms / 1e3


def _offline(console: Any, options: argparse.Namespace, config: Config, policy: str) -> list[Finding]:
    """The half on the virtual clock, in `processes` processes."""
    import multiprocessing

    from vla_ros.evaluation.cases import offline_cases
    from vla_ros.evaluation.prove import Proof, prove

    cases = offline_cases(config, horizon(policy), options.short)
    numbers = [k for k, case in enumerate(cases) if options.only in case.name]
    proof = Proof(config, policy, horizon(policy), options.seed, options.short)
    parts = [(proof, numbers[i :: 4 * options.processes]) for i in range(4 * options.processes)]
    found: dict[int, Finding] = {}
    with (
        _Bar(console, "offline", len(numbers)) as step,
        multiprocessing.get_context("spawn").Pool(options.processes) as pool,
    ):
        for part in pool.imap_unordered(prove, [part for part in parts if part[1]]):
            for number, finding in part:
                found[number] = finding
                step(finding)
    return [found[number] for number in numbers]


def _live(console: Any, options: argparse.Namespace, config: Config) -> list[Finding]:
    """The half with real processes."""
    from vla_ros.commands.kills import blows, strike_all

    chosen = [blow for blow in blows(config, options.short) if options.only in blow.text]
    say = (lambda line: console.print(line, style="dim", markup=False, highlight=False)) if options.verbose else _mute
    with _Bar(console, "live", len(chosen)) as step:
        return strike_all(config, chosen, options.seed, horizon(config.policy.bundle), step, say)


def _mute(line: str) -> None:
    pass


class _Bar:
    """A bar that names what was not as expected as it comes."""

    def __init__(self, console: Any, text: str, total: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console)
        self._task = self._progress.add_task(text, total=total)

    def __enter__(self) -> Callable[[Finding], None]:
        self._progress.__enter__()
        return self._step

    def __exit__(self, *problem: Any) -> None:
        self._progress.__exit__(*problem)

    def _step(self, finding: Finding) -> None:
        self._progress.advance(self._task)
        if not finding.passed:
            text = f"{finding.name}, {finding.phase}: {'; '.join(finding.wrong)}"
            self._progress.console.print(text, style="red", markup=False, highlight=False)


def _report(console: Any, options: argparse.Namespace, findings: Sequence[Finding]) -> int:
    """Table, files, exit status."""
    from rich.table import Table

    rows = [row(group) for group in pooled(findings)]
    table = Table(*HEADINGS, title="faults")
    for cells in rows:
        table.add_row(*cells)
    console.print(table)
    failed = [finding for finding in findings if not finding.passed]
    console.print(f"{len(findings) - len(failed)} of {len(findings)} as expected", style="red" if failed else "green")
    repeated = [finding for finding in findings if finding.attempts > 1]
    if repeated:
        console.print(f"{len(repeated)} of them were repeated, since the machine itself had stood still")
    if options.json:
        live_service.write_json(options.json, document(findings))
    if options.markdown:
        options.markdown.write_text(markdown(rows), encoding="utf-8")
    return 1 if failed or not findings else 0


def document(findings: Sequence[Finding]) -> dict[str, Any]:
    """What `--json` writes."""
    from vla_ros.evaluation.wilson import Rate, machine

    n = len(findings)
    rates = {
        "as_expected": Rate.of(sum(f.passed for f in findings), n),
        "within_limits": Rate.of(sum(not f.exceeded for f in findings), n),
        "recovered": Rate.of(sum(f.recovered for f in findings), n),
    }
    summary = (
        {name: {"value": r.value, "low": r.low, "high": r.high, "n": r.n} for name, r in rates.items()} if n else {}
    )
    return {"summary": summary, "items": [finding.item() for finding in findings], "machine": machine()}


def pooled(findings: Sequence[Finding]) -> list[list[Finding]]:
    """The findings by fault, in their order."""
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.name, []).append(finding)
    return list(groups.values())


def row(group: Sequence[Finding]) -> tuple[str, ...]:
    """One fault with its worst values over the phases."""
    periods = [finding.periods for finding in group if finding.periods is not None]
    limits = sorted({limit for finding in group for limit in finding.exceeded})
    by_hand = any(finding.freed for finding in group)
    recovered = "no" if not all(finding.recovered for finding in group) else "yes, freed by hand" if by_hand else "yes"
    return (
        group[0].name,
        ", ".join(dict.fromkeys(finding.phase for finding in group)),
        group[0].expected,
        f"{max(periods):.1f}" if periods else "–",
        f"{max(finding.distance for finding in group) * 1e3:.0f}",
        f"{max(finding.top_speed for finding in group) * 1e3:.0f}",
        ", ".join(limits) or "none",
        recovered,
    )


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """The table as Markdown."""
    lines = [HEADINGS, tuple("---" for _ in HEADINGS), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
