"""Topics: who wants to be told of what. The robot notifies of events only (Common.proto says so of its own firmware)."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from vla_ros.twin.controller.sessions import Session
from vla_ros.twin.kortex import wire
from vla_ros.twin.kortex.messages import NAMED


@dataclass(frozen=True)
class Notice:
    """A notification for one connection."""

    peer: Hashable
    frame: wire.Frame


class Topics:
    """Subscriptions, and the notices that are to be sent."""

    def __init__(self) -> None:
        self._subscribed: dict[int, tuple[int, Session]] = {}  # by handle: the topic's method, who
        self._newest = 0
        self._outbox: list[Notice] = []

    def subscribe(self, uid: int, session: Session) -> int:
        """The handle of a new subscription."""
        self._newest = self._newest % 0xFFFF + 1  # a notification has 16 bits for it
        self._subscribed[self._newest] = uid, session
        return self._newest

    def unsubscribe(self, handle: int, session: Session) -> bool:
        """Whether this session had such a subscription, which is gone now."""
        known = self._subscribed.get(handle)
        if known is None or known[1] is not session:
            return False
        del self._subscribed[handle]
        return True

    def forget(self, session: Session) -> None:
        """Drop every subscription of a session."""
        self._subscribed = {handle: known for handle, known in self._subscribed.items() if known[1] is not session}

    def tell(self, name: str, message: Any) -> None:
        """Notify everybody who subscribed to the topic of this name (`Base.ActionTopic`)."""
        topic, payload = NAMED[name].uid, message.SerializeToString()
        for handle, (uid, session) in self._subscribed.items():
            if uid == topic:
                frame = wire.notification(uid, session.identifier, handle, payload)
                self._outbox.append(Notice(session.peer, frame))

    def take(self) -> list[Notice]:
        """The notices that were not taken yet."""
        outbox, self._outbox = self._outbox, []
        return outbox
