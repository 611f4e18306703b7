"""Sessions, control and time-outs, over real sockets; what depends on time waits for it to happen and measures nothing."""

from __future__ import annotations

import socket
import time

import pytest

from tests.twin.controller.running import moving, still, wait_for
from tests.twin.controller.wire_client import Client, Refused
from vla_ros.twin import tasks
from vla_ros.twin.controller.sessions import MOST
from vla_ros.twin.kortex import codes, wire
from vla_ros.twin.kortex.codes import ErrorCodes, SubErrorCodes
from vla_ros.twin.kortex.messages import NAMED


def test_a_session_is_needed(arm):
    with Client(arm.port) as stranger, pytest.raises(Refused) as refused:
        stranger.feedback()
    assert (refused.value.error, refused.value.sub_error) == (
        ErrorCodes.ERROR_PROTOCOL_SERVER,
        SubErrorCodes.INVALID_SESSION,
    )


@pytest.mark.parametrize(
    ("user", "password", "code"),
    [("admin", "x", SubErrorCodes.INVALID_PASSWORD), ("root", "admin", SubErrorCodes.USER_NOT_FOUND)],
)
def test_a_wrong_name_or_password_is_refused(arm, user, password, code):
    with Client(arm.port) as stranger:
        with pytest.raises(Refused) as refused:
            stranger.login(user, password)
        assert (refused.value.error, refused.value.sub_error) == (ErrorCodes.ERROR_DEVICE, code)
        assert stranger.login().state() == codes.ArmState.ARMSTATE_SERVOING_READY


def test_sessions_have_numbers_of_their_own_and_cannot_be_borrowed(arm, client):
    with Client(arm.port).login() as other:
        assert other.session != client.session
        other.session = client.session
        with pytest.raises(Refused) as refused:
            other.state()
    assert refused.value.sub_error == SubErrorCodes.INVALID_USER_SESSION_ACCESS


def test_there_is_a_most_of_sessions(arm, client):
    others = [Client(arm.port).login() for _ in range(MOST - 1)]
    assert len(client.call("Session.GetConnections").connection) == MOST
    with Client(arm.port) as last, pytest.raises(Refused, match="close one"):
        last.login()
    others[0].call("Session.CloseSession")
    with Client(arm.port) as last:
        last.login()
    for other in others:
        other.socket.close()


def test_a_closed_session_is_gone(client):
    client.call("Session.KeepAlive")
    client.call("Session.CloseSession")
    with pytest.raises(Refused) as refused:
        client.call("Session.KeepAlive")
    assert refused.value.sub_error == SubErrorCodes.INVALID_SESSION


def test_a_silent_session_is_closed(arm):
    with Client(arm.port).login(session=50) as client:
        wait_for(lambda: len(arm.robot.sessions) == 0)
        with pytest.raises(Refused) as refused:
            client.state()
    assert refused.value.sub_error == SubErrorCodes.INVALID_SESSION


def test_a_silent_connection_stops_the_motion_that_its_session_began(arm):
    with Client(arm.port).login(connection=300) as client, Client(arm.port).login(connection=300) as other:
        client.twist(0, -0.1)
        wait_for(lambda: moving(arm))
        wait_for(lambda: still(arm))
        assert client.state() == codes.ArmState.ARMSTATE_SERVOING_READY  # the session itself lives on
        client.twist(0, 0.1)
        wait_for(lambda: moving(arm))
        assert other.session in arm.robot.sessions


def test_the_silence_of_another_session_stops_nothing(arm, client):
    with Client(arm.port).login(connection=50):
        client.twist(0, -0.02)
        for _ in range(20):
            client.call("Session.KeepAlive")
            time.sleep(0.02)
        assert moving(arm)


def test_keep_alive_defeats_the_time_out(arm):
    with Client(arm.port).login(connection=1000) as client:
        client.twist(0, -0.02)
        for _ in range(60):
            client.call("Session.KeepAlive")
            time.sleep(0.02)
        assert moving(arm)


@pytest.mark.parametrize("leave", [lambda c: c.call("Session.CloseSession"), lambda c: c.socket.close()])
def test_motion_ends_with_its_session_and_its_connection(arm, leave):
    client = Client(arm.port).login(connection=0)
    client.twist(0, -0.1)
    wait_for(lambda: moving(arm))
    leave(client)
    wait_for(lambda: still(arm) and len(arm.robot.sessions) == 0)
    client.socket.close()


def test_who_moves_the_arm_is_in_control_until_it_rests(arm, client):
    with Client(arm.port).login() as other:
        client.twist(0, -0.05)
        wait_for(lambda: moving(arm))
        for command in (lambda: other.twist(0, 0.05), lambda: other.grip(1.0), lambda: other.twist()):
            with pytest.raises(Refused) as refused:
                command()
            assert refused.value.sub_error == SubErrorCodes.SESSION_NOT_IN_CONTROL
        assert client.feedback().base.active_state_connection_identifier == client.session
        client.twist()
        wait_for(lambda: still(arm))
        other.twist(0, 0.05)
        assert other.feedback().base.active_state_connection_identifier == other.session


