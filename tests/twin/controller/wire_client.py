"""A client of the Kortex wire with blocking sockets: what the vendor's SDK does, without it."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from vla_ros.twin.controller import units
from vla_ros.twin.controller.settings import TWIN_TOOL
from vla_ros.twin.kortex import codes, wire
from vla_ros.twin.kortex.messages import NAMED, Api, Base, Common, ControlConfig, Session

PATIENCE = 5.0
"""s, for a loaded machine; never measured."""


class Refused(Exception):  # noqa: N818 - what the arm did
    """A call failed: with these codes and this text."""

    def __init__(self, header: wire.Header, text: str) -> None:
        super().__init__(f"{codes.SubErrorCodes(header.frame.sub_error).name}: {text}")
        self.error = codes.ErrorCodes(header.frame.error)
        self.sub_error = codes.SubErrorCodes(header.frame.sub_error)


class Client:
    """One connection, "tcp" or "udp". Notifications that arrive with answers are kept in `notices`."""

    def __init__(self, port: int, transport: str = "tcp", patience: float = PATIENCE) -> None:
        kind = socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM
        self.tcp, self.session, self.number = transport == "tcp", 0, 0
        self.notices: deque[wire.Frame] = deque()
        self.faults: list[wire.Fault] = []
        self._frames: deque[wire.Frame] = deque()
        self._stream = wire.Stream()
        self.socket = socket.socket(socket.AF_INET, kind)
        self.socket.settimeout(patience)
        self.socket.connect(("127.0.0.1", port))
        if self.tcp:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def login(
        self, user: str = "admin", password: str = "admin", session: int = 60000, connection: int = 2000
    ) -> Client:
        """Create a session; ms of its two time-outs."""
        info = Session.CreateSessionInfo(
            username=user,
            password=password,
            session_inactivity_timeout=session,
            connection_inactivity_timeout=connection,
        )
        self.call("Session.CreateSession", info)
        return self

    def call(self, name: str, request: Any = None, device: int = 0) -> Any:
        """The reply of a method. Raises Refused, and TimeoutError for none."""
        self.post(name, request, device)
        return self.answer(name)

    def outcome(self, name: str, request: Any = None) -> tuple[codes.ErrorCodes, codes.SubErrorCodes]:
        """With which codes a method was answered."""
        try:
            self.call(name, request)
        except Refused as refused:
            return refused.error, refused.sub_error
        return codes.ErrorCodes.ERROR_NONE, codes.SubErrorCodes.SUB_ERROR_NONE

    def post(self, name: str, request: Any = None, device: int = 0) -> None:
        """Call and go on."""
        self.number = (self.number + 1) % 65536
        payload = b"" if request is None else request.SerializeToString()
        self.send(wire.request(NAMED[name].uid, self.session, self.number, payload, device))

    def answer(self, name: str) -> Any:
        """What the newest call of this method gave."""
        while True:
            frame = self.receive()
            if frame.header.frame.type == codes.FrameTypes.MSG_FRAME_NOTIFICATION:
                self.notices.append(frame)
            elif frame.header.message.message == self.number:
                return self._judged(name, frame)

    def _judged(self, name: str, frame: wire.Frame) -> Any:
        if frame.header.frame.error:
            raise Refused(frame.header, Api.Error.FromString(frame.payload).error_sub_string)
        self.session = self.session or frame.header.message.session
        return NAMED[name].reply.FromString(frame.payload)

    def send(self, frame: wire.Frame) -> None:
        """One frame."""
        data = wire.encode(frame)
        self.socket.sendall(wire.wrap(data) if self.tcp else data)

    def receive(self) -> wire.Frame:
        """The next frame; what is none is kept in `faults`. Raises TimeoutError, and ConnectionError at the end."""
        while not self._frames:
            data = self.socket.recv(1 << 16)
            if self.tcp and not data:
                raise ConnectionError("the controller has closed the connection")
            for frame in self._stream.feed(data) if self.tcp else [wire.decode(data)]:
                (self.faults if isinstance(frame, wire.Fault) else self._frames).append(frame)  # type: ignore[arg-type]
        return self._frames.popleft()

    def notice(self, topic: str) -> Any:
        """The next notification of a topic."""
        while True:
            frame = self.notices.popleft() if self.notices else self.receive()
            if frame.header.service.uid == NAMED[topic].uid:
                return NAMED[topic].notification.FromString(frame.payload)

    def subscribe(self, topic: str) -> int:
        """The handle of a subscription."""
        options = Common.NotificationOptions(type=codes.NotificationType.NOTIFICATION_TYPE_EVENT)
        handle: int = self.call(topic, options).identifier
        return handle

    def twist(self, *velocity: float, frame: str = "BASE") -> None:
        """Move the tool: m/s and degrees per second; missing numbers are zero."""
        self.call("Base.SendTwistCommand", twist(*velocity, frame=frame))

    def grip(self, value: float, mode: str = "POSITION") -> None:
        """Move the fingers."""
        command = Base.GripperCommand(mode=codes.GripperMode[f"GRIPPER_{mode}"])
        command.gripper.finger.add(finger_identifier=1, value=value)
        self.call("Base.SendGripperCommand", command)

    def feedback(self) -> Any:
        """Everything measured."""
        return self.call("BaseCyclic.RefreshFeedback")

    def state(self) -> codes.ArmState:
        """What the arm is doing."""
        return codes.ArmState(self.call("Base.GetArmState").active_state)


def twist(*velocity: float, frame: str = "BASE") -> Any:
    """A TwistCommand of m/s and degrees per second; missing numbers are zero."""
    command = Base.TwistCommand(reference_frame=codes.CartesianReferenceFrame[f"CARTESIAN_REFERENCE_FRAME_{frame}"])
    names = ("linear_x", "linear_y", "linear_z", "angular_x", "angular_y", "angular_z")
    for name, value in zip(names, velocity, strict=False):
        setattr(command.twist, name, value)
    return command


def refused(code: codes.SubErrorCodes, do: Callable[..., Any], *arguments: Any, **options: Any) -> None:
    """The call is refused with this code."""
    with pytest.raises(Refused) as caught:
        do(*arguments, **options)
    assert caught.value.sub_error == code, str(caught.value)


def set_our_tool(client: Client) -> None:
    """Let pose and twist be of the twin's own tool point."""
    tool = ControlConfig.ToolConfiguration(tool_mass=0.997)
    units.set_pose(tool.tool_transform, TWIN_TOOL)
    client.call("ControlConfig.SetToolConfiguration", tool)
