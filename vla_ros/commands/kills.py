"""Processes of the live service that are killed or hang in the middle of a pick, and an intruder: what the arm does then, as measured.

A service of its own per kill: what was killed is over with, and the next service shows that one can begin anew.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vla_ros import bringup
from vla_ros.clock import MILLISECOND, SECOND, MonotonicClock
from vla_ros.commands import live as live_service
from vla_ros.commands.episodes import TwinLink, set_up
from vla_ros.commands.errors import CommandError
from vla_ros.commands.live import Live, enable
from vla_ros.config import Config
from vla_ros.evaluation.cases import GOES_ON, Case, Finding, Recovery, judged, live_expected
from vla_ros.evaluation.proof import AT_REST, Measured, Phase, Stamps, measure, phase, travelled, violations
from vla_ros.evaluation.watch import Seen, Watcher
from vla_ros.motion import blocks
from vla_ros.shared import Block
from vla_ros.twin import blocks as twin_blocks
from vla_ros.twin.tasks import sample
from vla_ros.values import ActionChunk, Mode, Verdict

if TYPE_CHECKING:
    from vla_ros.nodes.service import Service

HANGS = 1.5
"""Seconds that a process is stopped for, and for which one that is gone is looked at."""
AFTER = 1.0
"""Seconds that are looked at behind that."""
REACH = 15.0
"""Seconds in which every phase of a pick is reached."""
RECOVERY = 10.0
"""Seconds in which reset and enable must lead back to work."""
SLACK = 3.0
"""Periods behind its deadline within which the servo must brake: processes wait for a processor, and sleep in steps."""
ATTEMPTS = 3
INTRUDER = "intruder"
_LOOK = 0.005
_PRIORITY = 50
"""Of the watching process: below the servo's 60."""


@dataclass(frozen=True)
class Blow:
    """What befalls a process in a phase: it is killed, or hangs (SIGSTOP) for HANGS s. The intruder is no process of the service."""

    name: str
    killed: bool
    phase: Phase

    @property
    def text(self) -> str:
        """In words."""
        if self.name == INTRUDER:
            return "chunks of a second policy"
        return f"{self.name} {'killed' if self.killed else f'hangs for {HANGS:g} s'}"


@dataclass
class Stage:
    """A running service, whoever dies in it, with somebody who watches."""

    live: Live
    watcher: Watcher
    twin: TwinLink
    horizon: float


def blows(config: Config, short: bool = False) -> list[Blow]:
    """Every process hangs and is killed in every phase; `short`: each is killed, in one phase each, in turn."""
    names, phases = [process.name for process in bringup.processes(config)], list(Phase)
    if short:
        kills = [Blow(name, True, phases[k % len(phases)]) for k, name in enumerate(names)]
        return [Blow(INTRUDER, False, Phase.APPROACH), *kills]
    hangs = [Blow(name, False, part) for name in (*names, INTRUDER) for part in phases]
    return hangs + [Blow(name, True, part) for name in names for part in phases]


@contextlib.contextmanager
def stage(config: Config, horizon: float, say: Callable[[str], None] = lambda line: None) -> Iterator[Stage]:
    """The service and its watcher; a process that dies ends nothing here. `horizon`: s for which a chunk may be played."""
    live_service.can_start(config)
    live_service.enter_ros()
    from vla_ros.nodes.client import Client
    from vla_ros.nodes.service import Service

    with contextlib.ExitStack() as stack:
        service = stack.enter_context(Service(config, say))
        client = stack.enter_context(Client())
        watcher = stack.enter_context(contextlib.closing(Watcher(service.runtime, _PRIORITY)))
        client.bring_up("policy")
        live = Live(service, client)
        enable(client)  # by then every process runs
        yield Stage(live, watcher, stack.enter_context(contextlib.closing(TwinLink(live))), horizon)


def strike_all(
    config: Config,
    struck: list[Blow],
    seed: int,
    horizon: float,
    done: Callable[[Finding], None],
    say: Callable[[str], None] = lambda line: None,
) -> list[Finding]:
    """Every blow, in as few services as there are kills; `done` hears of each finding.

    One that was not as expected while the machine itself stood still is repeated, ATTEMPTS in all, and says so.
    """
    findings: list[Finding] = []
    waiting: list[tuple[Blow, int]] = [(blow, 1) for blow in struck]
    left: Finding | None = None

    def told(finding: Finding) -> None:
        done(finding)
        findings.append(finding)

    while waiting or left is not None:
        with stage(config, horizon, say) as staged:
            if left is not None:  # the service before has lost a process, and this one is enabled
                told(left)
            left, gone = None, False
            while waiting and not gone:
                blow, attempt = waiting.pop(0)
                outcome = strike(staged, blow, seed)
                finding, gone = replace(outcome.finding, attempts=attempt), outcome.gone
                if outcome.disturbed and not finding.passed and attempt < ATTEMPTS:
                    waiting.insert(0, (blow, attempt + 1))
                elif gone:
                    left = finding
                else:
                    told(finding)
    return findings


