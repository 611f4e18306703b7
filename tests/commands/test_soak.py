"""What a soak counts and concludes, on made-up records: each thing that may go wrong must show."""

import dataclasses

import numpy as np
import pytest

from vla_ros.commands.soak import Log, concluded, count, document, moved, picture, runs
from vla_ros.evaluation.proof import Commands, Motion
from vla_ros.evaluation.resources import Holding
from vla_ros.values import Mode, Verdict

SECONDS = 120


def log(growth=0.0):
    held = [Holding(100 + growth * k / SECONDS, 10, 4) for k in range(SECONDS)]
    return Log(
        times=[float(k) for k in range(SECONDS)],
        held={"servo": held, "arm": [Holding(80.0, 20, 9)] * SECONDS},
        blocks=[8] * SECONDS,
        shared=[40] * SECONDS,
        distance=3.0,
    )


def wrong(record, died="", leaked=(), outlived=()):
    return concluded(record, died, leaked, outlived).wrong


def test_a_quiet_soak_passes():
    assert wrong(log()) == ()


@pytest.mark.parametrize(
    ("record", "arguments", "text"),
    [
        (log(growth=9.0), {}, "servo grows"),
        (log(), {"died": "policy was killed by SIGKILL"}, "policy was killed"),
        (log(), {"leaked": ("fastrtps_0123",)}, "left in shared memory: fastrtps_0123"),
        (log(), {"outlived": ("arm",)}, "arm outlived the service"),
        (dataclasses.replace(log(), violations=["tool speed: 0.3 instead of 0.16"]), {}, "passed a limit: tool speed"),
        (dataclasses.replace(log(), blocks=[8] * 119 + [20]), {}, "blocks were left"),
        (dataclasses.replace(log(), distance=0.01), {}, "the arm hardly moved"),
        (Log(distance=1.0), {}, "too short"),
    ],
)
def test_what_goes_wrong_is_told(record, arguments, text):
    found = wrong(record, **arguments)
    assert any(line.startswith(text) for line in found), found


def commands(modes, cycles):
    n = len(modes)
    stamps = np.arange(n, dtype=np.int64) * 10_000_000
    return Commands(stamps, np.zeros((n, 6)), np.array(cycles), tuple(modes), (Verdict.IDLE,) * n)


def test_cycles_are_counted_once_and_those_not_seen_as_well():
    record = Log()
    told = commands([Mode.DISARMED, Mode.IDLE, Mode.ACTIVE, Mode.DISARMED, Mode.IDLE], [1, 2, 3, 6, 7])
    count(record, told, 0)
    assert (record.cycles, record.unseen, record.enabled) == (5, 2, 2)
    assert record.verdicts == {"IDLE": 5}
    assert runs(told) == ["DISARMED (IDLE)", "IDLE (IDLE)", "ACTIVE", "DISARMED (IDLE)", "IDLE (IDLE)"]
    again = commands([Mode.DISARMED, Mode.IDLE, Mode.DISARMED, Mode.IDLE], [6, 7, 8, 9])
    count(record, again, 2)
    assert (record.cycles, record.unseen, record.enabled) == (7, 2, 3)


def test_a_jump_to_another_episode_is_no_way():
    positions = np.array([[0.4, 0, 0.2], [0.401, 0, 0.2], [0.5, 0.1, 0.2], [0.501, 0.1, 0.2]])
    motion = Motion(np.arange(4), np.zeros((4, 7)), np.zeros((4, 7)), positions, np.zeros((4, 4)), np.zeros(4))
    assert moved(motion) == pytest.approx(0.002)


def test_the_document_and_the_picture_show_every_process(tmp_path):
    record = log(growth=9.0)
    ending = concluded(record, "", (), ())
    summary = document(record, ending)["summary"]
    assert summary["servo_rss_growth_mb"]["value"] == pytest.approx(5.4, abs=0.1)
    assert summary["arm_rss_growth_mb"]["value"] == 0.0
    assert summary["seconds"]["n"] == SECONDS
    picture(record, tmp_path / "memory.png")
    assert (tmp_path / "memory.png").stat().st_size > 1000
