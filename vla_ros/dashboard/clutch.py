"""Teleoperation from a page: shares of the speed caps while a button is held, by one person at a time, and never old ones. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from vla_ros.clock import MILLISECOND
from vla_ros.config import Config

LATE = 150 * MILLISECOND
"""A wish that took so much longer than the fastest one is not played: it is from before the network's pause."""
OFTEN = 8 * MILLISECOND
"""Wishes that come sooner after one another are not sent on: a page sends one each 50 ms."""
SILENT = 500 * MILLISECOND
"""Without a word for so long, the clutch is another's to take."""
SHARE = 0.6
"""Of limits.speed and limits.turn_speed, where a stick is at its end."""


class Wish(BaseModel):
    """One message of the page: `t` is its own clock in ms; `move` is x y z and turns about them, each -1 … 1 of the cap."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    t: float = Field(ge=0, le=1e13)
    clutch: bool
    move: tuple[float, float, float, float, float, float] = (0.0,) * 6
    tool: bool = False
    gripper: float | None = Field(None, ge=0, le=1)


@dataclass(frozen=True)
class Drive:
    """A twist (6,) m/s and rad/s, the frame it is in, and where the gripper is to go."""

    twist: tuple[float, ...]
    in_tool: bool
    gripper: float | None


class Clutch:
    """Who holds it. Each connection has a name of its own."""

    def __init__(self, config: Config) -> None:
        limits = config.limits
        self._caps = (limits.speed * SHARE,) * 3 + (limits.turn_speed * SHARE,) * 3
        self._holder, self._heard = "", 0
        self._fastest: dict[str, float] = {}

    def wish(self, who: str, wish: Wish, now: int) -> tuple[Drive | None, str]:
        """What is to be sent at `now` (ns, monotonic), or why nothing: an empty text where the clutch is simply open."""
        if self._is_late(who, wish.t, now):
            return None, "late"
        if not wish.clutch:
            self._open(who)
            return None, ""
        if self._holder == who and now - self._heard < OFTEN:
            return None, ""
        if self._holder not in ("", who) and now - self._heard <= SILENT:
            return None, "somebody else holds the clutch"
        self._holder, self._heard = who, now
        twist = tuple(_bounded(share) * cap for share, cap in zip(wish.move, self._caps, strict=True))
        return Drive(twist, wish.tool, wish.gripper), ""

    def leave(self, who: str) -> None:
        """The connection is over."""
        self._open(who)
        self._fastest.pop(who, None)

    def _open(self, who: str) -> None:
        if self._holder == who:
            self._holder = ""

    def _is_late(self, who: str, sent: float, now: int) -> bool:
        """Whether it took LATE longer than the fastest of this connection: its clock and ours differ by what nobody knows."""
        took = now - sent * MILLISECOND
        fastest = self._fastest[who] = min(took, self._fastest.get(who, math.inf))
        return took - fastest > LATE


def _bounded(share: float) -> float:
    return max(-1.0, min(1.0, share))