@dataclass(frozen=True)
class Outcome:
    """A finding; whether the service has lost a process by it, and whether the machine itself stood still meanwhile."""

    finding: Finding
    gone: bool
    disturbed: bool


def strike(staged: Stage, blow: Blow, seed: int) -> Outcome:
    """Pick until the phase, strike, and look what the arm does. A killed process's service is not of use behind it."""
    live, config = staged.live, staged.live.service.config
    expected = GOES_ON if blow.name == INTRUDER else live_expected(blow.name, config, staged.horizon)
    if blow.killed:
        expected = replace(expected, text=f"{expected.text}; the service ends")
    case = Case(blow.text, blow.name, blow.phase, HANGS, expected)
    cause = brought_to(staged, blow, seed)
    if cause is None:
        return Outcome(Finding.unreached(case), False, True)
    refused = _refused(live)
    _endure(live, blow)
    unheard = blow.name == INTRUDER and _refused(live) == refused
    recovery = Recovery(_noticed(live.service) if blow.killed else _recovers(live))
    seen = staged.watcher.take()
    if unheard:
        finding = Finding.unreached(case, "no chunk of the second policy was refused: none was heard")
    else:
        finding = _judged(case, blow, seen, cause, recovery, config)
    return Outcome(finding, blow.killed, _stood_still(seen, cause, blow) > config.deadlines.feedback_hold / 2)


def brought_to(staged: Stage, blow: Blow, seed: int) -> int | None:
    """Begin a pick and strike in its phase: the moment (ns); None where that phase does not come."""
    from vla_ros.nodes.client import ServiceError

    live = staged.live
    try:
        set_up(live, staged.twin, seed)
        enable(live.client, RECOVERY)
        staged.watcher.take()
        live.client.instruct(sample(seed).instruction)
    except (CommandError, ServiceError):
        return None
    return _reach(live, blow)


def _refused(live: Live) -> int:
    """How many chunks were refused so far."""
    with contextlib.closing(Block.attach(live.service.runtime / "servo_status", blocks.STATUS)) as status:
        got = status.read()
    return 0 if got is None else int(got[1]["refused"])


def _reach(live: Live, blow: Blow) -> int | None:
    """Wait for the phase and strike at once: the moment (ns), None where the phase does not come."""
    clock = MonotonicClock()
    pid = live.service.pids().get(blow.name, 0)
    with _looking(live) as now_in:
        until = clock.now() + round(REACH * SECOND)
        while clock.now() < until:
            if now_in() is blow.phase:
                moment = clock.now()
                if pid:
                    os.kill(pid, signal.SIGKILL if blow.killed else signal.SIGSTOP)
                return moment
            live.client.spin(_LOOK)
    return None


@contextlib.contextmanager
def _looking(live: Live) -> Iterator[Callable[[], Phase | None]]:
    """Tells the phase of the pick under way, None while nothing is played."""
    runtime = live.service.runtime
    status = Block.attach(runtime / "servo_status", blocks.STATUS)
    feedback = Block.attach(runtime / "arm_feedback", twin_blocks.FEEDBACK)

    def look() -> Phase | None:
        told, arm = status.read(), feedback.read()
        if told is None or arm is None or blocks.mode(told[1]) is not Mode.ACTIVE:
            return None
        speed = float(np.linalg.norm(told[1]["twist"][:3]))
        return phase(float(arm[1]["position"][2]), speed, float(told[1]["gripper_target"]))

    try:
        yield look
    finally:
        status.close()
        feedback.close()


def _endure(live: Live, blow: Blow) -> None:
    """Let the time of the blow pass, and end it."""
    if blow.name == INTRUDER:
        _intrude(live)
    else:
        live.client.sleep(HANGS)
    if not blow.killed and blow.name != INTRUDER:
        os.kill(live.service.pids()[blow.name], signal.SIGCONT)
    live.client.sleep(AFTER)


