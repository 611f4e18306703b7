"""The recorder over HTTP: how it stands, its buttons, and the episodes of the dataset that it writes."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, HTTPException, Response
from pydantic import BaseModel

from vla_ros.clock import SECOND, Clock
from vla_ros.dashboard.answers import Said, told
from vla_ros.dashboard.commands import Commands
from vla_ros.dashboard.shelf import Shelf, ShelfError
from vla_ros.dashboard.slots import Board, Report
from vla_ros.dashboard.telemetry import report
from vla_ros.episodes.recorder import Event

SILENT = 2 * SECOND
"""The recorder counts as gone when it was not heard for so long; it speaks five times a second."""
ABSENT = "no recorder is heard: start one, as `vla-ros record FOLDER` or record.launch.py"


class EpisodeCard(BaseModel):
    """One episode: `success` is None where the dataset does not say; `bad`: it cannot be trained on as it is."""

    index: int
    frames: int
    seconds: float
    task: str
    success: bool | None
    bad: bool
    findings: list[str]


def recording_routes(board: Board, commands: Commands, clock: Clock) -> APIRouter:
    """/api/recorder and /api/episodes."""
    api = APIRouter(prefix="/api", tags=["recorder"])
    shelf = Shelf()

    def heard() -> Report:
        found = board.recorder.get()
        if found is None or clock.now() - found.moment > SILENT:
            raise HTTPException(503, ABSENT)
        return found

    @api.get("/recorder")
    def status() -> dict[str, Any]:
        """Phase, instruction, counts, cameras, and what is in the way. 503 where no recorder is heard."""
        heard()
        return report(board.recorder, clock.now()) or {}

    @api.post("/recorder/{event}")
    async def press(event: Event) -> Said:
        """Press a button of the recorder: 200, or 409 with the reason, or 503 where there is none."""
        return told(await asyncio.to_thread(commands.record, event))

    @api.get("/episodes")
    async def episodes() -> list[EpisodeCard]:
        """The newest episodes of the dataset that is being recorded, oldest first, with what `vla-ros episodes check` finds."""
        try:
            return [EpisodeCard(**card) for card in await shelf.episodes(_dataset(heard()))]
        except ShelfError as error:
            raise _unavailable(error) from None

    @api.get("/episodes/{index}.jpg", response_class=Response)
    async def sheet(index: int) -> Response:
        """Frames over one episode, a row for each camera."""
        found = heard()
        count = found.values.get("episodes", "0")
        if not 0 <= index < int(count):
            raise HTTPException(404, f"there is no episode {index}: the dataset has {count}")
        try:
            data = await shelf.sheet(_dataset(found), index)
        except ShelfError as error:
            raise _unavailable(error) from None
        return Response(data, media_type="image/jpeg", headers={"cache-control": "private, max-age=60"})

    return api


def _dataset(found: Report) -> str:
    root = found.values.get("dataset", "")
    if not root:
        raise HTTPException(503, "this recorder does not say which dataset it writes: it is of an older version")
    return root


def _unavailable(error: ShelfError) -> HTTPException:
    return HTTPException(429 if error.busy else 503, str(error))
