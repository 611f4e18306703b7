"""What the page is told, as plain values: made of the board at a moment, and as text once for all who listen."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from vla_ros.clock import SECOND, Clock
from vla_ros.config import Config
from vla_ros.dashboard import overlay
from vla_ros.dashboard.slots import Board, Report, Slot, age_ms, values_of
from vla_ros.values import Mode

RATE = 15.0
"""Messages per second."""
SHOWN = 400
"""ms for which a command or a path is shown behind its last sign of life."""


def snapshot(board: Board, config: Config, now: int) -> dict[str, Any]:
    """Everything but journals and pictures, at `now` (ns, monotonic). Numbers that are not finite are None: JSON has none."""
    return {
        "arm": report(board.arm, now),
        "policy": report(board.policy, now),
        "recorder": report(board.recorder, now),
        "motion": _motion(board, now),
        "command": _command(board, now),
        "cameras": {name: report(slot, now) for name, slot in board.cameras.items()},
        "paths": paths(board, config, now),
        "latency": {name: finite(value) for name, value in (board.latency.get() or {}).items()},
    }


def report(slot: Slot[Report], now: int) -> dict[str, Any] | None:
    report = slot.get()
    if report is None:
        return None
    words = {"level": report.level, "message": report.message, "values": report.values}
    return words | {"age_ms": age_ms(report.moment, now)}


def _motion(board: Board, now: int) -> dict[str, Any] | None:
    motion = board.motion.get()
    if motion is None:
        return None
    return {
        "position": [finite(value) for value in motion.tool.position.tolist()],
        "quaternion": [finite(value) for value in motion.tool.quaternion.tolist()],
        "joints": [finite(value) for value in motion.joints],
        "gripper": finite(motion.gripper),
        "age_ms": age_ms(motion.moment, now),
    }


def _command(board: Board, now: int) -> dict[str, Any] | None:
    command = board.command.get()
    if command is None or now - command.moment > SHOWN * SECOND // 1000:
        return None
    return {"speed": finite(command.speed), "turn": finite(command.turn)}


def paths(board: Board, config: Config, now: int) -> dict[str, list[overlay.Point]]:
    """For each camera the way that the tool is to go, as shares of the picture; empty where nothing is to come, or is not followed."""
    chunk, motion = board.chunk.get(), board.motion.get()
    if values_of(board.arm).get("mode") != Mode.ACTIVE.name:
        return {name: [] for name in config.cameras}
    if chunk is None or motion is None or not motion.tool.is_finite() or now - motion.moment > SHOWN * SECOND // 1000:
        return {name: [] for name in config.cameras}
    points = overlay.coming(chunk, now, motion.tool)
    return {name: overlay.drawn(points, camera, motion.tool) for name, camera in config.cameras.items()}


def finite(value: float) -> float | None:
    """The number with six digits; None where JSON has none for it."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


class Teller:
    """The snapshot as text, made at most RATE times a second however many ask."""

    def __init__(self, board: Board, config: Config, clock: Clock) -> None:
        self._board, self._config, self._clock = board, config, clock
        self._tick, self._text = -1, ""
        self.made = 0

    def text(self, now: int) -> str:
        """The newest snapshot at `now` (ns, monotonic)."""
        tick = int(now * RATE) // SECOND
        if tick != self._tick:
            self._tick = tick
            self._text = json.dumps({"snapshot": snapshot(self._board, self._config, now)}, separators=(",", ":"))
            self.made += 1
        return self._text

    def news(self, told: dict[str, int]) -> str:
        """What the journals have beyond the numbers in `told`, which are brought forward; empty where there is nothing."""
        found: dict[str, Any] = {}
        for name, journal in self._board.journals().items():
            entries = journal.since(told.get(name, 0))
            if entries:
                told[name] = entries[-1].number
                found[name] = [dataclasses.asdict(entry) for entry in entries]
        return json.dumps(found, separators=(",", ":")) if found else ""
