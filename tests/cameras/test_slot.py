"""The newest thing that a thread made."""

import threading

from vla_ros.cameras.slot import Slot


def test_only_the_newest_is_there_and_only_once():
    slot = Slot[int]()
    assert slot.take(0) is None
    slot.put(1)
    slot.put(2)
    assert slot.take(0) == 2
    assert slot.take(0) is None


def test_who_waits_gets_what_comes():
    slot, got = Slot[str](), []
    waiting = threading.Thread(target=lambda: got.append(slot.take(60)))
    waiting.start()
    slot.put("new")
    waiting.join(30)
    assert got == ["new"]
