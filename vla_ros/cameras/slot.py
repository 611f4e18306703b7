"""One place for the newest thing that a thread made; what nobody took in time is gone."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Slot(Generic[Item]):
    """Holds the newest item until it is taken; any threads."""

    def __init__(self) -> None:
        self._item: Item | None = None
        self._filled = threading.Condition()

    def put(self, item: Item) -> None:
        """Replace what is there."""
        with self._filled:
            self._item = item
            self._filled.notify()

    def take(self, timeout: float) -> Item | None:
        """The item, waited for up to `timeout` s; None when there was none."""
        with self._filled:
            self._filled.wait_for(lambda: self._item is not None, timeout)
            item, self._item = self._item, None
            return item
