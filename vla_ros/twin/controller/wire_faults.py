"""What can be wrong with a controller's connections, on demand."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from vla_ros.clock import SECOND

GARBAGE = 37
"""Bytes of one piece of garbage."""


@dataclass
class WireFaults:
    """Switches of a KortexServer, to be set while it runs; as made, nothing is wrong.

    freeze: nothing is read and nothing answered; physics and the sessions' time-outs go on, and what came meanwhile is read when it
    is over. mute: everything is obeyed, nothing answered. half_open: what comes over TCP is taken and forgotten, as by a peer that
    vanished without a word; UDP goes on. udp_delay s: replies come so much later; udp_loss and udp_double 0 … 1: how
    many of them are lost or come twice. garbage 0 … 1: how often bytes that are no frame come before a reply.
    """

    freeze: bool = False
    mute: bool = False
    half_open: bool = False
    udp_delay: float = 0.0
    udp_loss: float = 0.0
    udp_double: float = 0.0
    garbage: float = 0.0
    dice: random.Random = field(default_factory=lambda: random.Random(0))

    def datagrams(self, data: bytes, now: int) -> list[tuple[int, bytes]]:
        """When to send what, for a reply over UDP."""
        if self.mute or self._happens(self.udp_loss):
            return []
        before = [self.dice.randbytes(GARBAGE)] if self._happens(self.garbage) else []
        copies = 2 if self._happens(self.udp_double) else 1
        due = now + round(self.udp_delay * SECOND)
        return [(due, each) for each in [*before, *[data] * copies]]

    def stream(self, data: bytes) -> bytes:
        """What to send for a reply over TCP."""
        if self.mute or self.half_open:
            return b""
        return self.dice.randbytes(GARBAGE) + data if self._happens(self.garbage) else data

    def _happens(self, share: float) -> bool:
        return share > 0 and self.dice.random() < share
