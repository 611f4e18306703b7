"""A controller for tests: a twin that follows the real clock in a thread, behind a KortexServer on free ports."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from vla_ros.clock import MILLISECOND, MonotonicClock
from vla_ros.config import Config, load
from vla_ros.twin.controller.measured import measure
from vla_ros.twin.controller.product import Product
from vla_ros.twin.controller.robot import Robot
from vla_ros.twin.controller.server import KortexServer
from vla_ros.twin.physics import Twin

CYCLE = 4 * MILLISECOND
MOST_BEHIND = 40 * MILLISECOND
"""On a loaded machine physics skips time rather than lag behind."""


class Running:
    """The parts: `robot`, `twin`, `server` with its `faults`, and `config` for a client of it."""

    def __init__(self, config: Config, seed: int, product: Product | None) -> None:
        self.robot = Robot(config, product)
        self.twin = Twin(config, seed, self.robot.drive)
        self.clock = MonotonicClock()
        self.server = KortexServer(self.robot, config.arm.address, 0, 0, self.clock)
        self.server.start()
        arm = config.arm.model_copy(update={"port": self.server.port, "feedback_port": self.server.feedback_port})
        self.config = config.model_copy(update={"arm": arm})
        self.fault = self.robot.fault
        self._stepping = threading.Lock()
        self._ending = threading.Event()
        self._physics = threading.Thread(target=self._run, daemon=True)
        self._cycle(self.clock.now())
        self._physics.start()

    @property
    def port(self) -> int:
        """TCP."""
        return self.server.port

    @property
    def feedback_port(self) -> int:
        """UDP."""
        return self.server.feedback_port

    @property
    def faults(self) -> Any:
        """What is wrong with the connections."""
        return self.server.faults

    @contextmanager
    def halted(self) -> Iterator[None]:
        """Physics stands still: the twin may be touched from this thread."""
        with self._stepping:
            yield

    def _cycle(self, now: int) -> None:
        self.robot.apply(self.twin, now)
        self.twin.advance(self.twin.now + CYCLE)
        self.robot.publish(measure(self.twin, self.robot.taken), now)

    def _run(self) -> None:
        due = self.clock.now()
        while not self._ending.is_set():
            with self._stepping:
                self._cycle(self.clock.now())
            due = max(due + CYCLE, self.clock.now() - MOST_BEHIND)
            self.clock.sleep_until(due)

    def close(self) -> None:
        """End it."""
        self._ending.set()
        self._physics.join()
        self.server.close()


@contextmanager
def running_controller(
    config: Config | None = None, *, seed: int = 0, product: Product | None = None, overrides: tuple[str, ...] = ()
) -> Iterator[Running]:
    """A controller that runs for as long as the context lasts."""
    own = ("arm.driver=kortex", "arm.address=127.0.0.1", "twin.kortex=true")
    running = Running(config or load("twin", overrides=[*own, *overrides]), seed, product)
    try:
        yield running
    finally:
        running.close()


def wait_for(condition: Callable[[], bool], patience: float = 20.0) -> None:
    """Wait until it holds; the patience is for a loaded machine and never measured."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def moving(arm: Running) -> bool:
    """Whether the tool moves."""
    return arm.robot.measured is not None and abs(arm.robot.measured.twist[:3]).max() > 1e-3


def still(arm: Running) -> bool:
    """Whether the tool is still and nothing is ordered."""
    return arm.robot.resting and not moving(arm)
