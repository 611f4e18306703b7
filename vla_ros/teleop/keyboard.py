"""A terminal's keyboard, also over SSH. A terminal tells no release: a key moves the tool for 150 ms, and on while it repeats."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import tty
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vla_ros.clock import MILLISECOND
from vla_ros.teleop.reading import Reading, TeleopError

HOLD = 150 * MILLISECOND
"""For how long a key counts as held after it came; a terminal repeats a held one every 30 to 50 ms."""
MOVES = {
    "w": (0, 1), "s": (0, -1), "a": (1, 1), "d": (1, -1), "r": (2, 1), "f": (2, -1),
    "l": (3, 1), "j": (3, -1), "i": (4, 1), "k": (4, -1), "q": (5, 1), "e": (5, -1),
}  # fmt: skip
"""Key -> (axis, sign): x, y, z and the turns about them."""
GRIPPER = {"o": -1.0, "c": 1.0}
EVENTS = {
    "\n": "toggle", "\r": "toggle", "y": "success", "n": "failure", "x": "discard", "b": "rerecord", "v": "save",
    "t": "next", "g": "frame", "+": "faster", "-": "slower",
}  # fmt: skip
HELP = (
    "w s  forward, back     a d  left, right     r f  up, down\n"
    "q e  turn   i k  pitch   j l  roll          o c  open, close the gripper\n"
    "g  base or tool frame   + -  faster, slower   space  keep the clutch (a policy waits), space again: hand back\n"
    "recorder:  Enter start, stop   y success   n failure   x discard   b record again   v save the last 30 s   t next task\n"
    "Ctrl-C ends"
)


@dataclass(frozen=True)
class Keys:
    """What the keys mean now: `moved`: axis, when it was last pressed (ns), to which side; `kept`: space keeps the clutch."""

    moved: tuple[tuple[int, int, float], ...] = ()
    gripped: tuple[int, float] = (-HOLD - 1, 0.0)
    kept: bool = False
    pressed: frozenset[str] = frozenset()


def typed(keys: Keys, text: str, now: int) -> Keys:
    """The keys after `text` was typed. Capitals mean nothing: arrow keys send them, and their sequences come in pieces."""
    keys, pressed = replace(keys, pressed=frozenset()), set()
    for character in text:
        if character in MOVES:
            axis, sign = MOVES[character]
            others = tuple(move for move in keys.moved if move[0] != axis)
            keys = replace(keys, moved=(*others, (axis, now, float(sign))))
        elif character in GRIPPER:
            keys = replace(keys, gripped=(now, GRIPPER[character]))
        elif character == " ":
            keys = replace(keys, kept=not keys.kept)
        elif character in EVENTS:
            pressed.add(EVENTS[character])
    return replace(keys, pressed=frozenset(pressed))


def reading(keys: Keys, now: int) -> Reading:
    """What the keys ask for at `now`."""
    axes = np.zeros(6)
    for axis, moment, sign in keys.moved:
        axes[axis] = sign if now - moment <= HOLD else 0.0
    gripper = keys.gripped[1] if now - keys.gripped[0] <= HOLD else 0.0
    return Reading(now, axes, keys.kept or bool(axes.any()) or gripper != 0.0, gripper, keys.pressed)


class Keyboard:
    """The terminal of this process, key by key (cbreak) until `close`. Raises TeleopError where there is none."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = sys.stdin.fileno() if descriptor is None else descriptor
        if not os.isatty(self._descriptor):
            raise TeleopError(
                "the keyboard device needs a terminal: start it in one (ssh -t), not in a pipe or a service"
            )
        self._keys = Keys()
        self._former: list[Any] | None = termios.tcgetattr(self._descriptor)
        tty.setcbreak(self._descriptor, termios.TCSANOW)

    def read(self, now: int) -> Reading | None:
        """What was typed since the last call. Raises TeleopError once the terminal is closed."""
        # behind a press there is a reading without it, so that the same key right after it is another press
        self._keys = typed(self._keys, "" if self._keys.pressed else self._typed(), now)
        return reading(self._keys, now)

    def close(self) -> None:
        """Give the terminal back as it was; one that is gone needs nothing."""
        former, self._former = self._former, None
        if former is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._descriptor, termios.TCSANOW, former)

    def _typed(self) -> str:
        if not select.select([self._descriptor], [], [], 0.0)[0]:
            return ""
        try:
            got = os.read(self._descriptor, 256)
        except OSError:
            got = b""
        if not got:
            raise TeleopError("the terminal was closed")
        return got.decode("utf-8", "ignore")
