"""The servo around its cycle: the mailbox, what is sent when, what it says. A fake arm, a virtual clock, real blocks."""

import itertools
import math

import numpy as np
import pytest

from vla_ros.arms.arm import ArmError
from vla_ros.clock import MILLISECOND, SECOND, VirtualClock
from vla_ros.kinematics import HOME
from vla_ros.motion import blocks
from vla_ros.motion.cycle import Requests
from vla_ros.motion.guard import Notice
from vla_ros.motion.servo import Mailbox, Servo
from vla_ros.shared import PLACES, Block
from vla_ros.values import Mode, Trace, Verdict

from .simulator import CONFIG, PERIOD, START, Arm, Bench


class Node:
    """The arm node's end of the blocks."""

    def __init__(self, runtime, clock):
        self.clock = clock
        self.chunk = Block.create(runtime / "servo_chunk", blocks.CHUNK)
        self.request = Block.create(runtime / "servo_request", blocks.REQUEST)
        self.record = np.zeros(1, blocks.REQUEST)
        self.record["cameras"] = self.record["changed"] = -1

    def live(self):
        """Fresh cameras and policy."""
        self.record["beat"] = self.clock.now()
        self.record["cameras"][0, : len(CONFIG.cameras)] = self.clock.now()
        self.record["policy"] = self.clock.now()
        self.request.write(self.record[0])

    def ask(self, name):
        self.record[name] += 1
        self.live()


class Device:
    """An arm that follows, and remembers what it was told."""

    def __init__(self, clock):
        self.clock, self.arm = clock, Arm(HOME, 80 * MILLISECOND, clock.now())
        self.calls = []
        self.broken = False

    def open(self):
        pass

    def read(self, now):
        self.arm.advance(max(0, now - self.arm.now))
        return self.arm.state()

    def send(self, now, twist, gripper):
        if self.broken:
            raise ArmError("the cable is out: plug it in")
        self.calls.append(("send", twist.copy()))
        self.arm.send(twist)

    def stop(self, now):
        self.calls.append(("stop", None))
        self.arm.send(np.zeros(6))

    def close(self):
        self.calls.append(("close", None))

    def names(self):
        return [name for name, _ in self.calls]


class Workshop:
    def __init__(self, runtime):
        self.runtime, self.clock = runtime, VirtualClock(START)
        self.device = Device(self.clock)
        self.node = Node(runtime, self.clock)
        self.servo = Servo(CONFIG, runtime, self.device, self.clock)
        self.reader = Block.attach(runtime / "servo_status", blocks.STATUS)

    def cycle(self, live=True):
        self.clock.sleep_until(self.clock.now() + PERIOD)
        if live:
            self.node.live()
        self.servo._once(0)
        return self.status()

    def cycles(self, count):
        for _ in range(count):
            status = self.cycle()
        return status

    def status(self):
        return self.reader.read()[1]

    def mode(self):
        return blocks.mode(self.status())

    def enable(self):
        self.cycle()
        self.node.ask("enable")
        self.cycle()
        assert self.mode() is Mode.IDLE

    def play(self, **changes):
        chunk = Bench(self.device.arm.joints).chunk(**({"stamp": self.clock.now()} | changes))
        self.node.chunk.write(blocks.pack_chunk(chunk, list(CONFIG.cameras)))


@pytest.fixture
def shop(tmp_path):
    return Workshop(tmp_path)


# --- the mailbox ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def box(tmp_path):
    return Mailbox(tmp_path, CONFIG)


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path, VirtualClock(START))


def test_without_an_arm_node_the_servo_is_told_to_disarm(box):
    inputs = box.read(START)
    assert inputs.requests == Requests(disable=True)
    assert inputs.chunk is None
    assert box.answered == 0


def test_a_node_that_has_written_nothing_yet_is_no_node(box, node):
    assert box.read(START).requests == Requests(disable=True)
    node.live()
    assert box.read(START).requests == Requests(disable=True)
    assert box.read(START).requests == Requests()


def test_requests_are_growing_counters(box, node):
    node.live()
    box.read(START)
    for name in ("enable", "disable", "stop", "reset"):
        node.ask(name)
        assert box.read(START).requests == Requests(**{name: True})
        assert box.read(START).requests == Requests()
    assert box.answered == 4


def test_two_requests_of_a_kind_between_two_looks_are_both_answered(box, node):
    node.live()
    box.read(START)
    node.ask("enable")
    node.ask("enable")
    node.ask("stop")
    assert box.read(START).requests == Requests(enable=True, stop=True)
    assert box.answered == 3


