"""The application: what the page and programs ask, as FastAPI routes around a board and commands. No ROS in here."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ConfigDict, Field

from vla_ros import __version__
from vla_ros.clock import SECOND, Clock
from vla_ros.config import Config
from vla_ros.dashboard import cards, metrics, telemetry
from vla_ros.dashboard.access import COOKIE, Access
from vla_ros.dashboard.answers import Said, told
from vla_ros.dashboard.commands import Commands, Wish
from vla_ros.dashboard.guard import Guard
from vla_ros.dashboard.once import Once
from vla_ros.dashboard.pictures import Stream
from vla_ros.dashboard.recording import recording_routes
from vla_ros.dashboard.slots import Board
from vla_ros.dashboard.streams import camera_routes
from vla_ros.dashboard.wires import wire_routes

PAGE = Path(__file__).with_name("page")
SILENT = 2 * SECOND
"""The service counts as gone when its arm node was not heard for so long."""
STOPPERS = 8
"""Stops that may wait for their answer at the same time."""
HIDDEN = "(hidden)"
NOBODY = "NONE"
"""The mode that the arm node tells while no servo runs."""
KEPT = 5 * SECOND
"""For so long the bundles of this machine are not read again, however many ask."""


class Instruction(BaseModel):
    """What to do; empty: be idle."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(max_length=4096)


class Token(BaseModel):
    """A token of the file dashboard.tokens."""

    model_config = ConfigDict(extra="forbid")
    token: str = Field(max_length=512)


@dataclass
class Room:
    """What the routes share."""

    board: Board
    commands: Commands
    config: Config
    access: Access
    clock: Clock
    tasks: tuple[str, ...] = ()
    streams: dict[str, Stream] = field(default_factory=dict)
    # of its own: Stop must not wait behind calls that nobody answers
    stoppers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(STOPPERS, "stop"))

    def __post_init__(self) -> None:
        self.streams = {name: Stream(slot) for name, slot in self.board.pictures.items()}


def create_app(
    board: Board, commands: Commands, config: Config, access: Access, clock: Clock, tasks: tuple[str, ...] = ()
) -> Guard:
    """The application behind its guard. `tasks` are sentences that the page offers."""
    room = Room(board, commands, config, access, clock, tasks)
    # docs_url and redoc_url load from elsewhere
    app = FastAPI(title="vla_ros dashboard", version=__version__, docs_url=None, redoc_url=None)
    app.add_exception_handler(RequestValidationError, _unfit)
    guard = Guard(app, access, clock)
    app.include_router(_status_routes(room, guard))
    app.include_router(_command_routes(room))
    app.include_router(recording_routes(board, commands, clock))
    app.include_router(camera_routes(room.streams))
    app.include_router(wire_routes(board, commands, config, clock))
    app.mount("/", StaticFiles(directory=PAGE, html=True))
    return guard


def openapi(guard: Guard) -> dict[str, Any]:
    """What the REST part of an application is, as OpenAPI has it."""
    assert isinstance(guard.app, FastAPI)
    return guard.app.openapi()


async def _unfit(_: Request, error: Exception) -> Response:
    """422 with the fields that do not fit. FastAPI's own repeats what was sent, and fails where that is no text."""
    assert isinstance(error, RequestValidationError)
    fields = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
    return JSONResponse({"detail": "; ".join(fields)[:500]}, 422)


