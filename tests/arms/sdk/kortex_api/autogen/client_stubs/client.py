"""Clients made of our table of methods, with the vendor's call signatures."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from kortex_api.RouterClient import RouterClient, RouterClientSendOptions
from vla_ros.twin.kortex.messages import METHODS, Method


def client(service: str) -> type:
    """The class of a service's client."""
    methods = {
        method.name.partition(".")[2]: method for method in METHODS.values() if method.name.startswith(f"{service}.")
    }
    names: dict[str, Any] = {"__init__": _init(next(iter(methods.values())).service), "_notified": _notified}
    for name, method in methods.items():
        names[f"OnNotification{name}" if method.notification else name] = _made(method)
    return type(f"{service}Client", (), names)


def _init(service: int) -> Callable[..., None]:
    def init(self: Any, router: RouterClient) -> None:
        self.router, self.topics = router, {}
        router.registerNotificationCallback(int(service), self._notified)

    return init


def _notified(self: Any, frame: Any) -> None:
    kind, callback = self.topics[frame.header.message.message]
    callback(kind.FromString(frame.payload))


def _made(method: Method) -> Callable[..., Any]:
    if method.notification is not None:
        return _topic(method)
    return _plain(method) if method.request.DESCRIPTOR.name == "Empty" else _with_request(method)


def _plain(method: Method) -> Callable[..., Any]:
    def call(self: Any, deviceId: int = 0, options: Any = RouterClientSendOptions()) -> Any:
        return _answer(self, method, None, deviceId, options)

    return call


def _with_request(method: Method) -> Callable[..., Any]:
    def call(self: Any, request: Any, deviceId: int = 0, options: Any = RouterClientSendOptions()) -> Any:
        return _answer(self, method, request.SerializeToString(), deviceId, options)

    return call


def _topic(method: Method) -> Callable[..., Any]:
    def call(
        self: Any, callback: Any, request: Any, deviceId: int = 0, options: Any = RouterClientSendOptions()
    ) -> Any:
        handle = _answer(self, method, request.SerializeToString(), deviceId, options)
        self.topics[handle.identifier] = (_theirs(method.notification), callback)
        return handle

    return call


def _answer(self: Any, method: Method, payload: bytes | None, device: int, options: Any) -> Any:
    frame = self.router.send(payload, method.uid, device).result(options.getTimeoutInSecond())
    return None if method.reply.DESCRIPTOR.name == "Empty" else _theirs(method.reply).FromString(frame.payload)


def _theirs(kind: Any) -> Any:
    """The class of the message modules for a class of ours."""
    file = kind.DESCRIPTOR.file.name.removesuffix(".proto")
    return getattr(importlib.import_module(f"kortex_api.autogen.messages.{file}_pb2"), kind.DESCRIPTOR.name)
