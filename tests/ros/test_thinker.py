"""One turn of the thinker at a time, on a virtual clock: what it says, when, and what faults make of that."""

import dataclasses

import numpy as np

from vla_ros.clock import MILLISECOND, SECOND, VirtualClock
from vla_ros.faults import Fault, Kind
from vla_ros.nodes.observer import Observer
from vla_ros.nodes.thinker import Thinker, make_outlet
from vla_ros.policy.constant import ConstantDeltaPolicy
from vla_ros.policy.policy import Timings
from vla_ros.values import Frame

from .bed import arm_at, small_config

PERIOD = 20 * MILLISECOND
LAG = 5 * MILLISECOND


class Slow(ConstantDeltaPolicy):
    """Takes its time, and tells so."""

    timings = Timings(1.0, 20.0, 9.0)

    def __init__(self, clock):
        super().__init__(np.array([0.45, 0.1, 0.2]))
        self._clock = clock

    def act(self, observation, gripper_command):
        self._clock.sleep_until(self._clock.now() + 30 * MILLISECOND)
        return super().act(observation, gripper_command)


class Bench:
    """A thinker whose cameras and arm go on by PERIOD a turn; `said` are its thoughts with their moments."""

    def __init__(self, *faults, slow=False):
        self.clock, self.said, self._turns = VirtualClock(SECOND), [], 0
        self.config = small_config()
        self._observer = Observer(self.config)
        self.thinker = Thinker(
            self.config,
            self._observer,
            self.clock,
            lambda thought: self.said.append((self.clock.now(), thought)),
            make_outlet(faults),
            "run 7",
        )
        target = np.array([0.45, 0.1, 0.2])
        self.thinker.take_on(Slow(self.clock) if slow else ConstantDeltaPolicy(target))
        self.thinker.instruct("go")

    def turn(self, count=1, frozen=()):
        for _ in range(count):
            self._turns += 1
            now = self.clock.now()
            self._observer.put_arm(arm_at(now - LAG))
            for name in self.config.cameras:
                level = 255 if name in frozen else self._turns % 255
                image = np.full((4, 4, 3), level, np.uint8)
                self._observer.put_frame(name, Frame(image, now - LAG, now, self._turns))
            self.thinker.turn()
            self.clock.sleep_until(now + PERIOD)

    def chunks(self):
        return [thought.chunk for _, thought in self.said if thought.chunk is not None]


def test_a_chunk_carries_how_it_came_about():
    bench = Bench(slow=True)
    bench.turn()
    [(_, thought)] = bench.said
    trace, stamp = thought.chunk.trace, thought.chunk.stamp
    assert thought.moment == stamp == SECOND - LAG
    assert trace.instance == "run 7"
    assert trace.frames == {"static": 1, "wrist": 1}
    assert (trace.received, trace.encoded, trace.decided) == tuple(SECOND + ms * MILLISECOND for ms in (0, 21, 30))
    figures = thought.figures
    assert [figures[f"{name}_ms"] for name in ("received", "encoded", "decided")] == [5.0, 26.0, 35.0]
    assert (figures["frame_static"], figures["skew_ms"]) == (1, 0.0)
    assert (figures["unchanged_static_ms"], figures["unchanged_wrist_ms"]) == (0.0, 0.0)


def test_a_policy_without_timings_has_encoded_when_it_began():
    bench = Bench()
    bench.turn()
    trace = bench.chunks()[0].trace
    assert trace.encoded == trace.received == SECOND


def test_an_idle_thought_tells_of_the_pictures_as_well():
    bench = Bench()
    bench.thinker.instruct("")
    bench.turn(12, frozen=("wrist",))
    thought = bench.said[0][1]
    assert (len(thought.chunk), thought.chunk.stamp, thought.chunk.trace.instance) == (0, thought.moment, "run 7")
    assert thought.figures["unchanged_wrist_ms"] == 0.0
    assert bench.said[-1][1].figures["unchanged_wrist_ms"] > 0.0


def test_it_does_not_think_on_frozen_pictures():
    bench = Bench()
    bench.turn(10)
    seen = len(bench.chunks())
    bench.turn(11, frozen=("static",))
    assert len(bench.chunks()) > seen, "0.2 s are no reason yet"
    seen = len(bench.chunks())
    bench.turn(10, frozen=("static",))
    assert len(bench.chunks()) == seen
    text = bench.said[-1][1].text
    assert text.startswith("camera static shows the same picture since 0.")
    assert bench.said[-1][1].figures["unchanged_static_ms"] > 200
    bench.turn(6)
    assert len(bench.chunks()) > seen


def test_a_late_thought_is_said_at_its_moment_and_keeps_its_stamp():
    bench = Bench(Fault(Kind.DELAY, 0, 9 * SECOND, 0.25))
    bench.turn(40)
    late = [moment - thought.moment for moment, thought in bench.said]
    assert len(late) >= 4
    assert set(late) == {250 * MILLISECOND + LAG + 10 * MILLISECOND}, "the next turn after it was due"


def test_a_disconnected_thinker_says_nothing():
    bench = Bench(Fault(Kind.DISCONNECT, 0, 2 * SECOND))
    bench.turn(40)
    assert bench.said == []
    bench.turn(20)
    assert bench.said


def test_frozen_targets_go_out_under_new_stamps_with_their_own_trace():
    bench = Bench(Fault(Kind.FREEZE, SECOND + 50 * MILLISECOND, 9 * SECOND))
    bench.turn(30)
    first, *others = bench.chunks()
    assert len(others) >= 4
    for chunk in others:
        assert chunk.positions is first.positions
        assert chunk.stamp > first.stamp
        assert chunk.trace.frames["static"] > 1
    assert len({chunk.sequence for chunk in others}) == len(others)


def test_corrupt_targets_are_broken_and_the_rest_is_as_it_was():
    bench = Bench(Fault(Kind.CORRUPT, 0, 9 * SECOND, 1.0))
    bench.turn(60)
    for chunk in bench.chunks():
        steps = np.linalg.norm(np.diff(chunk.positions, axis=0), axis=1)
        assert not (steps < 0.1).all()
    assert dataclasses.replace(bench.chunks()[0], positions=chunk.positions).instruction == "go"


def test_a_policy_that_fails_is_told_of_even_when_it_is_late():
    bench = Bench(Fault(Kind.DELAY, 0, 9 * SECOND, 0.1))

    def fail(observation, gripper_command):
        raise RuntimeError("out of memory")

    policy = ConstantDeltaPolicy(np.zeros(3))
    policy.act = fail
    bench.thinker.take_on(policy)
    bench.turn(20)
    assert {thought.text for _, thought in bench.said} == {"RuntimeError: out of memory"}