def _intrude(live: Live) -> None:
    """Publish chunks as a second policy would, that lead elsewhere, with a word of their own."""
    from vla_ros.nodes.process import newest

    node = live.client.node
    with contextlib.closing(Block.attach(live.service.runtime / "arm_feedback", twin_blocks.FEEDBACK)) as feedback:
        kinds = [type(message) for message in _foreign(live, feedback, 0)]
        topics = (("/vla/status", newest(depth=10)), ("/vla/action_chunk", newest()))
        publishers = [node.create_publisher(kind, *topic) for kind, topic in zip(kinds, topics, strict=True)]
        live.client.wait(lambda: all(publisher.get_subscription_count() for publisher in publishers), 2.0)
        for number in range(round(HANGS / 0.1)):
            for publisher, message in zip(publishers, _foreign(live, feedback, number), strict=True):
                publisher.publish(message)
            live.client.sleep(0.1)
    for publisher in publishers:
        node.destroy_publisher(publisher)


def _foreign(live: Live, feedback: Block, number: int) -> tuple[Any, Any]:
    """Status and chunk of a second policy, now."""
    from vla_ros.nodes import convert

    got, stamp = feedback.read(), live.client.node.get_clock().now().nanoseconds
    assert got is not None
    word = {"state": "active", "policy": INTRUDER, "instruction": "go away"}
    status = convert.diagnostics(stamp, [convert.diagnostic("policy", b"\0", "", word, INTRUDER)])
    return status, convert.from_chunk(_elsewhere(got[1], number), stamp)


def _elsewhere(arm: Any, number: int) -> ActionChunk:
    """A chunk from where the tool is, up and to the side."""
    steps = np.arange(1, 11)[:, None]
    positions = arm["position"] + steps * np.array([0.0, 0.01, 0.005])
    quaternions = np.tile(arm["quaternion"], (10, 1))
    return ActionChunk(0, 100 * MILLISECOND, positions, quaternions, np.zeros(10), 10, "intruder", "go away", number)


def _noticed(service: Service) -> bool:
    """Whether the service itself has noticed that a process is gone: `vla-ros sim` ends then."""
    from vla_ros.nodes.supervisor import ProcessDiedError

    try:
        service.check()
    except ProcessDiedError:
        return True
    return False


def _recovers(live: Live) -> bool:
    """Whether reset and enable lead back to work."""
    from vla_ros.nodes.client import ServiceError

    try:
        enable(live.client, RECOVERY)
    except (CommandError, ServiceError):
        return False
    return live.client.wait(lambda: live.client.arm.values.get("mode") in ("IDLE", "ACTIVE"), RECOVERY)


def _judged(case: Case, blow: Blow, seen: Seen, cause: int, recovery: Recovery, config: Config) -> Finding:
    """The finding; a servo that is silent is judged by when the watchdog stopped the arm."""
    during = seen.commands.since(cause, cause + round(HANGS * SECOND))
    measured = _silent(seen, cause) if blow.name == "servo" else measure(seen.commands, seen.motion, cause)
    due = None if not case.expected.modes else cause + round(case.expected.deadline * SECOND)
    stolen = (
        0.0 if blow.name == "servo" else _late(seen.commands.since(cause, cause + SECOND).stamps) * config.servo.rate
    )
    exceeded = violations(seen.commands, seen.motion, config)
    return judged(case, measured, due, during, exceeded, cause, recovery, config, SLACK + stolen)


def _silent(seen: Seen, cause: int) -> Measured:
    stops = [stop for stop in seen.stops if stop >= cause]
    began = stops[0] if stops else None
    mode, verdict = (Mode.STOPPED, Verdict.STOP_WATCHDOG) if stops else (Mode.ACTIVE, Verdict.OK)
    moved = seen.motion.since(cause, cause + round(HANGS * SECOND))
    return Measured(began, began, mode, verdict, *travelled(moved), travelled(moved.last())[1] < 2 * AT_REST)


def _stood_still(seen: Seen, cause: int, blow: Blow) -> float:
    """Seconds for which servo or twin were late by themselves while the blow took effect: the machine's doing, or the twin's."""
    span = cause - SECOND // 10, cause + round((HANGS + AFTER) * SECOND)
    records = {"servo": seen.commands.since(*span).stamps, "twin": seen.motion.since(*span).stamps}
    return max((_late(stamps) for name, stamps in records.items() if name != blow.name), default=0.0)


def _late(stamps: Stamps) -> float:
    """Seconds by which the longest of these periods is longer than usual."""
    gaps = np.diff(stamps) / SECOND
    return float(max(0.0, gaps.max() - 1.5 * float(np.median(gaps)))) if len(gaps) else 0.0
