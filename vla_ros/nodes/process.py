"""How every node of this service runs: made, spun until it is asked to stop or gives up, taken down."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSHistoryPolicy, QoSProfile, QoSReliabilityPolicy
from rclpy.signals import SignalHandlerOptions

from vla_ros.clock import SECOND
from vla_ros.config import ConfigError
from vla_ros.nodes.convert import MessageError
from vla_ros.runtime import Stopping

BAD_CONFIGURATION = 2
_BULLETIN = 9 * SECOND // 10  # less than the period of timers that post every second


class RefusalError(Exception):
    """Why a node cannot run with this configuration. The text names the remedy."""


class Runnable(Protocol):
    """A node that `run_node` can run; `failure` is why it gave up, empty while it has not."""

    failure: str

    def close(self) -> None:
        """Stop its threads and let go of its devices; publishers still work."""

    def destroy_node(self) -> None:
        """Leave ROS."""


def newest(reliable: bool = True, depth: int = 1) -> QoSProfile:
    """Keep the newest `depth` messages; volatile."""
    reliability = QoSReliabilityPolicy.RELIABLE if reliable else QoSReliabilityPolicy.BEST_EFFORT
    return QoSProfile(
        depth=depth,
        history=QoSHistoryPolicy.KEEP_LAST,
        reliability=reliability,
        durability=QoSDurabilityPolicy.VOLATILE,
    )


def make_executor(context: rclpy.Context | None = None) -> Any:
    """The fastest executor there is. Only its `spin_once` is to be used: `spin` of the Jazzy events executor never delivers."""
    try:
        from rclpy.experimental import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor(context=context)
    return EventsExecutor(context=context)


def guarded(node: Runnable, work: Callable[[], None]) -> Callable[[], None]:
    """`work` for a thread of the node: an error in it is the node's failure, and does not pass in silence."""

    def run() -> None:
        try:
            work()
        except Exception as error:
            node.failure = f"{type(error).__name__}: {error}"

    return run


class Bulletin:
    """A node's part of /diagnostics: what is posted goes out once a second at most."""

    def __init__(self, node: Node) -> None:
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", newest(depth=10))
        self._last = -SECOND

    def due(self, now: int) -> bool:
        """Whether a message posted now would go out; `now` in ns, monotonic."""
        return now - self._last >= _BULLETIN

    def post(self, message: DiagnosticArray, now: int) -> None:
        """Publish the message unless one has just gone out; `now` in ns, monotonic."""
        if self.due(now):
            self._last = now
            self._publisher.publish(message)


def run_node(make: Callable[[], Runnable], argv: Sequence[str] | None = None) -> int:
    """Run the node until SIGINT, SIGTERM or its failure: the exit status of its process.

    0 after a signal; 1 when the node gave up; 2 when its parameters are unknown or bad, or its device is not in this version.
    """
    stopping = Stopping()
    try:
        rclpy.init(args=None if argv is None else list(argv), signal_handler_options=SignalHandlerOptions.NO)
        node = make()
    except (ConfigError, RefusalError, MessageError) as error:
        sys.stderr.write(f"{error}\n")
        rclpy.try_shutdown()
        return BAD_CONFIGURATION
    try:
        _spin(node, stopping)
    finally:
        node.close()
        node.destroy_node()
        rclpy.try_shutdown()
    if node.failure:
        sys.stderr.write(f"{node.failure}\n")
    return 1 if node.failure else 0


def _spin(node: Runnable, stopping: Stopping) -> None:
    executor = make_executor()
    executor.add_node(cast(Any, node))
    try:
        while not stopping.asked and not node.failure:
            executor.spin_once(timeout_sec=0.1)
    except ExternalShutdownException:
        pass
    finally:
        executor.shutdown()
