"""Each fault does its one thing, to what is put in during its time, and what is late comes all the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.config.schema import FaultConfig
from vla_ros.faults import Fault, FaultyStream, Kind, parse, parse_order, scheduled

STEP = 10 * MILLISECOND
START, END = 300 * MILLISECOND, 600 * MILLISECOND
COUNT = 100
LAST = 20 * SECOND
Arrival = tuple[int, int, int]


def negated(value: int, random: np.random.Generator) -> int:
    return -value


def played(faults: list[Fault], seed: int = 0, cycle: int = MILLISECOND) -> list[Arrival]:
    """(arrival, stamp, value) of values 0, 1, … put in every STEP, taken every `cycle`; a stamp is 3 ms before its put."""
    stream: FaultyStream[int] = FaultyStream(faults, corrupt=negated, seed=seed)
    arrived = []
    for now in [*range(0, 2 * SECOND, cycle), LAST]:
        if now % STEP == 0 and now < COUNT * STEP:
            stream.put(now, now - 3 * MILLISECOND, now // STEP)
        arrived += [(now, stamp, value) for stamp, value in stream.take(now)]
    return arrived


def at_put(item: Arrival) -> int:
    return item[1] + 3 * MILLISECOND


def inside(items: list[Arrival]) -> list[Arrival]:
    return [item for item in items if START <= at_put(item) < END]


@pytest.mark.parametrize("kind", list(Kind))
def test_what_is_put_in_outside_its_time_passes_untouched(kind: Kind) -> None:
    arrived = played([Fault(kind, START, END, 0.5)])
    outside = sorted(set(arrived) - set(inside(arrived)))
    moments = [k * STEP for k in range(COUNT) if not START <= k * STEP < END]
    assert outside == [(t, t - 3 * MILLISECOND, t // STEP) for t in moments]


def test_delay_shifts_arrivals_and_keeps_stamps() -> None:
    late = inside(played([Fault(Kind.DELAY, START, END, 0.02)]))
    assert [arrival - at_put((arrival, stamp, value)) for arrival, stamp, value in late] == [20 * MILLISECOND] * 30
    assert [value for _, _, value in late] == list(range(30, 60))


def test_jitter_delays_each_by_something_else() -> None:
    late = [item[0] - at_put(item) for item in inside(played([Fault(Kind.JITTER, START, END, 0.009)]))]
    assert min(late) >= 0
    assert max(late) <= 9 * MILLISECOND
    assert len(set(late)) > 5


def test_drop_loses_about_its_share_and_disconnect_loses_all() -> None:
    dropped = inside(played([Fault(Kind.DROP, START, END, 0.3)]))
    assert 14 < len(dropped) < 28
    assert inside(played([Fault(Kind.DISCONNECT, START, END)])) == []


def test_freeze_repeats_the_value_from_before_under_new_stamps() -> None:
    frozen = inside(played([Fault(Kind.FREEZE, START, END)]))
    assert {value for _, _, value in frozen} == {29}
    assert len(frozen) == 30


def test_what_is_frozen_from_the_start_repeats_its_first_value() -> None:
    assert {value for at, _, value in played([Fault(Kind.FREEZE, 0, END)]) if at < END} == {0}


def test_a_freeze_looks_as_it_is_told() -> None:
    stream: FaultyStream[int] = FaultyStream([Fault(Kind.FREEZE, 1, 9)], repeat=lambda old, new: 100 * old + new)
    for now in (0, 1, 2):
        stream.put(now, now, now + 5)
    assert [value for _, value in stream.take(2)] == [5, 506, 507]


def test_corrupt_breaks_its_share_of_the_values_as_it_is_told() -> None:
    assert all(value < 0 for _, _, value in inside(played([Fault(Kind.CORRUPT, START, END, 1.0)])))
    some = [value for _, _, value in inside(played([Fault(Kind.CORRUPT, START, END, 0.5)]))]
    assert 5 < sum(value < 0 for value in some) < 25


def test_reorder_lets_neighbours_overtake_and_loses_nothing() -> None:
    arrived = played([Fault(Kind.REORDER, START, END, 0.5)])
    stamps = [stamp for _, stamp, _ in arrived]
    assert stamps != sorted(stamps)
    assert sorted(stamps) == [k * STEP - 3 * MILLISECOND for k in range(COUNT)]
    assert max(item[0] - at_put(item) for item in arrived) == STEP


def test_the_last_of_a_stream_is_not_held_back_for_ever() -> None:
    stream: FaultyStream[str] = FaultyStream([Fault(Kind.REORDER, 0, 100, 1.0)])
    stream.put(0, 0, "last")
    assert stream.take(99) == []
    assert stream.next_due() == 100
    assert stream.take(100) == [(0, "last")]


def test_the_newest_stays_until_something_comes() -> None:
    stream: FaultyStream[int] = FaultyStream([Fault(Kind.DISCONNECT, 10, 20)])
    assert stream.newest(0) is None
    stream.put(0, -1, 7)
    assert stream.newest(0) == (-1, 7)
    stream.put(10, 9, 8)
    assert stream.newest(15) == (-1, 7)
    stream.put(20, 19, 9)
    assert stream.newest(20) == (19, 9)


def test_it_says_when_something_will_be_due_and_forgets_when_it_is_told_to() -> None:
    stream: FaultyStream[int] = FaultyStream([Fault(Kind.DELAY, 0, 100, 1.0)])
    assert stream.next_due() is None
    stream.put(5, 5, 0)
    assert stream.next_due() == SECOND + 5
    stream.clear()
    assert stream.take(LAST) == []


def test_a_fault_can_be_played_while_it_runs_and_ends() -> None:
    stream: FaultyStream[int] = FaultyStream()
    stream.put(0, 0, 0)
    stream.play(parse("disconnect 1", SECOND))
    for k in range(1, 4):
        stream.put(k * SECOND, 0, k)
    assert [value for _, value in stream.take(LAST)] == [0, 2, 3]


def test_faults_combine() -> None:
    late = inside(played([Fault(Kind.CORRUPT, START, END, 1.0), Fault(Kind.DELAY, START, END, 0.5)]))
    assert all(value < 0 and arrival - stamp == 503 * MILLISECOND for arrival, stamp, value in late)
    assert len(late) == 30


FAULTS = st.lists(
    st.builds(
        lambda kind, start, length, amount: Fault(kind, start, start + length, amount),
        st.sampled_from(list(Kind)),
        st.integers(0, SECOND),
        st.integers(1, SECOND),
        st.floats(0, 1),
    ),
    max_size=4,
)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(FAULTS, st.integers(0, 5))
def test_any_faults_repeat_from_their_seed_never_come_early_and_lose_only_what_they_say(
    faults: list[Fault], seed: int
) -> None:
    arrived = played(faults, seed, cycle=5 * MILLISECOND)
    assert arrived == played(faults, seed, cycle=5 * MILLISECOND)
    assert [arrival for arrival, _, _ in arrived] == sorted(arrival for arrival, _, _ in arrived)
    assert all(item[0] >= at_put(item) for item in arrived)
    stamps = [stamp for _, stamp, _ in arrived]
    assert len(set(stamps)) == len(stamps)
    losing = [fault for fault in faults if fault.kind in (Kind.DROP, Kind.DISCONNECT)]
    lost = {k * STEP for k in range(COUNT)} - {stamp + 3 * MILLISECOND for stamp in stamps}
    assert all(any(fault.covers(moment) for fault in losing) for moment in lost)


@pytest.mark.parametrize(("start", "end", "amount"), [(5, 5, 0.1), (0, 5, -0.1), (0, 5, 1.5), (0, 5, float("nan"))])
def test_a_fault_that_means_nothing_is_refused(start: int, end: int, amount: float) -> None:
    with pytest.raises(ValueError, match=r"fault|share"):
        Fault(Kind.DROP, start, end, amount)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("freeze 2.0", Fault(Kind.FREEZE, 7, 7 + 2 * SECOND)),
        (" delay 1 0.25 ", Fault(Kind.DELAY, 7, 7 + SECOND, 0.25)),
        ("drop 0.5", Fault(Kind.DROP, 7, 7 + SECOND // 2, 1.0)),
        ("corrupt 3 0.1", Fault(Kind.CORRUPT, 7, 7 + 3 * SECOND, 0.1)),
    ],
)
def test_a_text_says_kind_seconds_and_amount(text: str, fault: Fault) -> None:
    assert parse(text, 7) == fault


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "KIND SECONDS"),
        ("freeze", "KIND SECONDS"),
        ("freeze 1 2 3", "KIND SECONDS"),
        ("melt 2", "'melt' is no fault: choose one of delay, jitter"),
        ("freeze soon", "SECONDS must be a number"),
        ("freeze nan", "SECONDS must be a number"),
        ("freeze 0", "SECONDS must be more than 0"),
        ("delay 2", "needs an AMOUNT"),
        ("delay 2 much", "AMOUNT must be a number"),
        ("delay 2 11", "between 0 and 10"),
        ("drop 2 1.5", "between 0 and 1"),
        ("jitter 2 -1", "between 0 and 10"),
    ],
)
def test_a_text_that_says_nothing_is_refused_with_a_remedy(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_order(text)


def test_the_configuration_s_faults_of_a_target_are_timed_from_its_beginning() -> None:
    entries = {
        "a": FaultConfig(target="policy", kind="delay", after=1.5, seconds=2.0, amount=0.1),
        "b": FaultConfig(target="camera.wrist", kind="freeze"),
    }
    assert scheduled(entries, "policy", SECOND) == [Fault(Kind.DELAY, 2500 * MILLISECOND, 4500 * MILLISECOND, 0.1)]
    assert scheduled(entries, "camera.wrist", SECOND)[0].covers(10**6 * SECOND)
    assert scheduled(entries, "camera.static", SECOND) == []
