"""The watchdog's judgement, look by look."""

from vla_ros.clock import MILLISECOND
from vla_ros.motion.watchdog import REPEAT, Watch, watch

SILENT = 100 * MILLISECOND
T = 10**12


def test_a_servo_that_was_never_seen_needs_no_stop():
    memory = Watch()
    for ms in range(0, 2000, 10):
        memory, stop = watch(memory, None, T + ms * MILLISECOND, SILENT)
        assert not stop


def test_a_beating_servo_is_left_alone():
    memory = Watch()
    for ms in range(0, 2000, 10):
        memory, stop = watch(memory, T + ms, T + ms * MILLISECOND, SILENT)
        assert not stop


def test_stop_comes_after_the_silence_and_again_while_it_lasts():
    memory, _ = watch(Watch(), 7, T, SILENT)
    memory, stop = watch(memory, 7, T + SILENT, SILENT)
    assert not stop
    memory, stop = watch(memory, 7, T + SILENT + 1, SILENT)
    assert stop
    memory, stop = watch(memory, 7, T + SILENT + REPEAT, SILENT)
    assert not stop
    memory, stop = watch(memory, 7, T + SILENT + 1 + REPEAT, SILENT)
    assert stop
    memory, stop = watch(memory, 8, T + SILENT + 2 * REPEAT, SILENT)
    assert not stop
    assert memory == Watch(8, T + SILENT + 2 * REPEAT, 0)


def test_a_servo_that_left_is_followed_by_one_stop():
    memory, _ = watch(Watch(), 7, T, SILENT)
    memory, stop = watch(memory, None, T + SILENT // 2, SILENT)
    assert not stop
    stops = 0
    for ms in range(100, 2000, 10):
        memory, stop = watch(memory, None, T + ms * MILLISECOND, SILENT)
        stops += stop
    assert stops == 1
    memory, stop = watch(memory, 9, T + 3000 * MILLISECOND, SILENT)
    assert not stop
    memory, stop = watch(memory, 9, T + 3101 * MILLISECOND, SILENT)
    assert stop
