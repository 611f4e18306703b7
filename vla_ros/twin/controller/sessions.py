"""Who is connected: sessions by user and password, each on one connection, closed or called lapsed when it is silent.

Time-outs are those that a client names when it creates the session, in ms: after session_inactivity_timeout the session is closed,
after connection_inactivity_timeout the motion that it began ends (Session.proto); 0 is never (not verified on the arm).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

from vla_ros.clock import MILLISECOND
from vla_ros.twin.controller.errors import CallError
from vla_ros.twin.kortex.codes import ErrorCodes, SubErrorCodes

MOST = 10
"""Sessions at a time (not known of the arm)."""
_NUMBERS = 1 << 16


@dataclass
class Session:
    """One client's. `peer` is its connection; `last` when it was heard, ns."""

    identifier: int
    user: str
    peer: Hashable
    patience: float
    dead_man: float
    last: int

    def expired(self, now: int) -> bool:
        """Whether it was silent for so long that it is closed."""
        return now - self.last > self.patience

    def lapsed(self, now: int) -> bool:
        """Whether it was silent for so long that its motion ends."""
        return now - self.last > self.dead_man


class Sessions:
    """All that are open."""

    def __init__(self, user: str, password: str) -> None:
        self._user, self._password = user, password
        self._open: dict[int, Session] = {}
        self._newest = 0

    def __iter__(self) -> Iterator[Session]:
        """Every open session."""
        return iter(list(self._open.values()))

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    def __contains__(self, identifier: object) -> bool:
        """Whether a session of this number is open."""
        return identifier in self._open

    def create(self, info: Any, peer: Hashable, now: int) -> Session:
        """A new session for a CreateSessionInfo. Raises CallError for a wrong user or password and for one too many."""
        if info.username != self._user:
            raise CallError(SubErrorCodes.USER_NOT_FOUND, f"no user {info.username!r}")
        if info.password != self._password:
            raise CallError(SubErrorCodes.INVALID_PASSWORD, f"wrong password for user {info.username!r}")
        if len(self._open) >= MOST:
            raise CallError(SubErrorCodes.METHOD_FAILED, f"{MOST} sessions are open: close one")
        patience, dead_man = (
            _limit(ms) for ms in (info.session_inactivity_timeout, info.connection_inactivity_timeout)
        )
        session = Session(self._number(), info.username, peer, patience, dead_man, now)
        self._open[session.identifier] = session
        return session

    def _number(self) -> int:
        """A number that no open session has; 0 is none."""
        self._newest = next(n for n in _after(self._newest) if n not in self._open)
        return self._newest

    def find(self, identifier: int, peer: Hashable, now: int) -> Session:
        """The open session of this number, heard now. Raises CallError for none, and for one of another connection."""
        session = self._open.get(identifier)
        if session is None:
            text = f"session {identifier} is not open: create one"
            raise CallError(SubErrorCodes.INVALID_SESSION, text, ErrorCodes.ERROR_PROTOCOL_SERVER)
        if session.peer != peer:
            text = f"session {identifier} belongs to another connection"
            raise CallError(SubErrorCodes.INVALID_USER_SESSION_ACCESS, text, ErrorCodes.ERROR_PROTOCOL_SERVER)
        session.last = now
        return session

    def close(self, session: Session) -> None:
        """Forget it."""
        self._open.pop(session.identifier, None)

    def of(self, peer: Hashable) -> list[Session]:
        """The sessions of a connection."""
        return [session for session in self if session.peer == peer]


def _limit(milliseconds: int) -> float:
    return milliseconds * MILLISECOND if milliseconds else math.inf


def _after(number: int) -> Iterator[int]:
    while True:
        number = number + 1 if number + 1 < _NUMBERS else 1
        yield number
