"""From a frame that came in to the frame that answers it."""

from __future__ import annotations

import logging
from collections.abc import Hashable

from google.protobuf.message import DecodeError

from vla_ros.twin.controller.calls import CALLS
from vla_ros.twin.controller.calls.call import Call
from vla_ros.twin.controller.errors import CallError
from vla_ros.twin.controller.robot import Robot
from vla_ros.twin.kortex import wire
from vla_ros.twin.kortex.codes import ErrorCodes, FrameTypes, SubErrorCodes
from vla_ros.twin.kortex.messages import METHODS, NAMED

log = logging.getLogger(__name__)

_CREATE = NAMED["Session.CreateSession"].uid
_SERVICES = {method.service for method in METHODS.values()}
_SERVER = ErrorCodes.ERROR_PROTOCOL_SERVER


def answer(robot: Robot, frame: wire.Frame, peer: Hashable, now: int) -> wire.Frame | None:
    """The answer to a frame of a connection, or None for one that wants none. Nothing that a peer sends makes it raise."""
    kind = frame.header.frame.type
    if kind == FrameTypes.MSG_FRAME_PING:
        info = wire.FrameInfo(FrameTypes.MSG_FRAME_PONG, frame.header.frame.device)
        return wire.Frame(
            wire.Header(info, frame.header.message, frame.header.service, frame.header.payload), frame.payload
        )
    if kind != FrameTypes.MSG_FRAME_REQUEST:
        return None  # an answer to an answer would have no end
    try:
        return _called(robot, frame, peer, now)
    except CallError as error:
        return wire.refusal(frame.header, error.error, error.sub_error, error.text)
    except Exception:
        log.exception("method %#x failed: this is a fault of the simulated controller", frame.header.service.uid)
        return wire.refusal(frame.header, ErrorCodes.ERROR_INTERNAL, SubErrorCodes.METHOD_FAILED, "internal error")


def _called(robot: Robot, frame: wire.Frame, peer: Hashable, now: int) -> wire.Frame:
    header, uid = frame.header, frame.header.service.uid
    method = METHODS.get(uid)
    if method is None:
        known = header.service.service in _SERVICES
        code = SubErrorCodes.UNSUPPORTED_METHOD if known else SubErrorCodes.UNSUPPORTED_SERVICE
        raise CallError(code, f"method {uid:#x}: not known here", _SERVER)
    try:
        request = method.request.FromString(frame.payload)
    except DecodeError as error:
        raise CallError(SubErrorCodes.PAYLOAD_DECODING_ERR, f"{method.name}: {error}", _SERVER) from None
    if uid == _CREATE:
        return wire.response(header, robot.sessions.create(request, peer, now).identifier)
    session = robot.sessions.find(header.message.session, peer, now)
    handler = CALLS.get(method.name)
    if handler is None:
        raise CallError(SubErrorCodes.UNIMPLEMENTED, f"{method.name}: not played by the simulated controller", _SERVER)
    reply = handler(robot, Call(session, request, now, header.frame.device, uid))
    payload = b"" if reply is None else reply.SerializeToString()
    return wire.response(header, session.identifier, payload)
