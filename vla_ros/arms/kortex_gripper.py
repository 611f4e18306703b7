"""When the gripper's target is sent to the arm, as a pure function of what was sent and measured.

Firmware 2.5 ends a gripper's motion when the next twist arrives (Kinovarobotics/ros_kortex #325), so a target is
repeated while the fingers stand short of it; and messages at 15 Hz have locked a gripper until the next boot (#296),
so there are never more than `rate` a second and it is given up when repeating brings nothing: then an object is in
the way. Times are ns; positions 0 open … 1 closed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vla_ros.clock import MILLISECOND, SECOND

NEAR = 0.03
"""Distance at which a target counts as reached: a full close on air settles at 0.991 (measured by users of the 2F-85)."""
PROGRESS = 0.01
"""Change of position that counts as motion: feedback has steps of 1/255."""
STANDING = 150 * MILLISECOND
"""Without progress for so long, the fingers stand."""
TRIES = 6
"""Repetitions in a row without progress after which a target is given up."""


@dataclass(frozen=True)
class Grip:
    """What is known of the gripper: the target sent last (None: none yet) and when, the repetitions since the last
    progress, where and when that was, and whether nothing more is to be sent for this target.
    """

    target: float | None = None
    sent: int | None = None
    tries: int = 0
    place: float = 0.0
    moved: int = 0
    settled: bool = True
    streamed: bool = False


def step(
    grip: Grip, now: int, wanted: float, measured: float, streaming: bool, deadband: float, rate: float
) -> tuple[Grip, bool]:
    """One look: the new memory, and whether `memory.target` is to be sent now.

    `wanted` is the target asked for, `measured` the newest position, `streaming` whether twists that move are being
    sent: what is given up while they are is tried once more when they have ended. `deadband` is the change of
    `wanted` that counts, `rate` Hz at most.
    """
    if not (0.0 <= wanted <= 1.0 and 0.0 <= measured <= 1.0):
        return grip, False  # NaN too: nothing is known that could be acted upon
    grip = _seen(grip, now, measured)
    if grip.target is None or _changed(grip.target, wanted, deadband):
        return _begun(grip, now, wanted, measured, streaming, rate)
    if abs(measured - grip.target) <= NEAR:
        return replace(grip, settled=True, streamed=False), False
    if grip.settled and grip.streamed and not streaming:  # it may have been the motion that held the fingers up
        grip = replace(grip, settled=False, streamed=False, tries=TRIES // 2)
    if grip.settled or now - grip.moved < STANDING or not _due(grip, now, rate):
        return grip, False
    if grip.tries >= TRIES:
        return replace(grip, settled=True, streamed=streaming), False
    return replace(grip, sent=now, tries=grip.tries + 1), True


def _seen(grip: Grip, now: int, measured: float) -> Grip:
    """Progress is way towards the target: fingers that are pushed about bring no more messages."""
    if grip.target is None or abs(measured - grip.target) > abs(grip.place - grip.target) - PROGRESS:
        return grip
    return replace(grip, place=measured, moved=now, tries=0)


def _changed(target: float, wanted: float, deadband: float) -> bool:
    """Whether it is another target; fully open and fully closed always are."""
    return abs(wanted - target) >= deadband or (wanted != target and wanted in (0.0, 1.0))


def _begun(grip: Grip, now: int, wanted: float, measured: float, streaming: bool, rate: float) -> tuple[Grip, bool]:
    """A new target, as soon as the rate allows; one where the fingers are already needs no message at the start."""
    if grip.target is None and abs(measured - wanted) < NEAR:
        return replace(grip, target=wanted, settled=True, place=measured, moved=now), False
    if not _due(grip, now, rate):
        return grip, False
    return Grip(wanted, now, 0, measured, now, settled=False), True


def _due(grip: Grip, now: int, rate: float) -> bool:
    return grip.sent is None or now - grip.sent >= SECOND / rate
