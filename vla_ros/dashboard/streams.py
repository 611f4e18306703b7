"""Cameras over HTTP: by WebSocket with stamps, as MJPEG, and one JPEG."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

import anyio
from fastapi import APIRouter, HTTPException, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse

from vla_ros.dashboard.pictures import STAMP, CrowdedError, Stream

PATIENCE = 3.0
"""s to wait for the first frame."""
STUCK = 5.0
"""s after which a viewer who takes no frame is let go of."""
TRY_AGAIN_LATER = 1013
BOUNDARY = b"frame"


def camera_routes(streams: Mapping[str, Stream]) -> APIRouter:
    """/cameras/NAME as a WebSocket, NAME.mjpg and NAME.jpg."""
    api = APIRouter(prefix="/cameras", tags=["cameras"])

    def stream(name: str) -> Stream:
        if name not in streams:
            raise HTTPException(404, f"no camera {name!r}: there are {', '.join(streams)}")
        return streams[name]

    @api.get("/{name}.jpg", response_class=Response)
    async def jpeg(name: str) -> Response:
        """The next frame."""
        packet = await _first(stream(name))
        headers = {"cache-control": "no-store", "x-exposure-ns": str(STAMP.unpack_from(packet)[0])}
        return Response(packet[STAMP.size :], media_type="image/jpeg", headers=headers)

    @api.get("/{name}.mjpg", response_class=Response)
    async def mjpeg(name: str) -> StreamingResponse:
        """Frames as multipart/x-mixed-replace, for what has no WebSocket."""
        kind = f"multipart/x-mixed-replace; boundary={BOUNDARY.decode()}"
        return StreamingResponse(_parts(stream(name)), media_type=kind, headers={"cache-control": "no-store"})

    @api.websocket("/{name}")
    async def socket(websocket: WebSocket, name: str, credit: int = 0) -> None:
        """Stamp and JPEG. With `credit`, so many frames at most are under way: each message from the viewer asks for one more."""
        await websocket.accept()
        if name not in streams:
            await websocket.close(TRY_AGAIN_LATER, f"no camera {name[:40]!r}")
            return
        asked = asyncio.Semaphore(credit) if credit > 0 else None
        await until_left(websocket, lambda: _send_all(websocket, streams[name], asked), asked)

    return api


async def _first(stream: Stream) -> bytes:
    async with contextlib.aclosing(stream.watch()) as frames:
        try:
            return await asyncio.wait_for(anext(frames), PATIENCE)
        except (TimeoutError, asyncio.TimeoutError):
            raise HTTPException(503, f"no frame within {PATIENCE:g} s: see the camera's node") from None
        except CrowdedError as error:
            raise HTTPException(503, str(error)) from None


async def _parts(stream: Stream) -> AsyncGenerator[bytes, None]:
    with contextlib.suppress(CrowdedError):
        async with contextlib.aclosing(stream.watch()) as frames:
            async for packet in frames:
                picture = packet[STAMP.size :]
                head = b"--%s\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % (BOUNDARY, len(picture))
                yield head + picture + b"\r\n"


async def _send_all(websocket: WebSocket, stream: Stream, asked: asyncio.Semaphore | None) -> None:
    try:
        async with contextlib.aclosing(stream.watch()) as frames:
            while True:
                if asked is not None:
                    await asked.acquire()
                packet = await anext(frames)
                with anyio.fail_after(STUCK):  # no task for each picture, as asyncio.wait_for makes before Python 3.12
                    await websocket.send_bytes(packet)
    except CrowdedError as error:
        await websocket.close(TRY_AGAIN_LATER, str(error))


async def until_left(
    websocket: WebSocket, work: Callable[[], Awaitable[None]], asked: asyncio.Semaphore | None = None
) -> None:
    """Do the work until it ends or the other side leaves. What that side says is not read, but each message counts for `asked`."""
    async with anyio.create_task_group() as group:

        async def do() -> None:
            await _patiently(websocket, work)
            group.cancel_scope.cancel()

        group.start_soon(do)
        await _left(websocket, asked)
        group.cancel_scope.cancel()


async def _patiently(websocket: WebSocket, work: Callable[[], Awaitable[None]]) -> None:
    """The work, whose other side may take nothing or leave in the middle of a message."""
    try:
        await work()
    except (TimeoutError, asyncio.TimeoutError):
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await websocket.close(TRY_AGAIN_LATER, "too slow")
    except (WebSocketDisconnect, RuntimeError):
        pass


async def _left(websocket: WebSocket, asked: asyncio.Semaphore | None) -> None:
    while (await websocket.receive())["type"] != "websocket.disconnect":
        if asked is not None:
            asked.release()
