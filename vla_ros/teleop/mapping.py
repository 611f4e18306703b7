"""From readings of a device to twists of the tool: a pure function of (state, reading, now). No device and no ROS in here."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.geometry import Array
from vla_ros.teleop.reading import Reading
from vla_ros.values import ZERO_TWIST

SCALES = (0.1, 0.25, 0.5, 1.0)
"""Steps of the speed scale, which `slower` and `faster` go through."""
FAREWELL = 100 * MILLISECOND
"""For so long zeros are told once the clutch is released: one of them may be lost, and silence is heard only after 150 ms."""
LONGEST_STEP = SECOND // 10
"""Of the gripper's integration: a loop that hung makes no leap."""


@dataclass(frozen=True)
class Settings:
    """speed m/s and turn_speed rad/s at full deflection and scale 1; `gripper_speed` strokes/s; ns of `silence` release the clutch.

    `deadzone` is the share of the deflection that does nothing; beyond it the way is raised to `curve`, so that small ones are fine.
    """

    speed: float = 0.10
    turn_speed: float = 0.4
    gripper_speed: float = 1.0
    deadzone: float = 0.1
    curve: float = 2.0
    silence: int = 150 * MILLISECOND


@dataclass(frozen=True)
class State:
    """What is remembered from one step to the next. `gripper` is the target since the clutch was taken, None while it is not held."""

    now: int = 0
    held: bool = False
    joined: bool = False
    released: int | None = None
    gripper: float | None = None
    scale: float = 0.5
    in_tool: bool = False
    buttons: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Wish:
    """What is to be told now: `twist` (6,) m/s and rad/s or None, `gripper` 0 open … 1 closed or None."""

    twist: Array | None
    gripper: float | None
    in_tool: bool


def step(
    state: State, reading: Reading | None, now: int, settings: Settings, commanded: float | None
) -> tuple[State, Wish | None, frozenset[str]]:
    """One cycle: the next state, what to tell the arm (None: nothing), and the buttons that went down in it.

    `commanded` is where the gripper is told to be now; the target goes on from there when the clutch is taken: what the gripper holds
    stays held. The first cycle of a clutch therefore tells the gripper alone: the arm has it before it follows a twist.
    """
    alive = reading is not None and abs(now - reading.stamp) <= settings.silence
    pressed = reading.buttons - state.buttons if reading is not None and alive else frozenset()
    state = _switched(replace(state, buttons=reading.buttons if reading is not None else frozenset()), pressed)
    if reading is not None and alive and reading.clutch and _finite(reading):
        state, wish = _held(state, reading, now, settings, commanded)
    else:
        state, wish = _released(state, now)
    return replace(state, now=now), wish, pressed


def shaped(vector: Array, deadzone: float, curve: float) -> Array:
    """A deflection (3,) with a dead zone and a curve over its length: the direction stays, and the length is at most 1."""
    length = float(np.linalg.norm(vector))
    if length <= deadzone:
        return np.zeros(3)
    way = (min(length, 1.0) - deadzone) / (1.0 - deadzone)
    return np.asarray(vector / length * way**curve)


def twist(axes: Array, settings: Settings, scale: float) -> Array:
    """The twist (6,) of a deflection (6,): way and turn each of at most their speed times `scale`."""
    way = shaped(axes[:3], settings.deadzone, settings.curve) * settings.speed
    turn = shaped(axes[3:], settings.deadzone, settings.curve) * settings.turn_speed
    return np.concatenate([way, turn]) * scale


def _switched(state: State, pressed: frozenset[str]) -> State:
    if "frame" in pressed and not state.held:  # in mid-motion the tool would leap to another direction
        state = replace(state, in_tool=not state.in_tool)
    shift = ("faster" in pressed) - ("slower" in pressed)
    index = min(max(SCALES.index(state.scale) + shift, 0), len(SCALES) - 1)
    return replace(state, scale=SCALES[index])


def _held(
    state: State, reading: Reading, now: int, settings: Settings, commanded: float | None
) -> tuple[State, Wish | None]:
    if not state.held:
        if commanded is None:  # taking over without knowing what the gripper holds might drop it
            return state, None
        state = replace(state, held=True, joined=False, released=None, gripper=commanded)
        return state, Wish(None, commanded, state.in_tool)
    seconds = min(now - state.now, LONGEST_STEP) / SECOND
    target = (state.gripper or 0.0) + max(-1.0, min(1.0, reading.gripper)) * settings.gripper_speed * seconds
    target = min(1.0, max(0.0, target))
    wanted = twist(reading.axes, settings, state.scale)
    return replace(state, joined=True, gripper=target), Wish(wanted, target, state.in_tool)


def _released(state: State, now: int) -> tuple[State, Wish | None]:
    if state.held:
        state = replace(state, held=False, gripper=None, released=now if state.joined else None)
    if state.released is None:
        return state, None
    if now - state.released >= FAREWELL:
        return replace(state, released=None), None
    return state, Wish(ZERO_TWIST, None, state.in_tool)


def _finite(reading: Reading) -> bool:
    return bool(np.isfinite(reading.axes).all() and np.isfinite(reading.gripper))
