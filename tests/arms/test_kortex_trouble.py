"""The driver against a controller that is wrong, that breaks, that others use: each is named, and the arm stands still."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import pytest

from tests.arms import standin
from tests.arms.driving import (
    REST,
    changed,
    drive,
    drive_until,
    fault_of,
    healthy,
    look,
    moves,
    now,
    opened,
    orders_of,
    rests,
    set_going,
    sets_moving,
    twist,
    until,
)
from tests.twin.controller.running import running_controller
from tests.twin.controller.wire_client import Client
from vla_ros.arms.arm import ArmError
from vla_ros.arms.kortex import KortexArm
from vla_ros.arms.kortex_operator import Operator
from vla_ros.arms.kortex_stopper import KortexStopper
from vla_ros.arms.kortex_transport import Transport
from vla_ros.twin.controller.orders import Stop
from vla_ros.twin.controller.product import Product
from vla_ros.twin.kortex.codes import SafetyIdentifier, SafetyIdentifierBankA, SubErrorCodes
from vla_ros.twin.kortex.messages import Base

pytestmark = pytest.mark.usefixtures("kortex_sdk")


def complaint(config) -> str:
    """Why the arm cannot be opened."""
    arm = KortexArm(config, say=lambda text: None)
    with pytest.raises(ArmError) as raised:
        arm.open()
    arm.close()
    return str(raised.value)


def test_a_port_where_nobody_listens_is_said(running):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    said = complaint(changed(running.config, port=port))
    assert f"127.0.0.1:{port} refuses the connection" in said
    assert "arm.address" in said


def test_an_address_that_is_none_is_said(running):
    assert "no address of a host" in complaint(changed(running.config, address="no-such-host.invalid"))


def test_a_host_that_speaks_something_else_is_said(running):
    with socket.create_server(("127.0.0.1", 0)) as other:
        config = changed(running.config, port=other.getsockname()[1], setup_timeout=0.5)
        assert "does not answer in Kortex" in complaint(config)


def test_a_wrong_port_of_feedback_is_said(running):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        config = changed(running.config, feedback_port=other.getsockname()[1], setup_timeout=0.5)
        said = complaint(config)
    assert "arm.feedback_port" in said
    until(lambda: len(running.robot.sessions) == 0)


def test_a_wrong_password_and_user_are_told_apart(running):
    assert "INVALID_PASSWORD" in (said := complaint(changed(running.config, password="wrong")))
    assert "arm.password" in said
    assert "USER_NOT_FOUND" in (said := complaint(changed(running.config, user="nobody")))
    assert "arm.user" in said


@pytest.mark.parametrize(
    ("product", "said"),
    [
        (Product(actuators=6), "6 actuators"),
        (Product(gripper=False), "no gripper"),
        (Product(firmware="3.1.0"), "different major versions"),
    ],
)
def test_another_arm_is_refused(product, said):
    with running_controller(product=product) as running:
        assert said in complaint(running.config)
        until(lambda: len(running.robot.sessions) == 0)


def test_another_minor_version_is_noted_and_works():
    with running_controller(product=Product(firmware="2.3.0-r.1")) as running, opened(running.config) as arm:
        assert any("minor" in note for note in arm.notes)
        assert look(arm).fault == ""


def test_a_second_client_in_control_is_said_and_nothing_moves_for_us(running, arm):
    with Operator(running.config, say=lambda text: None) as other:
        other.open(configure=False)
        other._send(twist(y=0.02))
        assert moves(running)
        drive(arm, twist(y=-0.05), 0.1)
        assert "another client moves the arm" in fault_of(arm, "SESSION_NOT_IN_CONTROL")
        other.stop()
    until(lambda: not drive(arm, twist(y=-0.02), 0.05)[-1].fault)


def test_a_stop_reaches_an_arm_that_another_client_moves(running, arm):
    with Operator(running.config, say=lambda text: None) as other:
        other.open(configure=False)
        other._send(twist(y=0.02))
        assert moves(running)
        arm.stop(now())
        assert rests(running)


def test_a_mode_that_another_session_changes_is_said(running, arm):
    with Client(running.port) as other:
        other.login()
        other.call("Base.SetServoingMode", Base.ServoingModeInformation(servoing_mode=3))
        assert fault_of(arm, "LOW_LEVEL")
        until(lambda: running.robot.resting)
        other.call("Base.SetServoingMode", Base.ServoingModeInformation(servoing_mode=2))
        assert healthy(arm)


def test_faults_have_names_and_stay_until_somebody_clears_them(running, arm):
    set_going(running, arm, twist(y=0.03))
    running.fault(SafetyIdentifier.MAXIMUM_CORE_TEMPERATURE)
    running.fault(joint=2, bits=SafetyIdentifierBankA.MAXIMUM_TORQUE | 0x80000000)
    text = fault_of(arm, "base: MAXIMUM_CORE_TEMPERATURE", "joint 3: MAXIMUM_TORQUE, 0x80000000")
    assert text.startswith("the arm is in fault")
    assert rests(running)
    drive(arm, twist(y=0.03), 0.3)
    assert rests(running)
    assert look(arm).fault
    with Operator(running.config, say=lambda text: None) as operator:
        operator.open(configure=False)
        assert operator.clear_faults().fault == ""
    assert healthy(arm)


def test_an_sdk_that_raises_whatever_it_likes_does_not_silence_the_driver(running, arm):
    set_going(running, arm, twist(y=0.03))

    def broken(*given, **named):
        raise AttributeError("of another version")

    arm._connection.motion.base.SendTwistCommand = broken
    drive(arm, twist(y=0.03), 0.1)
    assert "AttributeError while command was sent: of another version" in fault_of(arm, "connection to the arm lost")
    assert rests(running)
    assert healthy(arm)
    set_going(running, arm, twist(y=-0.03))


def test_a_stop_that_was_not_taken_is_the_first_word_of_the_next_session(running, arm):
    set_going(running, arm, twist(y=0.03))
    taken = orders_of(running)
    running.faults.half_open = True
    arm.stop(now())
    assert fault_of(arm, "a Stop was not taken")
    running.faults.half_open = False
    assert healthy(arm)
    until(lambda: any(isinstance(o, Stop) and o.reason == SubErrorCodes.CONTROL_MANUAL_STOP for o in taken), "a Stop")
    assert not any(sets_moving(order) for order in taken)


def test_an_emergency_stop_is_said_and_stopping_then_is_no_trouble(running, arm):
    set_going(running, arm, twist(y=0.03))
    running.robot.emergency_stop(held=True)
    assert fault_of(arm, "EMERGENCY_STOP_ACTIVATED")
    arm.stop(now())
    drive(arm, REST, 0.2)
    assert "connection" not in look(arm).fault
    with Operator(running.config, say=lambda text: None) as operator:
        operator.open(configure=False)
        with pytest.raises(ArmError, match="a fault stays"):
            operator.clear_faults()
        running.robot.release()
        operator.clear_faults()
    assert healthy(arm)


def test_an_arm_in_fault_is_opened_and_set_up_once_it_is_cleared(running):
    running.robot.emergency_stop()
    with opened(running.config) as arm:
        assert "EMERGENCY_STOP_ACTIVATED" in look(arm).fault
        with Client(running.port) as other:
            other.login().call("Base.ClearFaults")
        assert healthy(arm)
        set_going(running, arm, twist(y=0.05))


def test_a_connection_that_the_arm_closes_in_motion_is_made_anew(running, arm):
    set_going(running, arm, twist(y=0.05))
    cut(running)
    assert fault_of(arm, "connection to the arm lost")
    assert rests(running)
    assert healthy(arm)
    drive(arm, REST, 0.2)
    assert rests(running)
    set_going(running, arm, twist(y=-0.05))


def cut(running) -> None:
    """Close every TCP connection from the arm's side."""
    for connection in list(running.server._connections.values()):
        connection.socket.shutdown(socket.SHUT_RDWR)


