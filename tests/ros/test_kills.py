"""Real processes that hang in the middle of a motion, and what the records of the watching process show of it.

Nothing here asserts how long anything took: a busy machine may take its time, and the deadlines of the service are lenient for it.
"""

import contextlib
import os

import numpy as np
import pytest

from vla_ros.commands.kills import INTRUDER, Blow, blows, stage, strike
from vla_ros.config import load
from vla_ros.evaluation import resources
from vla_ros.evaluation.proof import Phase, violations
from vla_ros.evaluation.watch import Watcher, WatchError, joined
from vla_ros.values import Mode

SPEC = "constant:0.46,0.05,0.18"
LENIENT = [
    "deadlines.feedback_hold=0.8", "deadlines.feedback_stop=1.0", "deadlines.servo_silent=0.4", "servo.priority=0",
]  # fmt: skip


@pytest.fixture
def staged(monkeypatch):
    monkeypatch.delenv("ROS_DOMAIN_ID")
    with stage(load("twin", overrides=[f"policy.bundle={SPEC}", *LENIENT]), 0.5) as made:
        pids, runtime = made.live.service.pids(), made.live.service.runtime
        used = resources.used(pids)
        yield made
    assert resources.alive(pids) == []
    assert not runtime.exists()
    assert runtime.name in used
    assert resources.leaked(used) == []


def test_a_camera_that_hangs_holds_the_arm_and_the_service_goes_on_behind_it(staged):
    finding = strike(staged, Blow("wrist_camera", False, Phase.APPROACH), seed=1_000_001).finding
    assert finding.mode == "HOLD"
    assert finding.verdict in ("CAMERA_STALE", "CAMERA_FROZEN")
    assert finding.after_ms > 0
    assert finding.exceeded == ()
    assert finding.recovered
    assert 0 < finding.distance < 0.1
    resting = staged.watcher.take()
    later = joined([resting, _later(staged)])
    assert Mode.IDLE in later.commands.modes or Mode.ACTIVE in later.commands.modes
    assert (np.diff(later.commands.cycles) > 0).all()
    assert (np.diff(later.motion.stamps) >= 0).all()  # two looks of the twin may find the same physics
    assert len(later.motion) > len(resting.motion)
    assert violations(later.commands, later.motion, staged.live.service.config) == []
    assert set(resources.holdings(staged.live.service.pids())) == set(staged.live.service.pids())


def _later(staged):
    staged.live.client.sleep(0.5)
    return staged.watcher.take()


def test_a_watcher_that_is_over_says_so(tmp_path):
    watcher = Watcher(tmp_path, 0)
    with contextlib.closing(watcher):
        seen = watcher.take()
        assert (len(seen.commands), len(seen.motion), seen.stops) == (0, 0, ())
        os.kill(watcher.pid, 9)
        with pytest.raises(WatchError, match="has ended"):
            watcher.take()


def test_every_process_is_struck_in_every_phase():
    config = load()
    names = {"twin", "servo", "watchdog", "arm", "policy", *(f"{name}_camera" for name in config.cameras)}
    struck = blows(config)
    assert {blow.name for blow in struck} == names | {INTRUDER}
    for name in names:
        assert {(b.killed, b.phase) for b in struck if b.name == name} == {(k, p) for k in (True, False) for p in Phase}
    killed = [blow.name for blow in blows(config, short=True) if blow.killed]
    assert sorted(killed) == sorted(names)
