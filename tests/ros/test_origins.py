"""Who made a chunk, and which of two policies may move the arm."""

import numpy as np

from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.nodes.origins import WAIT, Origins, Word
from vla_ros.values import ActionChunk, Verdict

NOW = 100 * SECOND


def chunk(stamp=NOW):
    return ActionChunk(stamp, 1, np.zeros((1, 3)), np.zeros((1, 4)), np.zeros(1), 1, "", "", 1)


def word(stamp, instance="first", **changes):
    return Word(stamp, instance, **({"policy": "demo", "instruction": "lift"} | changes))


def test_a_chunk_is_joined_to_the_word_of_its_stamp_whichever_comes_first():
    for early in (True, False):
        origins = Origins(SECOND)
        said = word(7, frames={"static": 3}, spans={"received": 5 * MILLISECOND, "decided": 9 * MILLISECOND})
        arrivals = [origins.hear(said, NOW)] if early else []
        arrivals.append(origins.arrive(chunk(), 7, NOW))
        arrivals += [] if early else [origins.hear(said, NOW + MILLISECOND)]
        got = arrivals[-1].chunk
        assert arrivals[0].chunk is None
        assert (got.policy, got.instruction, got.trace.instance, got.trace.frames) == (
            "demo",
            "lift",
            "first",
            {"static": 3},
        )
        assert (got.trace.received, got.trace.encoded) == (NOW + 5 * MILLISECOND, 0)
        assert got.trace.decided == NOW + 9 * MILLISECOND


def test_a_chunk_of_which_nobody_speaks_is_refused_after_a_while():
    origins = Origins(SECOND)
    origins.hear(word(6), NOW)
    assert origins.arrive(chunk(), 7, NOW).chunk is None
    assert origins.expire(NOW + WAIT) == []
    assert [arrival.refusal for arrival in origins.expire(NOW + WAIT + 1)] == [Verdict.CHUNK_UNKNOWN]
    assert origins.expire(NOW + SECOND) == []


def test_a_second_policy_moves_nothing_while_the_first_lives():
    origins = Origins(SECOND)
    origins.hear(word(1), NOW)
    assert not origins.hear(word(2, "second"), NOW).restarted
    assert not origins.rightful(word(2, "second"))
    assert origins.arrive(chunk(), 2, NOW).refusal is Verdict.CHUNK_SECOND_POLICY
    origins.hear(word(3), NOW + SECOND)
    assert not origins.hear(word(4, "second"), NOW + 2 * SECOND).restarted
    assert origins.arrive(chunk(), 3, NOW + 2 * SECOND).chunk is not None


def test_one_that_takes_over_from_a_silent_one_is_a_restart():
    origins = Origins(SECOND)
    assert not origins.hear(word(1), NOW).restarted
    assert origins.hear(word(2, "second"), NOW + SECOND + 1).restarted
    assert origins.rightful(word(2, "second"))
    assert origins.arrive(chunk(), 2, NOW + SECOND + 1).chunk is not None


def test_a_flood_is_not_kept():
    origins = Origins(SECOND)
    for stamp in range(1000):
        origins.arrive(chunk(), stamp, NOW)
        origins.hear(word(5000 + stamp), NOW)
    assert len(origins.expire(NOW + SECOND)) <= 16