def test_an_arm_that_freezes_in_motion_is_given_up_and_found_again(running, arm):
    set_going(running, arm, twist(y=0.05))
    running.faults.freeze = True
    drive_until(arm, twist(y=0.05), lambda: "connection to the arm lost" in look(arm).fault)
    assert rests(running)
    running.faults.freeze = False
    assert healthy(arm)
    assert rests(running)


def test_a_half_open_connection_is_given_up(running, arm):
    set_going(running, arm, twist(y=0.05))
    running.faults.half_open = True
    drive_until(arm, twist(y=0.05), lambda: "got no answer" in look(arm).fault)
    drive_until(arm, twist(y=0.05), lambda: "connection to the arm lost" in look(arm).fault)
    assert rests(running)
    running.faults.half_open = False
    assert healthy(arm)


def test_feedback_that_stops_is_said_and_comes_back(running, arm):
    running.faults.udp_loss = 1.0
    assert fault_of(arm, "no feedback")
    old = look(arm).stamp
    running.faults.udp_loss = 0.0
    assert healthy(arm)
    until(lambda: look(arm).stamp > old)


def test_lost_doubled_and_late_datagrams_do_no_harm(running, arm):
    running.faults.udp_loss, running.faults.udp_double, running.faults.udp_delay = 0.2, 0.5, 0.01
    stamps = [state.stamp for state in drive(arm, REST, 1.0)]
    assert stamps == sorted(stamps)
    assert len(set(stamps)) > 10
    assert "connection" not in look(arm).fault


