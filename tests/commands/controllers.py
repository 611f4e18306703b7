"""A controller on loopback for the checks of `vla-ros robot`, and ways to spoil it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from tests.arms import standin
from tests.twin.controller.running import Running, running_controller
from vla_ros.commands.robot.cell import Cell
from vla_ros.values import ArmState


@contextlib.contextmanager
def cell(*overrides: str, held: bool = False) -> Iterator[tuple[Cell, Running]]:
    """What checks work with, before a controller that runs as long."""
    standin.use()
    from vla_ros.arms.kortex_operator import Operator

    # a busy machine answers late, and no check is about that
    with running_controller(overrides=("arm.call_timeout=0.1", *overrides)) as running:
        said: list[str] = []
        made = Cell(
            running.config, lambda config: Operator(config, say=said.append), said.append, lambda question: True, held
        )
        yield made, running


def tell(running: Running, spoil: Callable[[ArmState], ArmState]) -> None:
    """Let the controller tell of another state than that of its arm."""
    publish = running.robot.publish

    def spoiled(measured: Any, now: int) -> None:
        publish(replace(measured, state=spoil(measured.state)), now)

    running.robot.publish = spoiled  # type: ignore[method-assign]
