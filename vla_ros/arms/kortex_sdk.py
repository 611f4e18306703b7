"""The vendor's SDK as one object, loaded when an arm is opened."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from types import ModuleType
from typing import Any

from vla_ros.arms import kortex_protobuf
from vla_ros.arms.kortex_protobuf import AGAIN, KortexSdkError


@dataclass(frozen=True)
class Sdk:
    """What the driver uses of `kortex_api`: its router, client stubs, exceptions and message modules, and the wheel's version.

    The SDK's own transports and its SessionManager are not used: see `kortex_transport` and `kortex_link` for why.
    """

    version: str
    RouterClient: Any
    SendOptions: Any
    ServerError: type[Exception]
    ClientError: type[Exception]
    SessionClient: Any
    BaseClient: Any
    BaseCyclicClient: Any
    ControlConfigClient: Any
    DeviceConfigClient: Any
    session: ModuleType
    base: ModuleType
    control: ModuleType
    common: ModuleType
    errors: ModuleType
    actuator: ModuleType


@cache
def load() -> Sdk:
    """The SDK. Raises KortexSdkError where the wheel is missing or not whole."""
    kortex_protobuf.install()
    router = _module("RouterClient")
    return Sdk(
        version=_version(),
        RouterClient=router.RouterClient,
        SendOptions=router.RouterClientSendOptions,
        ServerError=_module("Exceptions.KServerException").KServerException,
        ClientError=_module("Exceptions.KException").KException,
        session=_messages("Session"),
        base=_messages("Base"),
        control=_messages("ControlConfig"),
        common=_messages("Common"),
        errors=_messages("Errors"),
        actuator=_messages("ActuatorConfig"),
        **{f"{name}Client": _client(name) for name in _CLIENTS},
    )


_CLIENTS = ("Session", "Base", "BaseCyclic", "ControlConfig", "DeviceConfig")


def _version() -> str:
    try:
        return metadata.version("kortex_api")
    except (
        metadata.PackageNotFoundError
    ):  # the package was copied without its record: it works, only its version is not known
        return ""


def _messages(name: str) -> ModuleType:
    return _module(f"autogen.messages.{name}_pb2")


def _client(name: str) -> Any:
    return getattr(_module(f"autogen.client_stubs.{name}ClientRpc"), f"{name}Client")


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(f"kortex_api.{name}")
    except ModuleNotFoundError as error:
        raise KortexSdkError(
            f"kortex_api has no {name} ({error}): it is not whole, or of another kind. {AGAIN}"
        ) from error
