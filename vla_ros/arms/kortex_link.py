"""One session with the arm: its transport, the SDK's router over it, and calls whose failure is a value.

Of the SDK's SessionManager only what it inherits is used (SessionClient: create, close, keep alive): it starts a
thread that sends KeepAlive whatever the control loop does, and with it a hung loop would keep the arm moving. Who
holds a link says when to keep it alive.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from concurrent.futures import TimeoutError as CallTimeout
from dataclasses import dataclass
from enum import Enum
from typing import Any

from google.protobuf.message import DecodeError

from vla_ros.arms import kortex_transport
from vla_ros.arms.arm import ArmError
from vla_ros.arms.kortex_sdk import Sdk
from vla_ros.config.schema import ArmConfig

log = logging.getLogger("kortex")


class Outcome(Enum):
    """How a call ended."""

    OK = "ok"
    TIMED_OUT = "no answer in time"
    REFUSED = "refused"
    LOST = "connection lost"
    LATE = "too late to be sent"


@dataclass(frozen=True)
class Answer:
    """What came of a call: the reply's message if `outcome` is OK; the vendor's name of the error if it is REFUSED; a
    text if it is not OK.
    """

    outcome: Outcome
    value: Any = None
    error: str = ""
    text: str = ""

    @property
    def ok(self) -> bool:
        """Whether the arm did it."""
        return self.outcome is Outcome.OK


IN_FAULT = frozenset({"ROBOT_IN_FAULT", "ROBOT_IN_EMERGENCY_STOP"})
"""Errors of an arm that does not move because of a fault: it is at rest."""


class Link:
    """A session over TCP (commands) or UDP (feedback). Calls of several threads go one after another."""

    def __init__(self, sdk: Sdk, lost: Callable[[str], None] | None = None) -> None:
        """`lost` is called once, from any thread, when the connection is gone and was not closed from here."""
        self._sdk = sdk
        self._lost = lost
        self._transport: kortex_transport.Transport | None = None
        self._router: Any = None
        self._calling = threading.Lock()
        self.lost_reason = ""
        """Why the connection is gone; empty while it is there."""
        self.session: Any = None
        self.base: Any = None
        self.cyclic: Any = None
        self.control: Any = None
        self.device: Any = None

    def open(self, config: ArmConfig, connection: float, udp: bool = False) -> None:
        """Connect and begin a session, whose motion the arm ends after `connection` s of silence. Raises ArmError."""
        port = config.feedback_port if udp else config.port
        make = kortex_transport.udp if udp else kortex_transport.tcp
        transport = make(self._gone)
        try:
            transport.connect(config.address, port, config.setup_timeout, unacknowledged=connection)
        except OSError as error:
            raise ArmError(_unreachable(config.address, port, error)) from error
        self._transport = transport
        self._make_clients(transport)
        answer = self.call(
            self.session.CreateSession, self._credentials(config, connection), timeout=config.setup_timeout
        )
        if not answer.ok:
            self._end(abort=True)
            raise ArmError(_no_session(config, port, udp, answer))

    def _make_clients(self, transport: kortex_transport.Transport) -> None:
        sdk = self._sdk
        self._router = sdk.RouterClient(transport, _ignore)
        # the SDK has one table of notifications for all routers of a process: two sessions would take each other's
        self._router.notificationService = {}
        self.session, self.base = sdk.SessionClient(self._router), sdk.BaseClient(self._router)
        self.cyclic, self.control = sdk.BaseCyclicClient(self._router), sdk.ControlConfigClient(self._router)
        self.device = sdk.DeviceConfigClient(self._router)

    def _credentials(self, config: ArmConfig, connection: float) -> Any:
        return self._sdk.session.CreateSessionInfo(
            username=config.user,
            password=config.password,
            session_inactivity_timeout=round(config.session * 1000),
            connection_inactivity_timeout=round(connection * 1000),
        )

    def call(
        self, method: Callable[..., Any], *message: Any, timeout: float, late: Callable[[], bool] | None = None
    ) -> Answer:
        """Call a method of a client of this link and wait at most `timeout` s for its answer (and as long for calls before it).

        Where `late`, asked right before it goes out, says so, it does not.
        """
        options = self._sdk.SendOptions()
        options.timeout_ms = timeout * 1000
        with self._calling:
            transport = self._transport
            if self.lost_reason or transport is None:
                return Answer(Outcome.LOST, text=self.lost_reason or "closed")
            transport.late = late
            try:
                return Answer(Outcome.OK, method(*message, options=options))
            except kortex_transport.LateError:
                self._forget()
                return Answer(Outcome.LATE, text=Outcome.LATE.value)
            except CallTimeout:
                self._forget()
                if self.lost_reason:
                    return Answer(Outcome.LOST, text=self.lost_reason)
                return Answer(Outcome.TIMED_OUT, text=f"no answer within {timeout * 1000:.0f} ms")
            except self._sdk.ServerError as error:
                return self._refusal(error)
            except (DecodeError, self._sdk.ClientError) as error:
                return Answer(Outcome.REFUSED, error="CLIENT", text=str(error).strip())
            except OSError as error:
                self._gone(f"sending failed: {error}")
                return Answer(Outcome.LOST, text=self.lost_reason)
            finally:
                transport.late = None

    def keep_alive(self, timeout: float) -> Answer:
        """Say that this session lives."""
        return self.call(self.session.KeepAlive, timeout=timeout)

    def _refusal(self, error: Any) -> Answer:
        """The vendor's names of what the arm says."""
        codes = self._sdk.errors
        name = _name(codes.SubErrorCodes, error.get_error_sub_code())
        kind = _name(codes.ErrorCodes, error.get_error_code())
        said = str(getattr(error, "description", "") or "").strip()
        return Answer(Outcome.REFUSED, error=name, text=f"{name} ({kind})" + (f": {said}" if said else ""))

    def _forget(self) -> None:
        """Drop the promises of answers that did not come: the SDK keeps each for ever. A late answer is dropped as unexpected."""
        handler = getattr(self._router, "frameHandler", None)
        if handler is not None:
            with handler.m_mutex:
                handler.framePromise.clear()

    def _gone(self, reason: str) -> None:
        if not self.lost_reason:
            self.lost_reason = reason
            if self._lost is not None:
                self._lost(reason)

    def give_up(self, reason: str) -> None:
        """Treat the connection as lost: nothing that is under way may still arrive."""
        self._gone(reason)
        self._end(abort=True)

    def close(self, timeout: float = 0.2) -> None:
        """End the session, if the arm still answers within `timeout` s, and the connection; bounded in time."""
        if self.session is not None and not self.lost_reason:
            self._lost = None  # the arm may close the connection with the session
            self.call(self.session.CloseSession, timeout=timeout)
        self._end(abort=bool(self.lost_reason))

    def _end(self, abort: bool) -> None:
        transport, self._transport = self._transport, None
        self.lost_reason = self.lost_reason or "closed"
        if transport is not None:
            transport.abort() if abort else transport.close()