def _status_routes(room: Room, guard: Guard) -> APIRouter:
    api = APIRouter(tags=["status"])
    board, clock = room.board, room.clock
    bundles = Once(lambda: cards.cards(room.config), KEPT, clock)

    @api.get("/healthz", response_class=PlainTextResponse)
    def healthz() -> Response:
        """200 while the arm can be moved and stopped; 503 while the arm node is not heard, or says that there is no servo."""
        arm = board.arm.get()
        if arm is None or clock.now() - arm.moment > SILENT:
            return PlainTextResponse("the arm node is not heard\n", 503)
        if arm.values.get("mode", NOBODY) == NOBODY:
            return PlainTextResponse("the servo is not running\n", 503)
        return PlainTextResponse("ok\n")

    @api.get("/metrics", response_class=PlainTextResponse)
    def prometheus() -> Response:
        """For Prometheus."""
        counts = {name: (stream.viewers, stream.encoded) for name, stream in room.streams.items()}
        return Response(metrics.exposition(board, counts, guard.refused, clock.now()), media_type=metrics.CONTENT_TYPE)

    @api.get("/api/status")
    def status() -> dict[str, Any]:
        """Arm, policy, cameras, motion and latency as they are now."""
        return telemetry.snapshot(board, room.config, clock.now())

    @api.get("/api/latency")
    def latency() -> dict[str, float | None]:
        """Quantiles of every stage from light to motion, ms."""
        return {name: telemetry.finite(value) for name, value in (board.latency.get() or {}).items()}

    @api.get("/api/verdicts")
    def verdicts(since: int = 0) -> list[dict[str, Any]]:
        """Changes of mode and verdict with a number over `since`, oldest first."""
        return [vars(entry) for entry in board.verdicts.since(since, most=500)]

    @api.get("/api/configuration")
    def configuration() -> dict[str, Any]:
        """Every setting; passwords and the place of tokens and keys are hidden."""
        return hidden(room.config)

    @api.get("/api/policies")
    async def policies() -> list[dict[str, Any]]:
        """The bundles of this machine. Which one is served is chosen at the start: policy.bundle."""
        return await bundles.get()

    @api.get("/api/page")
    def page(request: Request) -> dict[str, Any]:
        """What the page needs once: cameras, caps, tasks, and what its token allows."""
        return _page(room, request.scope["state"]["scopes"])

    return api


def _page(room: Room, scopes: frozenset[str]) -> dict[str, Any]:
    config = room.config
    shapes = {name: (c.roi[2] // c.binning, c.roi[3] // c.binning) for name, c in config.cameras.items()}
    return {
        "version": __version__,
        "robot": config.robot,
        "cameras": shapes,
        "caps": {"speed": config.limits.speed, "turn": config.limits.turn_speed},
        "instruction_limit": config.policy.instruction_limit,
        "tasks": room.tasks,
        "scopes": sorted(scopes),
        "tokens": bool(room.access.tokens),
    }


def hidden(config: Config) -> dict[str, Any]:
    """The configuration without what opens doors."""
    values = config.model_dump(mode="json")
    values["arm"]["password"] = HIDDEN
    values["dashboard"] |= {name: HIDDEN for name in ("tokens", "key") if values["dashboard"][name]}
    return values


def _command_routes(room: Room) -> APIRouter:
    api = APIRouter(tags=["commands"])

    def add(name: Wish, about: str) -> None:
        @api.post(f"/api/{name}", name=name, description=about)
        async def wish() -> Said:
            answer = room.commands.ask(name)  # by this thread: a Stop that waits for another one to wake is late
            loop, threads = asyncio.get_running_loop(), room.stoppers if name == "stop" else None
            return told(await loop.run_in_executor(threads, answer))

    add("stop", "Stop the arm at once; it stays stopped until reset.")
    add("enable", "Let the arm move. 409 where something is in the way.")
    add("disable", "Bring the arm to rest and let it move no more.")
    add("reset", "Leave the stop; the arm then needs enabling.")

    @api.post("/api/instruction")
    async def instruct(instruction: Instruction) -> Said:
        """Give the policy an instruction; an empty one makes it idle."""
        text, most = instruction.text.strip(), room.config.policy.instruction_limit
        if len(text) > most:
            raise HTTPException(422, f"{len(text)} characters: policy.instruction_limit is {most}")
        return told(await asyncio.to_thread(room.commands.instruct, text))

    @api.post("/api/session", status_code=204)
    def log_in(token: Token, response: Response) -> None:
        """Exchange a token for a cookie that scripts cannot read."""
        if not room.access.tokens or not room.access.scopes(token.token):
            raise HTTPException(401, "this token is not known")
        secure = bool(room.config.dashboard.certificate)
        response.set_cookie(COOKIE, token.token, httponly=True, samesite="strict", secure=secure, max_age=30 * 86400)

    @api.get("/index.html", include_in_schema=False)
    def index() -> RedirectResponse:
        return RedirectResponse("/")

    return api
