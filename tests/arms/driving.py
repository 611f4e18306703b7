"""What tests of the Kortex driver do with an arm: drive it as the servo's loop does, wait for what must come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tests.twin.controller.running import Running
from vla_ros.arms.kortex import KortexArm
from vla_ros.config import Config
from vla_ros.geometry import Array
from vla_ros.twin.controller import orders
from vla_ros.values import ArmState

PATIENCE = 20.0
"""s that a loaded machine gets for what must come; never measured."""
CYCLE = 0.01
now = time.monotonic_ns


def twist(x: float = 0, y: float = 0, z: float = 0, rx: float = 0, ry: float = 0, rz: float = 0) -> Array:
    """m/s and rad/s in the base frame."""
    return np.array([x, y, z, rx, ry, rz], float)


REST = twist()


def drive(arm: KortexArm, command: Array, seconds: float, gripper: float = 0.0) -> list[ArmState]:
    """Look and command at 100 Hz for so long: what was seen."""
    seen, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        seen.append(look(arm))
        arm.send(now(), command, gripper)
        time.sleep(CYCLE)
    return seen


def drive_until(arm: KortexArm, command: Array, condition: Callable[[], Any], gripper: float = 0.0) -> None:
    """Look and command at 100 Hz until the condition is true."""
    until(lambda: drive(arm, command, 2 * CYCLE, gripper) and condition(), "what driving was for")


def set_going(running: Running, arm: KortexArm, command: Array) -> None:
    """Command at 100 Hz until the controller moves the tool so: the whole twist, as the arm takes it up."""
    drive_until(arm, command, lambda: np.allclose(applied(running), command, atol=1e-4))


def applied(running: Running) -> Array:
    """The tool twist (6,) m/s and rad/s, in the base frame, that the controller moves the arm with now."""
    drive: Any = running.twin.controller
    return np.array(drive.applied)


def orders_of(running: Running) -> list[orders.Order]:
    """What the controller is ordered from now on."""
    taken: list[orders.Order] = []
    robot, order = running.robot, running.robot.order

    def noted(given: orders.Order) -> None:
        taken.append(given)
        order(given)

    robot.order = noted
    return taken


def sets_moving(order: orders.Order) -> bool:
    """Whether the arm would move by it."""
    return bool(order.velocity.any()) if isinstance(order, orders.Twist) else not isinstance(order, orders.Stop)


def look(arm: KortexArm) -> ArmState:
    """The newest state."""
    state = arm.read(now())
    assert state is not None
    return state


def until(condition: Callable[[], Any], what: str = "", arm: KortexArm | None = None) -> Any:
    """What the condition gives once it is true; an `arm` is looked at meanwhile, as by a loop that lives."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if value := condition():
            return value
        if arm is not None:
            arm.read(now())
        time.sleep(0.005)
    raise AssertionError(f"did not come within {PATIENCE} s: {what}")


def fault_of(arm: KortexArm, *words: str) -> str:
    """The fault, once it has all these words."""
    return str(until(lambda: (text := look(arm).fault) and all(w in text for w in words) and text, f"fault {words}"))


def healthy(arm: KortexArm) -> bool:
    """Wait until there is no fault."""
    return bool(until(lambda: not look(arm).fault, "no fault"))


def speed(running: Running) -> float:
    """m/s of the tool that the controller moves it with now."""
    return float(np.linalg.norm(applied(running)[:3]))


def moves(running: Running) -> bool:
    """Wait until the controller moves the tool."""
    return bool(until(lambda: speed(running) > 0.01, "motion"))


def rests(running: Running) -> bool:
    """Wait until the controller holds the tool still."""
    return bool(until(lambda: speed(running) == 0.0, "rest"))


@contextmanager
def opened(config: Config, **options: Any) -> Iterator[KortexArm]:
    """An arm that is open."""
    arm = KortexArm(config, say=lambda text: None, **options)
    try:
        arm.open()
        yield arm
    finally:
        arm.close()


def changed(config: Config, **arm: Any) -> Config:
    """The configuration with other settings of `arm`."""
    return config.model_copy(update={"arm": config.arm.model_copy(update=arm)})
