"""What the dashboard can ask of the robot; `vla_ros.nodes.dashboard` does it over ROS, tests by themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from vla_ros.episodes.recorder import Event

Wish = Literal["enable", "disable", "stop", "reset"]


@dataclass(frozen=True)
class Answer:
    """Whether it was done, and what was said. `reached` is false where nobody was there to ask."""

    done: bool
    text: str
    reached: bool = True


class Commands(Protocol):
    """Calls that wait for the answer, at most a few seconds, but for `ask`; any thread may call them."""

    def ask(self, name: Wish) -> Callable[[], Answer]:
        """Call /arm/<name> without waiting: it is under way when this returns. What it returns waits for the answer."""

    def instruct(self, text: str) -> Answer:
        """Give the policy an instruction; an empty one makes it idle."""

    def record(self, event: Event) -> Answer:
        """Call /recorder/<event>."""

    def drive(self, twist: tuple[float, ...], in_tool: bool, gripper: float | None) -> None:
        """Send a teleop twist (6,) m/s and rad/s, and a gripper position 0 open … 1 closed where one is wanted."""