def test_garbage_between_the_frames_does_no_harm(running, arm):
    running.faults.garbage = 0.3
    drive(arm, twist(y=0.02), 0.5)
    running.faults.garbage = 0.0
    assert healthy(arm)
    set_going(running, arm, twist(y=0.02))


def test_answers_later_than_their_call_are_dropped(running, arm):
    running.faults.udp_delay = 1.5 * running.config.arm.call_timeout
    assert fault_of(arm, "no feedback")
    running.faults.udp_delay = 0.0
    assert healthy(arm)


def test_a_twist_that_is_kept_on_its_way_out_does_not_go_out_late(running, arm, monkeypatch):
    set_going(running, arm, twist(y=0.02))
    send = Transport.send

    def kept(transport, payload):
        time.sleep(0.08)
        send(transport, payload)

    before, taken = arm.counts[1], orders_of(running)
    with monkeypatch.context() as patched:
        patched.setattr(Transport, "send", kept)
        drive(arm, twist(y=0.04), 0.5)
    assert not any(sets_moving(order) for order in taken)
    assert arm.counts[1] > before
    assert healthy(arm)
    set_going(running, arm, twist(y=0.04))


@pytest.mark.parametrize("fault", ["freeze", "half_open", "mute"])
def test_leaving_is_bounded_whatever_the_arm_does(running, fault):
    arm = KortexArm(running.config, say=lambda text: None)
    arm.open()
    set_going(running, arm, twist(y=0.03))
    setattr(running.faults, fault, True)
    begin = time.monotonic()
    arm.stop(now())
    arm.close()
    assert time.monotonic() - begin < 20  # a hang would be for ever
    setattr(running.faults, fault, False)
    assert rests(running)


def test_the_watchdog_finds_the_arm_again(running):
    watchdog = KortexStopper(running.config, say=lambda text: None)
    assert "not open" in watchdog.trouble
    watchdog.open()
    try:
        assert watchdog.trouble == ""
        cut(running)
        assert until(lambda: watchdog.trouble)
        until(lambda: not watchdog.trouble)
        watchdog.stop(now())
    finally:
        watchdog.close()


def test_a_watchdog_that_cannot_stop_the_arm_says_so(running):
    watchdog = KortexStopper(running.config, say=lambda text: None)
    watchdog.open()
    try:
        running.faults.mute = True
        with pytest.raises(ArmError, match="emergency stop"):
            watchdog.stop(now())
    finally:
        running.faults.mute = False
        watchdog.close()


def test_foreign_zones_are_left_and_ours_are_kept_up_to_date(running):
    with Client(running.port) as other:
        other.login()
        zone = Base.ProtectionZone(name="somebody's", is_enabled=True)
        zone.shape.shape_type, zone.shape.origin.z = 2, 2.0
        zone.shape.dimensions.append(0.1)
        zone.limitations.add(type=3)
        other.call("Base.CreateProtectionZone", zone)
        stale = Base.ProtectionZone(name="vla_ros of long ago", is_enabled=True, shape=zone.shape)
        stale.limitations.add(type=3)
        other.call("Base.CreateProtectionZone", stale)
    with opened(running.config) as arm:
        assert any("somebody's" in note for note in arm.notes)
    names = sorted(z.name for z in running.robot.zones.values())
    assert names == ["somebody's", "vla_ros far wall", "vla_ros left wall", "vla_ros right wall", "vla_ros table"]
    workspace = running.config.workspace.model_copy(update={"high": (0.55, 0.2, 0.3)})
    with opened(running.config.model_copy(update={"workspace": workspace})):
        pass
    assert len(running.robot.zones) == 5
    wall = next(z for z in running.robot.zones.values() if z.name == "vla_ros far wall")
    assert wall.shape.origin.x - wall.shape.dimensions[0] / 2 == pytest.approx(0.58)


def test_without_the_wheel_it_says_where_to_get_it(tmp_path):
    code = (
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda n, p=None: None if n == 'kortex_api' else find(n, p)\n"
        "from vla_ros.config import load\n"
        "from vla_ros.arms.load import load as arm\n"
        "arm(load('twin', overrides=['arm.driver=kortex']), None, 'servo').open()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, cwd=standin.ROOT
    )
    assert done.returncode != 0
    assert "KortexSdkError: kortex_api" in done.stderr
    assert "not installed" in done.stderr
    assert "artifactory.kinovaapps.com" in done.stderr


def test_the_driver_is_imported_without_the_wheel():
    code = "import sys\nfrom vla_ros.arms import kortex_operator, kortex_stopper\nprint('kortex_api' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, cwd=standin.ROOT
    )
    assert done.stdout == "False\n"