@pytest.mark.parametrize("call", ["Base.Stop", "Base.ApplyEmergencyStop"])
def test_every_session_may_stop_the_arm(arm, client, call):
    client.twist(0, -0.1)
    wait_for(lambda: moving(arm))
    with Client(arm.port).login() as other:
        other.call(call)
    wait_for(lambda: still(arm))


def test_one_that_came_and_went_hands_control_back(arm, client):
    with Client(arm.port).login() as other:
        other.twist(0, -0.1)
        wait_for(lambda: moving(arm))
    wait_for(lambda: still(arm))
    client.twist(0, 0.05)
    wait_for(lambda: moving(arm))


def test_unknown_methods_and_services_are_named(client):
    for uid, code in ((0x2FFFE, SubErrorCodes.UNSUPPORTED_METHOD), (0x630001, SubErrorCodes.UNSUPPORTED_SERVICE)):
        client.number += 1
        client.send(wire.request(uid, client.session, client.number))
        frame = client.receive()
        assert frame.header.frame.sub_error == code
        assert frame.header.message.message == client.number


def test_every_method_of_the_wire_is_answered_or_refused_with_a_reason(arm):
    with Client(arm.port).login() as client:
        outcome = {}
        for name in sorted(set(NAMED) - {"Session.CreateSession", "Session.CloseSession"}):
            outcome[name] = client.outcome(name)
    assert ErrorCodes.ERROR_INTERNAL not in {error for error, _ in outcome.values()}, outcome
    unplayed = {name for name, (_, code) in outcome.items() if code == SubErrorCodes.UNIMPLEMENTED}
    assert unplayed <= {
        "ControlConfig.GetControlMode",
        "Base.SendGripperCommand",
        "Base.GetMeasuredGripperMovement",
    }


def test_a_ping_is_answered_and_an_answer_is_not(client):
    info = wire.FrameInfo(codes.FrameTypes.MSG_FRAME_RESPONSE)
    client.send(wire.Frame(wire.Header(info, wire.MessageInfo(client.session, 77))))
    info = wire.FrameInfo(codes.FrameTypes.MSG_FRAME_PING)
    client.send(wire.Frame(wire.Header(info, wire.MessageInfo(client.session, 78))))
    frame = client.receive()
    assert frame.header.frame.type == codes.FrameTypes.MSG_FRAME_PONG
    assert frame.header.message.message == 78


def test_a_payload_that_is_no_message_is_refused(client):
    client.number += 1
    client.send(wire.request(NAMED["Base.SendTwistCommand"].uid, client.session, client.number, b"\xff\xff\xff"))
    assert client.receive().header.frame.sub_error == SubErrorCodes.PAYLOAD_DECODING_ERR


def test_frames_come_in_pieces_or_several_at_once(client):
    client.post("Base.GetArmState")
    one = wire.wrap(wire.encode(wire.request(NAMED["Base.GetArmState"].uid, client.session, 500)))
    for byte in one:
        client.socket.sendall(bytes([byte]))
    client.socket.sendall(one + one)
    assert [client.receive().header.message.message for _ in range(4)] == [client.number, 500, 500, 500]


def test_a_port_that_is_taken_is_named():
    from vla_ros.clock import MonotonicClock
    from vla_ros.config import load
    from vla_ros.twin.controller.robot import Robot
    from vla_ros.twin.controller.server import KortexServer, PortTakenError

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"TCP 127.0.0.1:{port}.*arm.port"):
            KortexServer(Robot(load()), "127.0.0.1", port, 0, MonotonicClock()).start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"UDP 127.0.0.1:{port}.*arm.feedback_port"):
            KortexServer(Robot(load()), "127.0.0.1", 0, port, MonotonicClock()).start()


def test_a_client_that_does_not_read_is_cut_off_and_others_go_on(arm, client):
    with Client(arm.port).login() as deaf:
        request = wire.wrap(wire.encode(wire.request(NAMED["BaseCyclic.RefreshFeedback"].uid, deaf.session, 1)))
        deaf.socket.settimeout(0.2)
        with pytest.raises(OSError):
            _flood(deaf.socket, request)
        wait_for(lambda: deaf.session not in arm.robot.sessions)
    assert client.state() == codes.ArmState.ARMSTATE_SERVOING_READY


def _flood(connection: socket.socket, request: bytes) -> None:
    for _ in range(200000):
        connection.sendall(request * 50)


def test_a_twist_of_the_past_does_not_outlive_a_reset(arm, client):
    client.twist(0, -0.1)
    wait_for(lambda: moving(arm))
    with arm.halted():
        client.twist(0, -0.1)
        arm.twin.reset(tasks.sample(5), arm.twin.now)
    wait_for(lambda: still(arm))
    time.sleep(0.2)
    assert still(arm)
