"""How the end of a motion is read from what was seen."""

import numpy as np
import pytest

from vla_ros.clock import MILLISECOND
from vla_ros.commands.bench_kortex import COMMANDED, MEASURED, ending, rest

LOOK = 4 * MILLISECOND
CAUSE = 1_000 * MILLISECOND


def record(stop_after: float, speed: float = 0.04, seconds: float = 3.0, offset: int = 0):
    """Stamps and positions of a tool that goes along x, and stands `stop_after` ms behind the cause."""
    stamps = np.arange(0, seconds * 1e9, LOOK).astype(np.int64) + offset
    gone = np.minimum(stamps, CAUSE + int(stop_after * MILLISECOND)) / 1e9 * speed
    return stamps, np.stack([gone, np.zeros(len(gone)), np.full(len(gone), 0.3)], 1)


def test_it_is_the_moment_from_which_on_nothing_moves():
    found = ending(record(130.0), record(185.0), CAUSE)
    assert found is not None
    assert found.commanded == pytest.approx(130.0, abs=4.1)
    assert 185.0 - 1e3 * MEASURED / 0.04 - 4.1 <= found.measured <= 185.0 + 4.1
    assert found.speed == pytest.approx(0.04, rel=1e-3)


def test_a_pause_is_no_end():
    stamps, positions = record(100.0)
    positions[stamps > CAUSE + 160 * MILLISECOND, 0] += 0.01  # it went on after 60 ms
    moment = rest(stamps, positions, CAUSE, COMMANDED)
    assert moment is not None
    assert moment >= CAUSE + 160 * MILLISECOND


@pytest.mark.parametrize("speed", [0.0, 0.001])
def test_what_did_not_move_did_not_end(speed):
    assert ending(record(130.0, speed), record(130.0, speed), CAUSE) is None


def test_what_goes_on_did_not_end():
    assert ending(record(1e6), record(1e6), CAUSE) is None
    assert ending(record(130.0), (np.zeros(0, np.int64), np.zeros((0, 3))), CAUSE) is None
