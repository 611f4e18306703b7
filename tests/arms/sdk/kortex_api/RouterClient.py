"""Calls over a transport: as in the vendor's SDK, promises of answers that never come stay, and one table of
notifications serves all.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from kortex_api.Exceptions.KClientException import KClientException
from kortex_api.Exceptions.KServerException import KServerException
from vla_ros.twin.kortex import wire
from vla_ros.twin.kortex.codes import FrameTypes
from vla_ros.twin.kortex.messages import Api


class RouterClientSendOptions:
    """How long to wait for an answer."""

    def __init__(self) -> None:
        self.andForget = False
        self.delay_ms = 0
        self.timeout_ms: float = 10000

    def getTimeoutInSecond(self) -> float:
        """The same in s."""
        return self.timeout_ms / 1000


class FrameHandler:
    """The promises of answers, by the number of the message."""

    def __init__(self) -> None:
        self.framePromise: dict[int, Future[Any]] = {}
        self.m_mutex = threading.Lock()
        self.currentFrameId = 0
        self.sessionId = 0


class RouterClient:
    """Sends requests and hands out answers and notifications."""

    notificationService: dict[int, Callable[[Any], None]] = {}

    def __init__(self, transport: Any, errorCallback: Callable[[Exception], None] | None = None) -> None:
        self.transport = transport
        self.errorCallback = errorCallback or print
        self.frameHandler = FrameHandler()
        transport.registerOnFrameCallback(self.onFrameCallback)

    def send(self, payloadData: bytes | None, uid: int, deviceId: int) -> Future[Any]:
        """Send a request: the promise of its answer."""
        handler, promise = self.frameHandler, Future[Any]()
        with handler.m_mutex:
            handler.currentFrameId = (handler.currentFrameId + 1) % 0x10000
            number = handler.currentFrameId
            handler.framePromise[number] = promise
        try:
            self.transport.send(wire.encode(wire.request(uid, handler.sessionId, number, payloadData or b"", deviceId)))
        except OSError:
            with handler.m_mutex:
                handler.framePromise.pop(number, None)
            raise
        return promise

    def onFrameCallback(self, databuffer: bytes) -> None:
        """A frame came in."""
        frame = wire.decode(databuffer)
        if isinstance(frame, wire.Fault):
            self.errorCallback(KClientException(frame.code, frame.text))
        elif frame.header.frame.type == FrameTypes.MSG_FRAME_NOTIFICATION:
            self.notificationService[frame.header.service.service](frame)
        else:
            self._answered(frame)

    def _answered(self, frame: wire.Frame) -> None:
        handler = self.frameHandler
        with handler.m_mutex:
            handler.sessionId = frame.header.message.session
            promise = handler.framePromise.pop(frame.header.message.message, None)
        if promise is None:
            self.errorCallback(KClientException(14, "Unexpected frame received from server"))
        elif frame.header.frame.error:
            error = Api.Error.FromString(frame.payload)
            promise.set_exception(KServerException(error.error_code, error.error_sub_code, error.error_sub_string))
        else:
            promise.set_result(frame)

    def registerNotificationCallback(self, serviceId: int, notificationService: Callable[[Any], None]) -> None:
        """Notifications of a service go there."""
        self.notificationService[serviceId] = notificationService