def test_what_a_former_servo_was_asked_is_not_asked_of_a_new_one_but_for_a_stop(node, tmp_path):
    for name in ("enable", "disable", "reset"):
        node.ask(name)
    assert Mailbox(tmp_path, CONFIG).read(START).requests == Requests(disable=True)
    node.ask("stop")
    box = Mailbox(tmp_path, CONFIG)
    assert box.read(START).requests == Requests(disable=True, stop=True)
    assert box.read(START).requests == Requests()
    assert box.answered == 4


def test_a_stop_at_a_new_arm_node_is_heard_at_once(box, node, tmp_path):
    node.live()
    box.read(START)
    for _ in range(7):
        node.ask("enable")
    box.read(START)
    new = Node(tmp_path, node.clock)
    assert box.read(START).requests == Requests(disable=True)  # not one number of the former node is left
    new.live()
    box.read(START)
    new.ask("stop")
    assert box.read(START).requests.stop
    new.ask("enable")
    assert box.read(START).requests.enable
    assert box.answered == 9  # only grows


def test_an_arm_node_that_left_disarms(box, node):
    node.live()
    box.read(START)
    node.request.close(unlink=True)
    node.chunk.close(unlink=True)
    assert box.read(START).requests == Requests(disable=True)


def test_cameras_that_are_not_used_are_left_out(box, node):
    node.live()
    node.record["cameras"][0, 1] = -1
    node.request.write(node.record[0])
    assert list(box.read(START).cameras) == [next(iter(CONFIG.cameras))]


def test_a_chunk_is_read_once_and_an_old_one_never(box, node):
    chunk = Bench(HOME).chunk()
    node.live()
    node.chunk.write(blocks.pack_chunk(chunk))
    assert box.read(START).chunk is None  # it was written for a former servo
    node.chunk.write(blocks.pack_chunk(chunk))
    assert len(box.read(START).chunk) == 10
    assert box.read(START).chunk is None


def test_a_node_that_died_within_a_write_asks_for_nothing(box, node):
    node.ask("enable")
    box.read(START)
    node.record["stop"] = 5
    node.request._values[(node.request.sequence + 1) % PLACES] = node.record[0]  # it has not counted on
    assert box.read(START).requests == Requests()


def test_another_layout_is_said_once(box, tmp_path, caplog):
    Block.create(tmp_path / "servo_request", np.dtype("f8"))
    with caplog.at_level("INFO"):
        for _ in range(3):
            box.read(START)
    assert caplog.text.count("another layout: stop every vla_ros process") == 1


# --- what is sent --------------------------------------------------------------------------------------------------------


def test_disarmed_nothing_is_sent(shop):
    shop.cycles(50)
    assert shop.device.calls == []
    assert shop.mode() is Mode.DISARMED


def test_armed_something_is_sent_as_often_as_the_arm_takes_it(shop):
    shop.enable()
    before = len(shop.device.calls)
    shop.cycles(200)
    assert shop.device.names()[before:] == ["send"] * 80


def test_the_first_command_of_a_stop_is_sent_at_once(shop):
    for waited in range(5):  # wherever the stop falls between two commands
        shop.enable()
        shop.play()
        shop.cycles(30 + waited)
        sent = len(shop.device.calls)
        shop.node.ask("stop")
        shop.cycle()
        assert len(shop.device.calls) == sent + 1
        shop.cycles(60)
        shop.node.ask("reset")
        shop.cycle()


def test_disarming_while_moving_ends_with_a_zero_and_silence(shop):
    shop.enable()
    shop.play()
    shop.cycles(40)
    assert shop.device.calls[-1][1].any()
    shop.node.ask("disable")
    shop.cycles(100)
    assert shop.device.names()[-1] == "send"
    assert not shop.device.calls[-1][1].any()
    assert shop.device.calls[-2][1].any()  # one zero is enough: sending raises when it fails
    assert not shop.device.arm.rates.any()


def test_a_stop_is_led_to_rest_sealed_by_the_arms_own_and_then_silent(shop):
    shop.enable()
    shop.play()
    shop.cycles(40)
    sent = len(shop.device.calls)
    shop.node.ask("stop")
    shop.cycle()
    assert shop.mode() is Mode.STOPPED
    assert len(shop.device.calls) == sent + 1
    shop.cycles(100)
    names = shop.device.names()[sent:]
    assert names[-1] == "stop"
    assert set(names[:-1]) == {"send"}
    speeds = [np.linalg.norm(twist[:3]) for name, twist in shop.device.calls[sent:] if name == "send"]
    assert speeds == sorted(speeds, reverse=True)
    assert len(speeds) < 30


