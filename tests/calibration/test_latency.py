"""Injected delays are found again, from noisy, unevenly sampled and distorted signals; what cannot be told is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_ros.calibration import latency
from vla_ros.calibration.latency import CalibrationError, Track
from vla_ros.config import load

FREQUENCY = 0.83
SECONDS = 10.0
AMPLITUDE = 0.012
EXACT = 0.005
"""s within which an injected delay must be found."""


def position(times):
    return AMPLITUDE * np.sin(2 * np.pi * FREQUENCY * times + 0.4)


def feedback(random, noise=0.0002):
    times = np.arange(0, SECONDS, 0.01)
    return Track(times, position(times) + random.normal(0, noise, len(times)))


def stamps(random, rate=30.0, jitter=0.004):
    """Moments of a camera that is not even."""
    times = np.arange(0, SECONDS, 1 / rate)
    return np.sort(times + random.normal(0, jitter, len(times)))


def picture(shift, random, noise=2.0, gain=350.0):
    """A blurred light on a dark table, seen by a camera whose `gain` is in pixels a metre."""
    rows, columns = np.mgrid[:80, :120]
    light = 150 * np.exp(-((columns - 60 - gain * shift) ** 2 + (rows - 40) ** 2) / 80)
    grey = 40 + light + random.normal(0, noise, light.shape)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def lag_of(signal, reference, signed=True):
    return latency.lag(latency.fit(signal, FREQUENCY), latency.fit(reference, FREQUENCY), FREQUENCY, signed=signed)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(delay=st.floats(-0.05, 0.3), seed=st.integers(0, 1000), sign=st.sampled_from((-1, 1)))
def test_a_camera_signals_delay_is_found_whatever_its_sign(delay, seed, sign):
    random = np.random.default_rng(seed)
    times = stamps(random)
    seen = Track(times, sign * position(times - delay) + random.normal(0, 0.06 * AMPLITUDE, len(times)) + 0.003 * times)
    found = lag_of(seen, feedback(random), signed=False)
    assert found.value == pytest.approx(delay, abs=EXACT)
    assert found.error < EXACT


@settings(deadline=None, derandomize=True, max_examples=40)
@given(delay=st.floats(-0.05, 0.3), curl=st.floats(-60, 60), bend=st.floats(-8000, 8000), seed=st.integers(0, 1000))
def test_what_a_picture_makes_of_a_position_does_not_move_its_phase(delay, curl, bend, seed):
    random = np.random.default_rng(seed)
    times = stamps(random)
    x = position(times - delay)
    seen = Track(times, x + curl * x**2 + bend * x**3)
    fitted = latency.fit(seen, FREQUENCY)
    if fitted.share > latency.WEAKEST:  # bent so far that its own harmonics drown it, it is refused
        assert lag_of(seen, feedback(random), signed=False).value == pytest.approx(delay, abs=EXACT)


@pytest.mark.parametrize("delay", [-0.05, 0.0, 0.04, 0.12, 0.3])
def test_the_delay_of_a_film_is_found(delay):
    random = np.random.default_rng(3)
    times = stamps(random)
    film = [latency.shrunk(picture(position(t - delay), random)) for t in times]
    seen = latency.movement(times, film, FREQUENCY)
    fitted = latency.fit(seen, FREQUENCY)
    found = latency.lag(fitted, latency.fit(feedback(random), FREQUENCY), FREQUENCY, signed=False)
    assert latency.believed(found, fitted, "it", "help").value == pytest.approx(delay, abs=0.002)


def test_light_that_changes_slowly_does_not_hide_the_sway():
    random = np.random.default_rng(4)
    times = stamps(random)
    dimming = 0.7 + 0.3 * np.cos(2 * np.pi * 0.13 * times)
    film = [
        latency.shrunk((picture(position(t - 0.07), random) * share).astype(np.uint8))
        for t, share in zip(times, dimming, strict=True)
    ]
    fitted = latency.fit(latency.movement(times, film, FREQUENCY), FREQUENCY)
    found = latency.lag(fitted, latency.fit(feedback(random), FREQUENCY), FREQUENCY, signed=False)
    assert found.value == pytest.approx(0.07, abs=EXACT)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(delay=st.floats(0.0, 0.3), seed=st.integers(0, 1000))
def test_the_arms_delay_is_found_from_the_commanded_velocity(delay, seed):
    random = np.random.default_rng(seed)
    times = np.arange(0, SECONDS, 0.01)
    omega = 2 * np.pi * FREQUENCY
    velocity = Track(times, AMPLITUDE * omega * np.cos(omega * times + 0.4))
    felt = Track(times, position(times - delay) + random.normal(0, 0.0005, len(times)))
    wish = latency.displaced(latency.fit(velocity, FREQUENCY), FREQUENCY)
    found = latency.lag(latency.fit(felt, FREQUENCY), wish, FREQUENCY)
    assert wish.amplitude == pytest.approx(AMPLITUDE, rel=1e-6)
    assert found.value == pytest.approx(delay, abs=0.002)


def test_the_standard_error_is_what_the_lag_scatters_by():
    values, errors = [], []
    for seed in range(60):
        random = np.random.default_rng(seed)
        times = stamps(random)
        seen = Track(times, position(times) + random.normal(0, 0.2 * AMPLITUDE, len(times)))
        found = lag_of(seen, feedback(random))
        values.append(found.value)
        errors.append(found.error)
    assert np.std(values) == pytest.approx(np.mean(errors), rel=0.3)


def test_of_a_camera_the_lag_from_a_tenth_of_a_second_early_on_is_taken():
    """A camera whose sign is unknown looks the same at lags half a cycle apart."""
    random = np.random.default_rng(0)
    times = stamps(random, jitter=0)
    half = 0.5 / FREQUENCY
    for delay in (-0.09, 0.2, latency.EARLIEST + half - 0.01):
        beyond = Track(times, position(times - delay - half))
        assert lag_of(beyond, feedback(random), signed=False).value == pytest.approx(delay, abs=0.002)


def refusal(film, times):
    fitted = latency.fit(latency.movement(times, film, FREQUENCY), FREQUENCY)
    with pytest.raises(CalibrationError) as refused:
        latency.believed(latency.Lag(0.0, 0.0, 1), fitted, "camera static", "turn it")
    return str(refused.value)


def test_a_camera_that_sees_no_motion_is_refused():
    random = np.random.default_rng(1)
    times = stamps(random)
    noise = [latency.shrunk(picture(0.0, random)) for _ in times]
    assert "camera static shows no clear sway" in refusal(noise, times)
    still = [latency.shrunk(picture(0.0, random, noise=0))] * len(times)
    assert "turn it" in refusal(still, times)


def test_a_signal_too_noisy_for_its_lag_is_refused():
    random = np.random.default_rng(1)
    times = stamps(random, rate=12)
    seen = latency.fit(Track(times, position(times) + random.normal(0, 0.6 * AMPLITUDE, len(times))), FREQUENCY)
    found = latency.lag(seen, latency.fit(feedback(random), FREQUENCY), FREQUENCY)
    with pytest.raises(CalibrationError, match="too noisy"):
        latency.believed(found, seen, "it", "help")


@pytest.mark.parametrize("n", [0, 10, 59])
def test_too_few_samples_are_refused(n):
    with pytest.raises(CalibrationError, match="too few"):
        latency.fit(Track(np.arange(n) * 0.1, np.zeros(n)), FREQUENCY)
    with pytest.raises(CalibrationError, match="too few"):
        latency.movement(np.arange(n) * 0.1, [np.zeros((3, 4), np.float32)] * n, FREQUENCY)


def test_pictures_shrink_to_the_means_of_their_cells():
    image = np.random.default_rng(0).integers(0, 256, (80, 120, 3), dtype=np.uint8)
    small = latency.shrunk(image)
    assert small.shape == (16, 24)
    assert small[3, 5] == pytest.approx(image[15:20, 25:30].mean(), abs=1e-3)
    assert latency.shrunk(np.full((720, 1280, 3), 77, np.uint8)).shape == (13, 23)
    assert latency.shrunk(np.full((5, 7, 3), 77, np.uint8)).mean() == 77


def gripper(delay, edge=1.0, start=0.1, target=0.4, noise=0.002, seed=0):
    random = np.random.default_rng(seed)
    times = np.arange(0, 3, 0.01) + random.uniform(0, 0.01)
    travelled = np.clip((times - edge - delay) / 0.6, 0, abs(target - start))
    return Track(times, start + np.sign(target - start) * travelled + random.normal(0, noise, len(times)))


@settings(deadline=None, derandomize=True, max_examples=60)
@given(delay=st.floats(0, 0.3), seed=st.integers(0, 1000), closing=st.booleans())
def test_the_begin_of_a_ramp_is_found_between_the_samples(delay, seed, closing):
    start, target = (0.1, 0.4) if closing else (0.4, 0.1)
    track = gripper(delay, start=start, target=target, seed=seed)
    assert latency.ramp_begin(track, 1.0, target) - 1.0 == pytest.approx(delay, abs=0.005)


def test_a_gripper_that_does_not_get_there_is_refused():
    track = gripper(0.1)
    with pytest.raises(CalibrationError, match="between the fingers"):
        latency.ramp_begin(track, 1.0, 0.9)
    with pytest.raises(CalibrationError, match="before the command"):
        latency.ramp_begin(track, -1.0, 0.4)


def test_edges_are_averaged_and_one_alone_is_none():
    found = latency.edges([0.02, 0.03, 0.04])
    assert (found.value, found.n) == (pytest.approx(0.03), 3)
    assert found.error == pytest.approx(0.01 / np.sqrt(3))
    with pytest.raises(CalibrationError):
        latency.edges([0.02])


@settings(deadline=None, derandomize=True, max_examples=60)
@given(gain=st.floats(0.1, 20), delay=st.floats(0.001, 0.2))
def test_the_gain_is_one_that_the_schema_takes(gain, delay):
    fitting = latency.fitting_gain(gain, delay)
    assert fitting <= gain
    assert load(overrides=[f"servo.gain={fitting}", f"servo.delay={delay}"]).servo.gain == fitting
