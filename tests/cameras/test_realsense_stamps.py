"""The middle of a RealSense frame's exposure, from what the SDK says of the frame."""

import pytest

from vla_ros.cameras.realsense_stamps import COUNTER, MICROSECOND, Domain, Reading, Stamper
from vla_ros.clock import MILLISECOND, SECOND

PERIOD = SECOND // 30
WALL = 1_800_000_000 * SECOND
START = 500 * SECOND
TRANSPORT = 4 * MILLISECOND
TO_MIDDLE = 6 * MILLISECOND


def frame(k, domain=Domain.GLOBAL, counter=0, error=0, **metadata):
    """Reading, arrival and wall clock of frame k: read out at START + k·PERIOD; `error` ns is what the SDK's mapping is wrong by."""
    readout = START + k * PERIOD
    ticks = (counter + k * PERIOD // MICROSECOND) % COUNTER
    times = {
        Domain.GLOBAL: (WALL + readout + error) / MILLISECOND,
        Domain.HARDWARE: ticks / 1000,
        Domain.SYSTEM: (WALL + readout + TRANSPORT) / MILLISECOND,
    }
    return Reading(times[domain], domain, **metadata), readout + TRANSPORT, WALL + readout + TRANSPORT


def metadata(k, counter=0):
    ticks = counter + k * PERIOD // MICROSECOND
    return {"readout": ticks % COUNTER, "middle": (ticks - TO_MIDDLE // MICROSECOND) % COUNTER}


def test_global_time_is_the_read_out_by_the_wall_clock():
    stamper = Stamper(0, PERIOD)
    for k in range(100):
        assert stamper.stamp(*frame(k)) == pytest.approx(START + k * PERIOD, abs=MICROSECOND)


def test_metadata_gives_the_middle_of_the_exposure():
    stamper = Stamper(0, PERIOD)
    for k in range(100):
        moment = stamper.stamp(*frame(k, **metadata(k)))
        assert moment == pytest.approx(START + k * PERIOD - TO_MIDDLE, abs=MICROSECOND)


@pytest.mark.parametrize(
    ("configured", "said", "before"),
    [
        (8 * MILLISECOND, None, 4 * MILLISECOND),
        (8 * MILLISECOND, 100, 5 * MILLISECOND),  # 100 × 100 µs
        (0, None, 0),
        (0, 10_000, PERIOD / 2),  # a second: nothing is exposed for longer than a period
    ],
)
def test_without_its_stamp_the_middle_is_half_an_exposure_before_the_read_out(configured, said, before):
    moment = Stamper(configured, PERIOD).stamp(*frame(0, exposure=said))
    assert START - moment == pytest.approx(before, abs=MICROSECOND)


def test_a_counter_is_mapped_by_arrival_and_its_wrap_passes_unseen():
    counter = COUNTER - 5 * SECOND // MICROSECOND
    stamper = Stamper(0, PERIOD)
    for k in range(600):
        moment = stamper.stamp(*frame(k, Domain.HARDWARE, counter, **metadata(k, counter)))
        assert moment == pytest.approx(START + k * PERIOD - TO_MIDDLE + TRANSPORT, abs=2 * MICROSECOND)


@pytest.mark.parametrize("error", [3600 * SECOND, 20 * MILLISECOND, -150 * MILLISECOND])
def test_a_wall_clock_that_was_set_is_not_believed_and_the_counter_is(error):
    stamper = Stamper(0, PERIOD)
    for k in range(100):
        stamper.stamp(*frame(k, **metadata(k)))
    for k in range(100, 200):
        reading, arrival, wall = frame(k, error=error, **metadata(k))
        late = k % 3 * 5 * MILLISECOND
        moment = stamper.stamp(reading, arrival + late, wall + late)
        assert moment == pytest.approx(START + k * PERIOD - TO_MIDDLE + TRANSPORT, abs=2 * MICROSECOND)


def test_the_stamps_of_the_sdk_run_backwards_for_a_while_and_ours_do_not():
    stamper, moments = Stamper(0, PERIOD), []
    for k in range(200):
        error = -2 * PERIOD if 50 <= k < 60 else 0  # what librealsense #7922 shows
        moments.append(stamper.stamp(*frame(k, error=error)))
    given = [moment for moment in moments if moment is not None]
    assert given == sorted(set(given))
    assert moments[60:] == [pytest.approx(START + k * PERIOD, abs=MICROSECOND) for k in range(60, 200)]
    assert moments.count(None) == 2


def test_a_frame_that_was_held_up_keeps_its_stamp():
    stamper = Stamper(0, PERIOD)
    for k in range(100):
        stamper.stamp(*frame(k, **metadata(k)))
    reading, arrival, wall = frame(100, **metadata(100))
    late = stamper.stamp(reading, arrival + 2 * SECOND, wall + 2 * SECOND)
    assert late == pytest.approx(START + 100 * PERIOD - TO_MIDDLE, abs=MICROSECOND)


def test_no_stamp_is_later_than_its_arrival():
    reading, arrival, wall = frame(0, error=TRANSPORT + MILLISECOND // 2)
    assert Stamper(0, PERIOD).stamp(reading, arrival, wall) == arrival


def test_frames_without_metadata_are_stamped_by_their_arrival():
    stamper = Stamper(0, PERIOD)
    for k in range(10):
        reading, arrival, wall = frame(k, Domain.SYSTEM)
        assert stamper.stamp(reading, arrival, wall) == pytest.approx(arrival, abs=MICROSECOND)


@pytest.mark.parametrize("domain", list(Domain))
def test_a_recording_that_begins_again_is_stamped_on(domain):
    stamper, moments = Stamper(0, PERIOD), []
    for turn in range(3):
        for k in range(30):
            reading, _, _ = frame(k - 30_000_000, domain)  # eleven days ago
            arrival = START + (30 * turn + k) * PERIOD
            moments.append((stamper.stamp(reading, arrival, WALL + arrival), arrival))
    assert all(moment == pytest.approx(arrival, abs=MICROSECOND) for moment, arrival in moments)
