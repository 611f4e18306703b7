"""Session: who is connected. CreateSession is answered before there is a session; see dispatch."""

from __future__ import annotations

from typing import Any

from vla_ros.twin.controller.calls.call import Call, Handler
from vla_ros.twin.controller.robot import Robot
from vla_ros.twin.kortex.messages import Session


def close_session(robot: Robot, call: Call) -> None:
    """The session's motion and subscriptions end with it."""
    robot.end_session(call.session)


def keep_alive(robot: Robot, call: Call) -> None:
    """Every call keeps a session alive; this one does nothing else."""


def get_connections(robot: Robot, call: Call) -> Any:
    """Every open session."""
    reply = Session.ConnectionList()
    for session in robot.sessions:
        reply.connection.add(connection_identifier=session.identifier, connection_information=_said(session.peer))
    return reply


def _said(peer: object) -> str:
    """A connection in words: tcp 127.0.0.1:55668."""
    if isinstance(peer, tuple) and len(peer) == 3:
        return f"{peer[0]} {peer[1]}:{peer[2]}"
    return str(peer)


CALLS: dict[str, Handler] = {
    "Session.CloseSession": close_session,
    "Session.KeepAlive": keep_alive,
    "Session.GetConnections": get_connections,
}
