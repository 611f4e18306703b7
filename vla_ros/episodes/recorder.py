"""The recorder's state machine: a pure function of (state, event, now). Buttons, keys and services all end in `step`.

    IDLE    nothing can be recorded: no task, or something is in the way
    ARMED   ready: the scene is put back, the arm parks
    RECORDING
    DECIDING  the take has ended, and somebody says what it was

It holds no frames and does nothing: what is to be done comes out as effects, in order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeAlias

from vla_ros.clock import SECOND


class Phase(Enum):
    """Where the recorder is."""

    IDLE = "idle"
    ARMED = "armed"
    RECORDING = "recording"
    DECIDING = "deciding"


class Event(Enum):
    """What a person, or a program, may ask of it. `toggle` is one button for start and stop."""

    TOGGLE = "toggle"
    START = "start"
    STOP = "stop"
    SUCCESS = "success"
    FAILURE = "failure"
    DISCARD = "discard"
    RERECORD = "rerecord"
    SAVE = "save"
    NEXT = "next"
    PARK = "park"


@dataclass(frozen=True)
class Begin:
    """Open a take under this instruction."""

    task: str


@dataclass(frozen=True)
class End:
    """Take no more frames into the open take."""


@dataclass(frozen=True)
class Commit:
    """Make the take an episode of the dataset."""

    success: bool


@dataclass(frozen=True)
class Discard:
    """Forget the take."""


@dataclass(frozen=True)
class Keep:
    """Open a take under this instruction of what the memory of the last seconds holds from `since` (ns) on, and end it."""

    task: str
    since: int


@dataclass(frozen=True)
class Park:
    """Bring the arm up and to where it waits."""


Effect: TypeAlias = Begin | End | Commit | Discard | Keep | Park


@dataclass(frozen=True)
class Settings:
    """`longest` ns of an episode, which then ends by itself; `memory` ns that `save` reaches back; `park`: whether the arm parks."""

    longest: int = 120 * SECOND
    memory: int = 30 * SECOND
    park: bool = True


@dataclass(frozen=True)
class State:
    """All that is remembered. `task` counts through `tasks`, again and again; `began` is when the take did, ns.

    `obstacle`: why nothing can be recorded now, or what spoilt the take that is being decided upon; empty: nothing. `again`: a take
    begins by itself once the arm is parked. `free`: nothing before this moment is saved a second time.
    """

    tasks: tuple[str, ...]
    phase: Phase = Phase.IDLE
    task: int = 0
    began: int = 0
    free: int = 0
    parking: bool = False
    again: bool = False
    obstacle: str = ""
    saved: int = 0
    discarded: int = 0

    @property
    def instruction(self) -> str:
        """Of the take, or of the one to come; empty without tasks."""
        return self.tasks[self.task % len(self.tasks)] if self.tasks else ""


@dataclass(frozen=True)
class Outcome:
    """What an event makes: the next state, what is to be done, whether it was taken up, and a text for who asked."""

    state: State
    effects: tuple[Effect, ...] = ()
    taken: bool = True
    text: str = ""


def step(state: State, event: Event, now: int, settings: Settings) -> Outcome:
    """One event. What makes no sense now changes nothing, and the text says why."""
    if event is Event.TOGGLE:
        event = Event.STOP if state.phase is Phase.RECORDING else Event.START
    if state.phase is Phase.IDLE:
        return _refused(state, state.obstacle or "there is no task: give --task")
    if event in (Event.START, Event.NEXT, Event.SAVE, Event.PARK):
        return _between(state, event, now, settings)
    if state.phase is Phase.ARMED:
        if state.again and event is Event.DISCARD:
            return Outcome(replace(state, again=False), text="not recorded again")
        return _refused(state, "nothing is being recorded: start first")
    if event is Event.STOP:
        return _stopped(state, now)
    return _decided(state, event, now, settings)


def observe(state: State, obstacle: str, parked: bool, now: int, settings: Settings) -> Outcome:
    """What goes on without anybody asking. `obstacle`: why a recording would be no good now, as a silent camera; empty: it is good.

    `parked`: the arm is where it waits, or a hand has taken it. A take that something spoils ends, and so does one that is too long.
    """
    if state.phase is Phase.RECORDING:
        if obstacle:
            return Outcome(_ended(state, now, obstacle), (End(),), text=f"the take has ended: {obstacle}")
        if now - state.began >= settings.longest:
            return Outcome(_ended(state, now), (End(),), text=f"ended after {settings.longest / SECOND:.0f} s")
        return Outcome(state)
    if state.phase is Phase.DECIDING:
        return Outcome(state)
    ready = bool(state.instruction) and not obstacle
    phase = Phase.ARMED if ready else Phase.IDLE
    state = replace(state, phase=phase, obstacle=obstacle, parking=state.parking and not parked)
    if state.again and ready and not state.parking:
        return _begun(state, now)
    return Outcome(state)


def _between(state: State, event: Event, now: int, settings: Settings) -> Outcome:
    if state.phase is not Phase.ARMED:
        what = (
            "an episode is being recorded: stop it" if state.phase is Phase.RECORDING else "say what the last one was"
        )
        return _refused(state, f"{what} first")
    if event is Event.START:
        return _refused(state, "the arm is parking: a moment") if state.parking else _begun(state, now)
    if event is Event.NEXT:
        state = replace(state, task=(state.task + 1) % len(state.tasks), again=False)
        return Outcome(state, text=f"next: {state.instruction}")
    if event is Event.PARK:
        return Outcome(replace(state, parking=True), (Park(),), text="parking")
    return _kept(state, now, settings)


def _begun(state: State, now: int) -> Outcome:
    begun = replace(state, phase=Phase.RECORDING, began=now, again=False, obstacle="")
    return Outcome(begun, (Begin(state.instruction),), text=f"recording: {state.instruction}")


def _kept(state: State, now: int, settings: Settings) -> Outcome:
    since = max(now - settings.memory, state.free)
    kept = replace(state, phase=Phase.DECIDING, began=since, free=now, again=False, parking=False)
    return Outcome(
        kept,
        (Keep(state.instruction, since),),
        text=f"the last {(now - since) / SECOND:.0f} s are kept: what were they?",
    )


def _stopped(state: State, now: int) -> Outcome:
    if state.phase is Phase.DECIDING:
        return _refused(state, "it has ended already: success, failure, discard or rerecord?")
    return Outcome(_ended(state, now), (End(),), text="ended: success, failure, discard or rerecord?")


def _ended(state: State, now: int, spoilt: str = "") -> State:
    return replace(state, phase=Phase.DECIDING, obstacle=spoilt, free=now)


def _decided(state: State, event: Event, now: int, settings: Settings) -> Outcome:
    """The take's end, which a running one reaches by the same word."""
    if event is Event.SUCCESS and state.obstacle:
        return _refused(state, f"this take is no success, since {state.obstacle}: failure, discard or rerecord")
    end: tuple[Effect, ...] = (End(),) if state.phase is Phase.RECORDING else ()
    park: tuple[Effect, ...] = (Park(),) if settings.park else ()
    # what spoilt the take may still be in the way: the next look arms it
    phase = Phase.IDLE if state.obstacle else Phase.ARMED
    after = replace(state, phase=phase, parking=settings.park, free=now)
    if event in (Event.SUCCESS, Event.FAILURE):
        success = event is Event.SUCCESS
        after = replace(after, saved=state.saved + 1, task=(state.task + 1) % len(state.tasks))
        text = f"saved as a {event.value}; put the scene back for: {after.instruction}"
        return Outcome(after, (*end, Commit(success), *park), text=text)
    again = event is Event.RERECORD
    after = replace(after, discarded=state.discarded + 1, again=again)
    text = "discarded; put the scene back" + (", recording begins by itself" if again else "")
    return Outcome(after, (*end, Discard(), *park), text=text)


def _refused(state: State, text: str) -> Outcome:
    return Outcome(state, taken=False, text=text)
