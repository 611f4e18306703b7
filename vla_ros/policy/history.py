"""When a policy's history gets its next entry: by the exposure of the frames, at the distance of training."""

from __future__ import annotations

from dataclasses import dataclass

EARLY = 0.2
"""Part of a stride by which a frame may come early: cameras jitter, and 10 Hz is taken from 30 or 15 frames a second."""
_LATE = 0.5
"""Part of a stride by which an entry may be late without moving the grid: later, the next one would follow on its heels."""
_NUDGE = 0.1
"""Part of an entry's lateness by which the grid follows: a camera's clock is not ours."""


@dataclass(frozen=True)
class Entry:
    """What to do with an observation that is due.

    missed: strides that passed without one, for which the newest feature is repeated; reset: so much was missed that nothing
    of the history is left, and it starts over.
    """

    missed: int
    reset: bool


@dataclass(frozen=True)
class History:
    """Where on the grid of strides the next entry belongs, ns; `next` is None before the first."""

    stride: int
    window: int
    next: int | None = None

    def due(self, stamp: int) -> bool:
        """Whether an observation at `stamp` is the next entry, not a frame between two of them."""
        return self.next is None or stamp >= self.next - self._early or stamp < self.next - self._span

    def enter(self, stamp: int) -> tuple[History, Entry]:
        """The history with the observation at `stamp`, which must be due, and what that means for the memory.

        A stamp far before the last one is a clock that was set, or a new rollout: it starts over, like a gap longer than the
        window.
        """
        if self.next is None:
            return self._from(stamp), Entry(0, reset=True)
        missed = (stamp + self._early - self.next) // self.stride
        if missed < 0 or missed >= self.window - 1:
            return self._from(stamp), Entry(0, reset=True)
        return self._from(self._anchor(stamp, self.next + missed * self.stride)), Entry(missed, reset=False)

    def _anchor(self, stamp: int, slot: int) -> int:
        """Where the grid goes on from after an entry at `stamp` for `slot`: near the slot, or, if that is long past, there."""
        late = stamp - slot
        return stamp if late > _LATE * self.stride else slot + round(_NUDGE * late)

    def _from(self, stamp: int) -> History:
        """The history whose next entry is a stride after `stamp`."""
        return History(self.stride, self.window, stamp + self.stride)

    @property
    def _early(self) -> int:
        return round(EARLY * self.stride)

    @property
    def _span(self) -> int:
        return self.stride * max(self.window, 2)
