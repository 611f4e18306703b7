"""What can go wrong, and what the safety table asks for then (`docs/safety.md`): data, and the judgement of one case."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from vla_ros.clock import SECOND
from vla_ros.config import Config
from vla_ros.evaluation.proof import Commands, Measured, Motion, Phase, Violation, measure, violations
from vla_ros.faults import Kind, Order
from vla_ros.motion.cycle import Inputs, Requests
from vla_ros.values import Mode, Verdict

RECOVERY = 3.0
"""Seconds in which reset and enable must lead back to work once a fault is over."""
SLACK = 1.0
"""Periods behind its deadline within which the servo must brake, on a clock that is never late."""
AFTERWARDS = 0.3
"""Seconds behind the end of a fault in which a motion that is to be left alone still must be."""
PUSH = 40.0
"""N with which something pushes against the tool: above limits.force_stop."""

Touch = Callable[[Inputs], Inputs]


@dataclass(frozen=True)
class Expected:
    """What the table asks for.

    text: in words. modes: where the servo must go to, one of them; empty: the motion must be left alone; None: only limits count.
    deadline: s within which it must brake, from the cause, or from the last word of `watched` where that is given.
    brakes: whether it is enough that the tool brakes by then; else the mode must have changed.
    end: the modes in which the fault may leave the arm; None: any.
    excused: verdicts of a change of mode that is not the fault's: a policy that hardly sees may push against something.
    certain: whether the fault is sure to be one; a random one may pass unnoticed, and must then leave the motion alone.
    """

    text: str
    modes: frozenset[Mode] | None = None
    deadline: float = 0.0
    watched: str | None = None
    end: frozenset[Mode] | None = None
    certain: bool = True
    brakes: bool = False
    excused: frozenset[Verdict] = frozenset()


@dataclass(frozen=True)
class Case:
    """One fault in one phase: played by `order` on `target`, or put in by hand: by `touch` on what the servo hears, by `requests`."""

    name: str
    target: str
    phase: Phase
    seconds: float
    expected: Expected
    order: Order | None = None
    touch: Touch = field(default=lambda inputs: inputs)
    requests: Requests | None = None


@dataclass(frozen=True)
class Recovery:
    """Whether reset and enable led back to work, and whether a person had to free the tool by hand for it."""

    done: bool
    by_hand: bool = False


@dataclass(frozen=True)
class Finding:
    """What became of one case. `periods`: of the servo, from the deadline to where braking began; None where nothing braked.

    distance m and top_speed m/s of the tool from the cause to rest; exceeded: limits; recovered: by reset and enable, `freed`: after a
    person had taken the tool off what it was pushed against; wrong: what was not as expected, empty if all was;
    attempts: how often it was played, where the machine itself had stood still before.
    """

    name: str
    phase: str
    expected: str
    mode: str = ""
    verdict: str = ""
    after_ms: float | None = None
    periods: float | None = None
    distance: float = 0.0
    top_speed: float = 0.0
    exceeded: tuple[str, ...] = ()
    recovered: bool = False
    freed: bool = False
    wrong: tuple[str, ...] = ()
    attempts: int = 1

    @staticmethod
    def unreached(case: Case, why: str = "the phase was not reached") -> Finding:
        """Of a case that could not be played."""
        return Finding(case.name, case.phase.value, case.expected.text, wrong=(why,))

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return not self.wrong

    def item(self) -> dict[str, Any]:
        """As `--json` writes it."""
        return {**asdict(self), "passed": self.passed}


def found(
    case: Case,
    commands: Commands,
    motion: Motion,
    heard: Sequence[Mapping[str, int]],
    cause: int,
    end: int,
    recovery: Recovery,
    config: Config,
) -> Finding:
    """Judge a case by the records of the whole run; `heard` is of the cycles up to the attempt to go on."""
    before = commands.since(0, int(commands.stamps[len(heard) - 1]) + 1)
    measured = measure(before, motion.since(0, int(before.stamps[-1]) + 1), cause)
    due = deadline(case.expected, before, heard, cause)
    exceeded = violations(commands, motion, config)
    return judged(case, measured, due, before.since(cause, end), exceeded, cause, recovery, config)


def deadline(expected: Expected, commands: Commands, heard: Sequence[Mapping[str, int]], cause: int) -> int | None:
    """The moment (ns) by which braking must begin; None where what was watched was never silent for that long."""
    allowed = round(expected.deadline * SECOND)
    if expected.watched is None:
        return cause + allowed
    for stamp, words in zip(commands.stamps.tolist(), heard, strict=True):
        if stamp >= cause and stamp - words[expected.watched] > allowed:
            return words[expected.watched] + allowed
    return None


def judged(
    case: Case,
    measured: Measured,
    due: int | None,
    during: Commands,
    exceeded: Sequence[Violation],
    cause: int,
    recovery: Recovery,
    config: Config,
    slack: float = SLACK,
) -> Finding:
    """The finding of what was measured; `during` are the cycles of the fault, `slack` in periods."""
    expected = case.expected
    began = measured.began if expected.brakes else measured.left
    periods = None if began is None or due is None else (began - due) / SECOND * config.servo.rate
    wrong = [*_unlike(expected, measured, due, periods, slack), *_ended(expected, during)]
    wrong += [str(violation) for violation in exceeded]
    wrong += [] if recovery.done else ["reset and enable do not lead back to work"]
    return Finding(
        case.name,
        case.phase.value,
        expected.text,
        measured.mode.name,
        measured.verdict.name,
        None if began is None else (began - cause) / SECOND * 1e3,
        periods if expected.modes else None,
        measured.distance,
        measured.top_speed,
        tuple(violation.limit for violation in exceeded),
        recovery.done,
        recovery.by_hand,
        tuple(wrong),
    )


def _unlike(expected: Expected, measured: Measured, due: int | None, periods: float | None, slack: float) -> list[str]:
    """How the reaction differs from what is asked for."""
    if expected.modes is None or (measured.left is not None and measured.verdict in expected.excused):
        return []
    said = f"{measured.mode.name} ({measured.verdict.name})"
    if not expected.modes or (due is None and not expected.certain):
        return [] if measured.left is None else [f"{said} where motion should go on"]
    if due is None:
        return ["the fault did not take effect"]
    if periods is None:
        return ["the servo did not brake"]
    moves = [] if measured.at_rest else ["the tool does not come to rest"]
    late = [f"braked {periods:.1f} periods behind the deadline"] if periods > slack + 1e-6 else []
    return late + moves + ([] if measured.mode in expected.modes else [said])


def _ended(expected: Expected, during: Commands) -> list[str]:
    if expected.end is None or not len(during) or during.modes[-1] in expected.end:
        return []
    return [f"left in {during.modes[-1].name} ({during.verdicts[-1].name})"]


def modes(*members: Mode) -> frozenset[Mode]:
    """A set of modes."""
    return frozenset(members)


_HOLD, _STOP = modes(Mode.HOLD), modes(Mode.STOPPED)
_PUSHED = frozenset({Verdict.STOP_FORCE})
GOES_ON = Expected("the motion is left alone", frozenset())
LIMITS = Expected("every limit holds")


def offline_cases(config: Config, horizon: float, short: bool = False) -> list[Case]:
    """Every fault on every line in every phase; `horizon` (s) is how long a chunk of the policy may be played.

    `short`: each fault in one phase, in turn.
    """
    made = [*_cameras(config), *_feedback(config), *_commands(), *_policy(config, horizon), *_people(config)]
    phases = list(Phase)
    if short:
        return [replace(case, phase=phases[k % len(phases)]) for k, case in enumerate(made)]
    return [replace(case, phase=phase) for case in made for phase in phases]


def _case(target: str, kind: Kind, seconds: float, amount: float, expected: Expected, text: str = "") -> Case:
    name = f"{target} {text or kind.value}"
    return Case(name, target, Phase.APPROACH, seconds, expected, Order(kind, seconds, amount))


def _cameras(config: Config) -> list[Case]:
    found: list[Case] = []
    for name, camera in config.cameras.items():
        target = f"camera.{name}"
        hold = max(config.deadlines.camera_hold, 3 / camera.rate)
        text = f"HOLD {hold * 1e3:.0f} ms after the last frame"
        stale = Expected(text, _HOLD, hold, f"camera.{name}", excused=_PUSHED)
        disarm = f", DISARMED after {config.deadlines.camera_disarm * 1e3:.0f} ms"
        long = replace(stale, text=text + disarm, end=modes(Mode.DISARMED))
        alone = replace(GOES_ON, excused=_PUSHED)
        frozen = Expected(f"HOLD {hold * 1e3:.0f} ms after the last change", _HOLD, hold, f"picture.{name}")
        found += [
            _case(target, Kind.DELAY, 1.0, 0.5, stale, "delayed by 0.5 s"),
            _case(target, Kind.JITTER, 1.0, 0.1, replace(stale, certain=False), "jitter of up to 0.1 s"),
            _case(target, Kind.DROP, 1.5, 0.9, replace(stale, certain=False), "90 % of frames lost"),
            _case(target, Kind.DROP, 1.5, 0.33, alone, "a third of frames lost"),
            _case(target, Kind.FREEZE, 1.0, 0.0, frozen),
            _case(target, Kind.CORRUPT, 1.0, 1.0, LIMITS, "corrupt pictures"),
            _case(target, Kind.REORDER, 1.0, 0.5, alone, "frames out of order"),
            _case(target, Kind.DISCONNECT, 1.5, 0.0, long),
        ]
    return found


def _feedback(config: Config) -> list[Case]:
    hold, stop = config.deadlines.feedback_hold, config.deadlines.feedback_stop
    text = f"HOLD {hold * 1e3:.0f} ms, STOPPED {stop * 1e3:.0f} ms after the last state"
    silent = Expected(text, _HOLD, hold, "feedback", _STOP)
    shaken = replace(silent, text=f"HOLD {hold * 1e3:.0f} ms after the last state", end=None, certain=False)
    frozen = Expected(f"STOPPED {stop * 1e3:.0f} ms after the last change", _STOP, stop, None, _STOP)
    return [
        _case("arm.feedback", Kind.DELAY, 0.6, 0.2, silent, "delayed by 0.2 s"),
        _case("arm.feedback", Kind.JITTER, 1.0, 0.03, replace(shaken, certain=False), "jitter of up to 30 ms"),
        _case("arm.feedback", Kind.DROP, 1.0, 0.9, shaken, "90 % lost"),
        _case("arm.feedback", Kind.DROP, 1.0, 0.33, GOES_ON, "a third lost"),
        _case("arm.feedback", Kind.FREEZE, 0.5, 0.0, frozen),
        _case("arm.feedback", Kind.CORRUPT, 0.6, 1.0, silent, "corrupt (NaN joints)"),
        _case("arm.feedback", Kind.REORDER, 1.0, 0.5, GOES_ON, "out of order"),
        _case("arm.feedback", Kind.DISCONNECT, 0.6, 0.0, silent),
    ]


def _commands() -> list[Case]:
    return [
        _case("arm.command", Kind.DELAY, 1.0, 0.2, LIMITS, "delayed by 0.2 s"),
        _case("arm.command", Kind.JITTER, 1.0, 0.1, LIMITS, "jitter of up to 0.1 s"),
        _case("arm.command", Kind.DROP, 1.0, 0.9, LIMITS, "90 % lost"),
        _case("arm.command", Kind.FREEZE, 0.5, 0.0, LIMITS),
        _case("arm.command", Kind.CORRUPT, 0.5, 1.0, LIMITS, "corrupt (NaN)"),
        _case("arm.command", Kind.REORDER, 1.0, 0.5, LIMITS, "out of order"),
        _case("arm.command", Kind.DISCONNECT, 1.0, 0.0, LIMITS),
    ]


def _policy(config: Config, horizon: float) -> list[Case]:
    allowed = horizon + config.deadlines.chunk_hold
    silent = Expected(
        f"brakes within {allowed * 1e3:.0f} ms of the last chunk, HOLD", _HOLD, allowed, "policy", brakes=True
    )
    late = 0.3  # of a chunk from its exposure, that it is not too old yet, and the stride before the next
    broken = Expected(
        "HOLD with the first chunk, STOPPED with the third", modes(Mode.HOLD, Mode.STOPPED), late, None, _STOP
    )
    return [
        _case("policy", Kind.DELAY, 1.5, 0.5, silent, "delayed by 0.5 s"),
        _case("policy", Kind.JITTER, 1.0, 0.2, replace(GOES_ON, excused=_PUSHED), "jitter of up to 0.2 s"),
        _case("policy", Kind.DROP, 1.5, 0.9, replace(silent, certain=False), "90 % of chunks lost"),
        _case("policy", Kind.FREEZE, 1.0, 0.0, LIMITS, "freeze (old targets under new stamps)"),
        _case("policy", Kind.CORRUPT, 1.0, 1.0, broken, "corrupt (NaN, or 0.5 m off)"),
        _case("policy", Kind.REORDER, 1.0, 0.5, replace(GOES_ON, excused=_PUSHED), "chunks out of order"),
        _case("policy", Kind.DISCONNECT, 1.5, 0.0, silent),
    ]


def _people(config: Config) -> list[Case]:
    """What people and the arm itself say, and clocks: all of it counts in the cycle that hears of it."""
    deadlines, at_once = config.deadlines, Expected("STOPPED within a period", _STOP, 0.0, None, _STOP)
    hold = f"HOLD {deadlines.feedback_hold * 1e3:.0f} ms, STOPPED {deadlines.feedback_stop * 1e3:.0f} ms after the last number"
    blind = Expected(hold, _HOLD, deadlines.feedback_hold, "feedback", _STOP)
    idle = Expected("IDLE within a period", modes(Mode.IDLE), 0.0, None, modes(Mode.IDLE))
    stepped = Expected("HOLD within a period", _HOLD, 0.0, None, _HOLD)
    made = Case("instruction emptied", "", Phase.APPROACH, 1.0, idle, touch=silenced)
    return [
        made,
        replace(made, name="a person's Stop", expected=at_once, touch=as_it_is, requests=Requests(stop=True)),
        replace(made, name=f"force of {PUSH:.0f} N", expected=at_once, touch=pushed),
        replace(made, name="fault bit of the arm", expected=at_once, touch=faulty),
        replace(made, name="NaN in the tool's pose", expected=blind, touch=senseless),
        replace(made, name="clock step", expected=stepped, touch=distrusted),
    ]


def as_it_is(inputs: Inputs) -> Inputs:
    """Nothing is put in."""
    return inputs


def silenced(inputs: Inputs) -> Inputs:
    """Nobody wants anything any more."""
    return replace(inputs, instruction="")


def pushed(inputs: Inputs) -> Inputs:
    """Something pushes the tool upwards with PUSH."""
    assert inputs.arm is not None
    return replace(inputs, arm=replace(inputs.arm, force=inputs.arm.force + np.array([0.0, 0.0, PUSH])))


def faulty(inputs: Inputs) -> Inputs:
    """The arm reports a fault."""
    assert inputs.arm is not None
    return replace(inputs, arm=replace(inputs.arm, fault="BASE_FAULT: joint 3 over-current"))


def senseless(inputs: Inputs) -> Inputs:
    """The arm reports a tool that is nowhere."""
    assert inputs.arm is not None
    nowhere = replace(inputs.arm.tool, position=np.full(3, np.nan))
    return replace(inputs, arm=replace(inputs.arm, tool=nowhere))


def distrusted(inputs: Inputs) -> Inputs:
    """A clock stepped: the arm node believes no stamp."""
    return replace(inputs, distrusted=True)


def live_expected(name: str, config: Config, horizon: float) -> Expected:
    """What is asked for when the process of that name is killed or hangs. Deadlines count from the cause: no last word is later."""
    d = config.deadlines
    watchdog_look = 0.010
    texts: dict[str, Expected] = {
        "twin": Expected(
            f"HOLD within {d.feedback_hold * 1e3:.0f} ms, then STOPPED", modes(Mode.HOLD), d.feedback_hold
        ),
        "servo": Expected(
            f"the watchdog stops the arm within {(d.servo_silent + watchdog_look) * 1e3:.0f} ms",
            modes(Mode.STOPPED),
            d.servo_silent + watchdog_look,
        ),
        "watchdog": GOES_ON,
        "policy": Expected(
            f"brakes within {(horizon + d.chunk_hold) * 1e3:.0f} ms, HOLD",
            modes(Mode.HOLD),
            horizon + d.chunk_hold,
            brakes=True,
        ),
        "arm": Expected(
            f"HOLD within {d.camera_hold * 1e3:.0f} ms, then DISARMED",
            modes(Mode.HOLD, Mode.DISARMED),
            min(d.camera_hold, d.arm_node),
        ),
    }
    return texts.get(name) or Expected(
        f"HOLD within {d.camera_hold * 1e3:.0f} ms, then DISARMED", modes(Mode.HOLD), d.camera_hold
    )