def test_a_stop_while_disarmed_reaches_the_arm(shop):
    shop.cycle()
    shop.node.ask("stop")
    shop.cycles(5)
    assert shop.device.names() == ["stop"]
    shop.node.ask("reset")
    shop.cycles(5)
    assert shop.mode() is Mode.DISARMED
    shop.node.ask("stop")
    shop.cycles(5)
    assert shop.device.names() == ["stop", "stop"]


def test_nothing_is_enabled_that_the_watchdog_could_not_stop(shop):
    watchdog = Notice(shop.runtime)
    watchdog.tell(shop.clock.now(), "no answer within 50 ms")
    shop.cycle()
    shop.node.ask("enable")
    status = shop.cycle()
    assert shop.mode() is Mode.DISARMED
    assert "the watchdog cannot stop the arm: no answer within 50 ms" in status["obstacles"].decode()
    watchdog.tell(shop.clock.now(), "")
    shop.enable()
    watchdog.close()


def test_a_new_servo_inherits_a_stop_and_one_reset_leaves_it(shop):
    shop.enable()
    shop.node.ask("stop")
    shop.cycles(3)
    again = Servo(CONFIG, shop.runtime, shop.device, shop.clock)
    shop.servo, shop.reader = again, Block.attach(shop.runtime / "servo_status", blocks.STATUS)
    shop.cycles(3)
    assert (shop.mode(), blocks.verdict(shop.status())) == (Mode.STOPPED, Verdict.STOP_REQUESTED)
    shop.node.ask("reset")
    shop.cycle()
    assert shop.mode() is Mode.DISARMED
    shop.node.ask("enable")
    shop.cycle()
    assert shop.mode() is Mode.IDLE


def test_a_restarted_arm_node_disarms(shop):
    shop.enable()
    shop.play()
    shop.cycles(10)
    shop.node = Node(shop.runtime, shop.clock)
    shop.cycle()
    assert shop.mode() is Mode.DISARMED
    shop.cycles(60)
    assert not shop.device.arm.rates.any()


def test_a_frozen_arm_node_disarms(shop):
    shop.enable()
    shop.play(count=40)
    modes = [blocks.mode(shop.cycle(live=False)) for _ in range(60)]
    assert modes[0] is Mode.ACTIVE
    assert Mode.HOLD in modes  # its cameras grow old first
    assert modes[-1] is Mode.DISARMED
    assert blocks.verdict(shop.status()) is Verdict.NODE_SILENT


def test_a_frozen_arm_node_disarms_an_idle_arm(shop):
    shop.enable()
    modes = [blocks.mode(shop.cycle(live=False)) for _ in range(60)]
    assert modes[0] is Mode.IDLE
    assert modes[-1] is Mode.DISARMED


def test_the_hand_the_instruction_and_the_pictures_get_through(box, node):
    node.live()
    inputs = box.read(START)
    assert (inputs.teleop, inputs.instruction, inputs.changes, inputs.distrusted) == (None, None, {}, False)
    assert inputs.node == START
    node.record["teleop_stamp"], node.record["teleop_twist"], node.record["teleop_in_tool"] = START, np.arange(6.0), 1
    node.record["teleop_gripper"] = math.nan
    node.record["instruction"], node.record["instructed"] = "grün".encode(), START
    node.record["changed"][0, :2] = START - 5, START - 7
    node.record["distrusted"] = START + 1
    node.live()
    inputs = box.read(START)
    assert (inputs.teleop.stamp, inputs.teleop.gripper, inputs.teleop.in_tool) == (START, None, True)
    assert inputs.teleop.twist.tolist() == [0, 1, 2, 3, 4, 5]
    assert (inputs.instruction, inputs.distrusted) == ("grün", True)
    assert inputs.changes == dict(zip(CONFIG.cameras, (START - 5, START - 7), strict=True))
    assert not box.read(START + 1).distrusted


def test_refusals_of_node_and_servo_are_counted_together(shop):
    shop.enable()
    shop.play()
    shop.cycles(10)
    shop.node.record["refused"], shop.node.record["refusal"] = 2, Verdict.CHUNK_UNKNOWN.name
    status = shop.cycle()
    assert (int(status["refused"]), blocks.refusal(status)) == (2, Verdict.CHUNK_UNKNOWN)
    shop.play(stamp=shop.clock.now() + SECOND)
    status = shop.cycle()
    assert (int(status["refused"]), blocks.refusal(status)) == (3, Verdict.CHUNK_FUTURE)
    assert (int(shop.cycle()["refused"]), blocks.refusal(status)) == (3, Verdict.CHUNK_FUTURE)


