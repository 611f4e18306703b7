"""What the watchdog says of itself, and what enabling makes of it."""

import pytest

from vla_ros.clock import SECOND
from vla_ros.motion.guard import SILENT, Notice, obstacle

NOW = 100 * SECOND


@pytest.fixture
def notice(tmp_path):
    made = Notice(tmp_path)
    yield made
    made.close()


def test_where_no_watchdog_has_been_nothing_is_in_the_way(tmp_path):
    assert obstacle(tmp_path, NOW) == ""


def test_a_watchdog_that_looks_and_reaches_the_arm_is_no_obstacle(notice, tmp_path):
    notice.tell(NOW, "")
    assert obstacle(tmp_path, NOW) == obstacle(tmp_path, NOW + SILENT) == ""


def test_a_watchdog_without_the_arm_is_one_and_says_why(notice, tmp_path):
    notice.tell(NOW, "no answer within 50 ms")
    assert obstacle(tmp_path, NOW) == "the watchdog cannot stop the arm: no answer within 50 ms"
    notice.tell(NOW, "")
    assert obstacle(tmp_path, NOW) == ""


def test_a_silent_watchdog_is_one_also_before_its_first_word(notice, tmp_path):
    assert "the watchdog is silent" in obstacle(tmp_path, NOW)
    notice.tell(NOW, "")
    assert "the watchdog is silent" in obstacle(tmp_path, NOW + SILENT + 1)


def test_a_long_complaint_is_cut_and_a_watchdog_that_left_is_forgotten(tmp_path):
    notice = Notice(tmp_path)
    notice.tell(NOW, "ü" * 600)
    assert obstacle(tmp_path, NOW).startswith("the watchdog cannot stop the arm: üü")
    notice.close()
    assert obstacle(tmp_path, NOW) == ""
