"""Slots, journals, the clutch, and the way drawn into the pictures."""

import ast
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from vla_ros.clock import MILLISECOND
from vla_ros.config import load
from vla_ros.dashboard import overlay
from vla_ros.dashboard.clutch import Clutch, Wish
from vla_ros.dashboard.slots import Journal, Slot
from vla_ros.dashboard.telemetry import Teller, paths
from vla_ros.geometry import Pose
from vla_ros.kinematics import TOOL_DOWN

from .fake import Robot, chunk

MS = MILLISECOND


def test_a_slot_holds_the_newest_and_tells_until_left():
    slot, heard = Slot(), []
    leave = slot.listen(lambda: heard.append(slot.get()))
    slot.put(1)
    slot.put(2)
    leave()
    slot.put(3)
    assert heard == [1, 2]
    assert slot.numbered() == (3, 3)


def test_a_journal_keeps_the_newest_and_numbers_them_for_many_writers():
    journal = Journal(length=50)
    threads = [
        threading.Thread(target=lambda: [journal.write(0, "a", "x" * 600) for _ in range(100)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = journal.since(0)
    assert [entry.number for entry in entries] == list(range(351, 401))
    assert {len(entry.text) for entry in entries} == {500}


def wish(t, clutch=True, **more):
    return Wish(t=t, clutch=clutch, **more)


@pytest.fixture
def clutch():
    return Clutch(load("twin"))


def test_one_holds_the_clutch_until_it_is_released_or_silent(clutch):
    assert clutch.wish("a", wish(0), 0)[0] is not None
    assert clutch.wish("b", wish(0), 100 * MS) == (None, "somebody else holds the clutch")
    assert clutch.wish("b", wish(501), 601 * MS)[0] is not None
    assert clutch.wish("a", wish(602), 602 * MS)[1] == "somebody else holds the clutch"
    assert clutch.wish("b", wish(510, clutch=False), 610 * MS) == (None, "")
    assert clutch.wish("a", wish(611), 611 * MS)[0] is not None


def test_who_leaves_lets_go(clutch):
    clutch.wish("a", wish(0), 0)
    clutch.leave("a")
    assert clutch.wish("b", wish(0), 1 * MS)[0] is not None


def test_wishes_from_before_a_pause_of_the_network_are_not_played(clutch):
    assert clutch.wish("a", wish(1000), 5000 * MS)[0] is not None
    # sent every 50 ms, and they come every 10 ms, the first of them 400 ms late
    played = [clutch.wish("a", wish(1050 + 50 * k), (5450 + 10 * k) * MS)[0] is not None for k in range(9)]
    assert played == [False] * 7 + [True] * 2


def test_a_flood_of_wishes_is_thinned_but_letting_go_is_heard(clutch):
    played = [clutch.wish("a", wish(k), k * MS)[0] is not None for k in range(40)]
    assert sum(played) == 5
    clutch.wish("a", wish(40, clutch=False), 40 * MS)
    assert clutch.wish("b", wish(0), 41 * MS)[0] is not None


def test_the_coming_targets_begin_where_the_tool_is():
    tool = Pose(np.array([0.45, 0.0, 0.2]), TOOL_DOWN)
    ahead = overlay.coming(chunk(0), 250 * MS, tool)
    assert ahead[:, 1].tolist() == pytest.approx([0.0, 0.03, 0.04, 0.05])
    assert len(overlay.coming(chunk(0), 600 * MS, tool)) == 0


def test_a_point_before_the_middle_of_the_lens_is_drawn_at_the_principal_point():
    camera = load("twin").cameras["static"]
    tool = Pose(np.array([0.45, 0.0, 0.2]), TOOL_DOWN)
    pose = overlay.camera_pose(camera, tool)
    before = pose.position + overlay.geometry.rotate(pose.quaternion, np.array([0, 0, 0.5]))
    behind = pose.position - overlay.geometry.rotate(pose.quaternion, np.array([0, 0, 0.5]))
    left, top, width, height = camera.roi
    ((across, down),) = overlay.drawn(np.array([before, behind]), camera, tool)
    assert across == pytest.approx((camera.cx + 0.5 - left) / width, abs=1e-4)
    assert down == pytest.approx((camera.cy + 0.5 - top) / height, abs=1e-4)


def test_the_wrist_camera_moves_with_the_tool():
    camera = load("twin").cameras["wrist"]
    points, turned = np.array([[0.45, 0.0, 0.0]]), Pose(np.array([0.40, 0.0, 0.2]), TOOL_DOWN)
    here = overlay.drawn(points, camera, Pose(np.array([0.45, 0.0, 0.2]), TOOL_DOWN))
    there = overlay.drawn(points, camera, turned)
    assert here != there


def test_the_snapshot_is_made_once_for_all_who_listen_and_anew_after_a_tick():
    robot = Robot()
    robot.fill()
    teller = Teller(robot.board, robot.config, robot.clock)
    now = robot.clock.now()
    texts = {teller.text(now) for _ in range(10)}
    assert (len(texts), teller.made) == (1, 1)
    teller.text(now + 100 * MS)
    assert teller.made == 2


def test_a_path_is_drawn_while_the_tool_is_heard_and_follows_the_policy():
    robot = Robot()
    robot.fill()
    now = robot.clock.now()
    assert len(paths(robot.board, robot.config, now)["static"]) == 6
    assert paths(robot.board, robot.config, now + 450 * MS)["static"] == []
    robot.fill("STOPPED", "stopped: requested")
    assert paths(robot.board, robot.config, now)["static"] == []


def test_nothing_of_the_dashboard_unpickles():
    """What comes from the network is text, JSON or a dataset's files, and never code."""
    for path in (Path(__file__).parents[2] / "vla_ros" / "dashboard").rglob("*.py"):
        tree = ast.parse(path.read_text())
        imported = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        imported |= {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        assert imported & {"pickle", "marshal", "shelve", "dill", "multiprocessing"} == set(), path
        called = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
        assert called & {"eval", "exec", "compile"} == set(), path


def test_the_application_loads_neither_ros_nor_what_is_heavy():
    code = "import sys; import vla_ros.dashboard.app, vla_ros.dashboard.serve; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert "fastapi" in loaded
    assert loaded & {"rclpy", "torch", "mujoco", "onnxruntime", "cv2"} == set()
