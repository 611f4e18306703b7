"""What is wrong with the connections on demand; and garbage from clients, which takes nobody down."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.twin.controller.running import Running, moving, running_controller, still, wait_for
from tests.twin.controller.wire_client import Client
from vla_ros.twin.controller.dispatch import answer
from vla_ros.twin.kortex import wire
from vla_ros.twin.kortex.codes import ArmState, ErrorCodes
from vla_ros.twin.kortex.messages import METHODS, NAMED


@pytest.fixture(scope="module")
def sturdy() -> Iterator[Running]:
    """One controller that all the garbage of this file is thrown at."""
    with running_controller() as running:
        yield running


def test_a_frozen_controller_answers_nothing_and_its_time_out_stops_the_arm(arm):
    with Client(arm.port, patience=0.3).login(connection=500) as client:
        client.twist(0, -0.1)
        wait_for(lambda: moving(arm))
        arm.faults.freeze = True
        with pytest.raises(TimeoutError):
            client.state()
        wait_for(lambda: still(arm))
        arm.faults.freeze = False
        client.socket.settimeout(10)
        assert client.receive().payload  # what was asked meanwhile
        client.call("Session.KeepAlive")


def test_a_mute_controller_obeys(arm):
    with Client(arm.port, patience=0.3).login() as client:
        arm.faults.mute = True
        with pytest.raises(TimeoutError):
            client.twist(0, -0.1)
        wait_for(lambda: moving(arm))


def test_half_open_tcp_is_silent_while_udp_goes_on(arm):
    with Client(arm.port, patience=0.3).login() as client, Client(arm.feedback_port, "udp").login() as cyclic:
        arm.faults.half_open = True
        for _ in range(3):
            with pytest.raises(TimeoutError):
                client.state()
        with Client(arm.port, patience=0.3) as late, pytest.raises(TimeoutError):
            late.login()
        assert cyclic.feedback().actuators
        arm.faults.half_open = False
        client.socket.settimeout(10)
        assert client.state() == ArmState.ARMSTATE_SERVOING_READY


def test_udp_replies_are_lost(arm):
    with Client(arm.feedback_port, "udp", patience=0.3).login() as client:
        arm.faults.udp_loss = 1.0
        with pytest.raises(TimeoutError):
            client.feedback()
        arm.faults.udp_loss = 0.0
        assert client.feedback().actuators


def test_udp_replies_come_twice(arm):
    with Client(arm.feedback_port, "udp").login() as client:
        arm.faults.udp_double = 1.0
        client.post("BaseCyclic.RefreshFeedback")
        assert client.receive() == client.receive()


def test_udp_replies_come_late_and_in_order(arm):
    with Client(arm.feedback_port, "udp", patience=0.1).login() as client:
        arm.faults.udp_delay = 0.4
        first = client.number + 1
        for _ in range(3):
            client.post("BaseCyclic.RefreshFeedback")
        with pytest.raises(TimeoutError):
            client.receive()
        client.socket.settimeout(10)
        assert [client.receive().header.message.message for _ in range(3)] == [first, first + 1, first + 2]


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_garbage_comes_before_the_replies(arm, transport):
    with Client(arm.port if transport == "tcp" else arm.feedback_port, transport).login() as client:
        arm.faults.garbage = 1.0
        assert client.feedback().actuators
        assert client.faults


def test_faults_are_dealt_alike_from_the_same_dice(arm):
    from vla_ros.twin.controller.wire_faults import WireFaults

    def dealt() -> list[int]:
        faults = WireFaults(udp_loss=0.3, udp_double=0.3, dice=random.Random(4))
        return [len(faults.datagrams(b"x", 0)) for _ in range(100)]

    assert dealt() == dealt()
    assert set(dealt()) == {0, 1, 2}


def alive(arm: Running) -> None:
    """A newcomer is served on both ports."""
    for port, transport in ((arm.port, "tcp"), (arm.feedback_port, "udp")):
        with Client(port, transport).login() as client:
            assert len(client.feedback().actuators) == 7
            client.call("Session.CloseSession")


frames = st.builds(
    wire.Frame,
    st.builds(
        wire.Header,
        st.builds(wire.FrameInfo, st.integers(0, 15), st.integers(0, 255), version=st.integers(0, 15)),
        st.builds(wire.MessageInfo, st.integers(0, 65535), st.integers(0, 65535)),
        st.sampled_from([wire.ServiceInfo.method(uid) for uid in METHODS])
        | st.builds(wire.ServiceInfo, st.integers(0, 4095)),
        st.builds(wire.PayloadInfo, st.integers(0, 300)),
    ),
    st.binary(max_size=300),
)
garbage = st.one_of(
    st.binary(min_size=1, max_size=400),
    frames.map(wire.encode),
    frames.map(lambda frame: wire.wrap(wire.encode(frame))),
    st.integers(0, 2**32 - 1).map(lambda length: wire.MAGIC + length.to_bytes(4, "big")),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(garbage, min_size=1, max_size=8))
def test_garbage_over_tcp_and_udp_kills_nothing(sturdy, pieces):
    with Client(sturdy.port).login() as witness, Client(sturdy.port) as tcp:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for piece in pieces:
            tcp.socket.sendall(piece)
            udp.sendto(piece, ("127.0.0.1", sturdy.feedback_port))
        udp.close()
        assert witness.state() == ArmState.ARMSTATE_SERVOING_READY
        witness.call("Session.CloseSession")
    wait_for(lambda: len(sturdy.robot.sessions) == 0)
    alive(sturdy)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(set(NAMED) - {"Session.CreateSession", "Session.CloseSession"})), st.binary(max_size=200))
def test_no_payload_is_a_fault_of_the_controller(sturdy, name, payload):
    with sturdy.robot.lock:
        create = wire.request(NAMED["Session.CreateSession"].uid, 0, 1, b"\x0a\x05admin\x1a\x05admin")
        session = answer(sturdy.robot, create, "here", 0).header.message.session
        reply = answer(sturdy.robot, wire.request(NAMED[name].uid, session, 2, payload), "here", 0)
        sturdy.robot.disconnected("here")
        sturdy.robot.clear_faults()
    assert reply.header.frame.error != ErrorCodes.ERROR_INTERNAL


@st.composite
def filled(draw, name: str):
    """A request of the method with any numbers in its fields, as deep as they go."""
    return _fill(draw, NAMED[name].request, 0)


def _fill(draw, kind, depth):
    from google.protobuf.descriptor import FieldDescriptor
    from google.protobuf.message_factory import GetMessageClass

    message = kind()
    for field in kind.DESCRIPTOR.fields:
        if not draw(st.booleans()):
            continue
        count = draw(st.integers(0, 8)) if field.is_repeated else 1
        for _ in range(count):
            if field.message_type is not None:
                value = _fill(draw, GetMessageClass(field.message_type), depth + 1)
                if field.is_repeated:
                    getattr(message, field.name).append(value)
                else:
                    getattr(message, field.name).CopyFrom(value)
                continue
            if field.type == FieldDescriptor.TYPE_FLOAT:
                value = draw(st.floats(width=32) | st.sampled_from([0.0, 1.0, -1.0, 1e38]))
            elif field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
                value = "text" if field.type == FieldDescriptor.TYPE_STRING else b"bytes"
            elif field.type == FieldDescriptor.TYPE_BOOL:
                value = draw(st.booleans())
            else:
                value = draw(st.integers(0, 12))
            if field.is_repeated:
                getattr(message, field.name).append(value)
            else:
                setattr(message, field.name, value)
    return message


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.data())
def test_no_message_is_a_fault_of_the_controller_nor_makes_the_arm_not_finite(sturdy, data):
    name = data.draw(st.sampled_from(sorted(set(NAMED) - {"Session.CreateSession"})))
    request = data.draw(filled(name))
    with Client(sturdy.port).login() as client:
        error, _ = client.outcome(name, request)
        assert error != ErrorCodes.ERROR_INTERNAL
        if client.session in sturdy.robot.sessions:
            client.call("Base.ClearFaults")
            mode = NAMED["Base.SetServoingMode"].request(servoing_mode=2)
            wait_for(lambda: not sturdy.robot.actions.moving or client.call("Base.Stop") is None)
            client.call("Base.SetServoingMode", mode)
    assert sturdy.robot.measured.state.is_finite()
