"""JPEG for many viewers: a frame is encoded once, by nobody while nobody looks, and each viewer gets the newest when it is ready."""

from __future__ import annotations

import asyncio
import contextlib
import io
import struct
from collections.abc import AsyncGenerator

import PIL.Image

from vla_ros.dashboard.slots import Picture, Slot
from vla_ros.values import Image

QUALITY = 85
STAND_BACK = 0.012
"""s for which a picture waits before it is made a JPEG: the policy thinks about the same one, and its step goes first."""
STAMP = struct.Struct(">Q")
"""The 8 bytes before a JPEG on the WebSocket: exposure in ns of Unix time, big-endian."""


class CrowdedError(Exception):
    """There are as many viewers as there may be. The text says how many."""


def jpeg(image: Image) -> bytes:
    """An RGB image (H, W, 3) uint8 as baseline JPEG."""
    out = io.BytesIO()
    PIL.Image.fromarray(image).save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


class Stream:
    """One camera's pictures for everybody who looks. It belongs to one event loop."""

    def __init__(self, slot: Slot[Picture], most: int = 16) -> None:
        self._slot, self._most = slot, most
        self._new = asyncio.Condition()
        self._packet, self._number = b"", 0
        self._task: asyncio.Task[None] | None = None
        self.viewers = self.encoded = 0

    async def watch(self) -> AsyncGenerator[bytes, None]:
        """Stamp and JPEG of the newest frame, again whenever the viewer asks for the next. Raises CrowdedError."""
        if self.viewers >= self._most:
            raise CrowdedError(f"{self.viewers} viewers of this camera already, which is all there may be")
        self.viewers += 1
        if self._task is None:
            self._packet = b""
            self._task = asyncio.create_task(self._encode())
        try:
            seen = self._number
            while True:
                async with self._new:
                    await self._new.wait_for(lambda: self._number > seen)  # noqa: B023  read while it waits
                    seen, packet = self._number, self._packet
                yield packet
        finally:
            self.viewers -= 1
            self._rest()

    def _rest(self) -> None:
        if not self.viewers and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _encode(self) -> None:
        loop, came = asyncio.get_running_loop(), asyncio.Event()
        leave = self._slot.listen(lambda: _tell(loop, came))
        try:
            while True:
                await came.wait()
                await asyncio.sleep(STAND_BACK)
                came.clear()
                picture = self._slot.get()
                if picture is not None:
                    await self._publish(picture)
        finally:
            leave()

    async def _publish(self, picture: Picture) -> None:
        data = await asyncio.to_thread(jpeg, picture.image)
        async with self._new:
            self._packet = STAMP.pack(picture.exposure) + data
            self._number += 1
            self.encoded += 1
            self._new.notify_all()


def _tell(loop: asyncio.AbstractEventLoop, came: asyncio.Event) -> None:
    """From another thread; a loop that has ended wants to hear nothing."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(came.set)