def _ignore(error: Exception) -> None:
    """Late and doubled answers come here; the call that they belong to has ended."""


def _name(enum: Any, number: int) -> str:
    """The vendor's name of a number of an enum, or the number."""
    try:
        return str(enum.Name(number))
    except ValueError:
        return f"error {number}"


def _unreachable(address: str, port: int, error: OSError) -> str:
    """Why there is no connection, and what to do."""
    where = f"the arm at {address}:{port}"
    if isinstance(error, socket.gaierror):
        return f"{where}: {address!r} is no address of a host. Set arm.address to the arm's, as 192.168.1.10"
    if isinstance(error, ConnectionRefusedError):
        return (
            f"{where} refuses the connection: that host is up but nothing listens there. Is it the arm's address (arm.address), "
            "are the ports the arm's (arm.port, arm.feedback_port), and has the arm finished booting (about 30 s)?"
        )
    if isinstance(error, TimeoutError):
        return (
            f"{where} does not answer. Is the arm switched on, the cable in, arm.address right, and this computer's address in the "
            "same network (for example 192.168.1.11, mask 255.255.255.0)?"
        )
    return f"{where} cannot be reached: {error.strerror or error}. Check arm.address, the cable and this computer's network"


_WHY_NO_SESSION = {
    "INVALID_PASSWORD": "the password is wrong: set arm.password",
    "USER_NOT_FOUND": "there is no such user: set arm.user",
    "INVALID_USER_SESSION_ACCESS": "it lets no such session in: a former one may still be open (wait arm.session s), or "
    "deadlines.connection is too short for it",
}


def _no_session(config: ArmConfig, port: int, udp: bool, answer: Answer) -> str:
    """Why there is no session, and what to do."""
    where = f"the arm at {config.address}:{port}"
    if answer.outcome is Outcome.REFUSED:
        why = _WHY_NO_SESSION.get(answer.error, "")
        return f"{where} gives user {config.user!r} no session: {answer.text}" + (
            f". {why[0].upper()}{why[1:]}" if why else ""
        )
    if answer.outcome is Outcome.TIMED_OUT and not udp:
        return (
            f"{where} takes connections but does not answer in Kortex: {answer.text}. Is that another device (arm.address), or is "
            "the arm still booting?"
        )
    way = f"over UDP: is port {port} the arm's (arm.feedback_port), and does a firewall let it through?" if udp else ""
    return f"{where} gives no session: {answer.text}. {way}".strip()