def test_the_status_says_where_the_command_comes_from(shop):
    shop.enable()
    assert shop.status()["source"] == b""
    trace = Trace("run", {"static": 4, "wrist": 5}, 1, 2, 3)
    shop.play(trace=trace, sequence=9)
    first = shop.clock.now() + PERIOD
    status = shop.cycles(3)
    assert (status["source"], int(status["chunk_sequence"]), int(status["chunk_began"])) == (b"policy", 9, first)
    assert status["chunk_frames"][:2].tolist() == [4, 5]
    assert status["chunk_instruction"] == b"pick up the red cube"


def test_faults_around_the_arm_are_played_when_asked_for(shop):
    shop.enable()
    shop.play(count=40, shift=(0.12, 0, 0.1))
    shop.cycles(20)
    shop.node.record["fault_target"], shop.node.record["fault_kind"] = b"arm.feedback", b"disconnect"
    shop.node.record["fault_seconds"] = 0.3
    shop.node.record["fault"] += 1
    assert blocks.mode(shop.cycles(4)) is Mode.ACTIVE
    assert blocks.mode(shop.cycles(4)) is Mode.HOLD
    assert blocks.mode(shop.cycles(20)) is Mode.STOPPED


# --- what is said --------------------------------------------------------------------------------------------------------


def test_why_enabling_was_refused_is_said_and_then_forgotten(shop):
    shop.cycle()
    shop.node.record["enable"] += 1
    shop.node.record["policy"] = 0
    shop.node.request.write(shop.node.record[0])
    status = shop.cycle(live=False)
    assert status["obstacles"] == b"no sign of life from the policy"
    assert int(status["answered"]) == 1
    shop.node.ask("enable")
    assert shop.cycle()["obstacles"] == b""


def test_why_a_reset_was_refused_is_said(shop):
    shop.enable()
    shop.play()
    shop.cycles(40)
    shop.node.ask("stop")
    shop.cycle()
    shop.node.ask("reset")
    assert shop.cycle()["obstacles"] == b"the arm is still braking"


def test_the_status_beats_every_cycle(shop):
    for n in range(1, 6):
        status = shop.cycle()
        assert int(status["beat"]) == shop.clock.now()
        assert int(status["cycles"]) == n


# --- the loop ------------------------------------------------------------------------------------------------------------


class Asked:
    """Stops the loop after some cycles."""

    def __init__(self, shop, moment):
        self.shop, self.moment = shop, moment

    @property
    def asked(self):
        self.shop.node.live()
        return self.shop.clock.now() >= self.moment


def test_leaving_while_moving_leads_to_rest_first(shop):
    shop.enable()
    shop.play(count=40, shift=(0.12, 0, 0.1))
    shop.servo.run(Asked(shop, shop.clock.now() + SECOND))
    shop.servo.close()
    sends = [twist for name, twist in shop.device.calls if name == "send"]
    assert max(np.linalg.norm(s) for s in sends) > 0.03
    steps = [np.linalg.norm(b[:3] - a[:3]) for a, b in itertools.pairwise(sends)]
    assert max(steps) <= CONFIG.limits.stop_acceleration * 0.03 * (1 + 1e-9)  # up to three cycles between two commands
    assert np.linalg.norm(sends[-1]) < 0.03
    assert shop.device.names()[-2:] == ["stop", "close"]
    assert not (shop.runtime / "servo_status").exists()


def test_leaving_ends_even_when_nothing_moves_on(shop):
    shop.servo.run(Asked(shop, shop.clock.now()))
    shop.servo.close()
    assert shop.device.names()[-1] == "close"


def test_missed_periods_are_counted_and_not_made_up_for(shop):
    late = [0, 0, 35 * MILLISECOND, 0, 0]
    due_seen = []

    class Lagging(VirtualClock):
        def sleep_until(self, moment):
            due_seen.append(moment)
            super().sleep_until(moment + (late.pop(0) if late else 0))

    shop.servo._clock = shop.device.clock = shop.node.clock = shop.clock = Lagging(shop.clock.now())
    shop.servo.run(Asked(shop, shop.clock.now() + 90 * MILLISECOND))
    gaps = np.diff(due_seen) // MILLISECOND
    assert gaps.tolist()[:4] == [10, 10, 40, 10]
    assert int(shop.status()["missed"]) == 3


def test_a_broken_arm_ends_the_servo_with_a_stop(shop):
    shop.enable()
    shop.device.broken = True
    with pytest.raises(ArmError, match="plug it in"):
        shop.cycles(3)
    shop.servo.close()
    assert shop.device.names()[-2:] == ["stop", "close"]
