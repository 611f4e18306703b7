"""The two WebSockets of the page: telemetry to it, the wishes of its pad from it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import Iterator

import anyio
from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from vla_ros.clock import Clock
from vla_ros.config import Config
from vla_ros.dashboard.clutch import Clutch, Wish
from vla_ros.dashboard.commands import Commands
from vla_ros.dashboard.slots import Board
from vla_ros.dashboard.streams import STUCK, TRY_AGAIN_LATER, until_left
from vla_ros.dashboard.telemetry import RATE, Teller

LISTENERS = 32
DRIVERS = 4
INVALID = 1007
"""RFC 6455, 7.4.1: data of another form than agreed."""


def wire_routes(board: Board, commands: Commands, config: Config, clock: Clock) -> APIRouter:
    """/api/telemetry and /api/teleop."""
    api = APIRouter()
    teller, clutch = Teller(board, config, clock), Clutch(config)
    listeners, drivers = _Count(LISTENERS), _Count(DRIVERS)

    @api.websocket("/api/telemetry")
    async def telemetry(websocket: WebSocket) -> None:
        await websocket.accept()
        with listeners.one() as admitted:
            if not admitted:
                await websocket.close(TRY_AGAIN_LATER, f"{LISTENERS} pages are open already")
                return
            await until_left(websocket, lambda: _tell(websocket, teller, clock))

    @api.websocket("/api/teleop")
    async def teleop(websocket: WebSocket) -> None:
        await websocket.accept()
        with drivers.one() as admitted:
            if not admitted:
                await websocket.close(TRY_AGAIN_LATER, f"{DRIVERS} pads are open already")
                return
            await _obey(websocket, clutch, commands, clock)

    return api


class _Count:
    def __init__(self, most: int) -> None:
        self._left = most

    @contextlib.contextmanager
    def one(self) -> Iterator[bool]:
        """Whether there was room for one more; it is free again behind the context."""
        admitted = self._left > 0
        self._left -= admitted
        try:
            yield admitted
        finally:
            self._left += admitted


async def _tell(websocket: WebSocket, teller: Teller, clock: Clock) -> None:
    """The newest snapshot RATE times a second; who is slow gets fewer, and none that is old."""
    told: dict[str, int] = {}
    while True:
        for text in filter(None, (teller.text(clock.now()), teller.news(told))):
            with anyio.fail_after(STUCK):
                await websocket.send_text(text)
        await asyncio.sleep(1 / RATE)


async def _obey(websocket: WebSocket, clutch: Clutch, commands: Commands, clock: Clock) -> None:
    """Each wish is sent on at once. Garbage ends the connection, and with it the motion."""
    who = uuid.uuid4().hex
    before = ""
    try:
        while True:
            drive, why = clutch.wish(who, Wish.model_validate_json(await websocket.receive_text()), clock.now())
            if drive is not None:
                commands.drive(drive.twist, drive.in_tool, drive.gripper)
            if why != before:
                before = why
                await websocket.send_text(json.dumps({"refused": why}))
    except (ValidationError, KeyError):
        await websocket.close(INVALID, "not a wish: see /openapi.json and docs/dashboard.md")
    except (WebSocketDisconnect, RuntimeError):
        pass
    finally:
        clutch.leave(who)
