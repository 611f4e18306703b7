"""One call of a method: who calls, with what, when; and the signature of what handles it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vla_ros.geometry import Array
from vla_ros.twin.controller.errors import CallError, invalid
from vla_ros.twin.controller.robot import Robot
from vla_ros.twin.controller.sessions import Session
from vla_ros.twin.kortex.codes import SubErrorCodes
from vla_ros.values import JOINTS


@dataclass(frozen=True)
class Call:
    """`request` is the method's message, `device` the one that the header names (0: the base), `uid` the method."""

    session: Session
    request: Any
    now: int
    device: int
    uid: int


Handler = Callable[[Robot, Call], Any]
"""Gives the method's reply, or None for an empty one. Raises CallError."""


def finite(what: str, numbers: Iterable[float]) -> Array:
    """The numbers as an array. Raises CallError where one is not finite."""
    array: Array = np.array(list(numbers), dtype=np.float64)
    if not np.isfinite(array).all():
        raise invalid(f"{what}: not finite")
    return array


def of_joints(what: str, entries: Sequence[Any]) -> Array:
    """The values (7,) of messages with joint_identifier 0 … 6 and value. Raises CallError unless each joint has one."""
    values = {int(entry.joint_identifier): float(entry.value) for entry in entries}
    if len(entries) != JOINTS or set(values) != set(range(JOINTS)):
        text = (
            f"{what} for joints {sorted(values)} in {len(entries)} entries: one for each of 0 … {JOINTS - 1} is needed"
        )
        raise CallError(SubErrorCodes.CONTROL_ACTUATOR_COUNT_MISMATCH, text)
    return finite(what, (values[i] for i in range(JOINTS)))


def not_negative(what: str, value: float) -> float:
    """The value. Raises CallError where it is below zero or not finite."""
    if not math.isfinite(value):
        raise invalid(f"{what}: not finite")
    if value < 0:
        raise CallError(SubErrorCodes.VALUE_IS_BELOW_MINIMUM, f"{what} {value:g}: below 0")
    return value
