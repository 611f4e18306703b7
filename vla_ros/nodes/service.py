"""A whole service, from a free ROS domain to a clean machine. No ROS in this process is needed for it."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from vla_ros import bringup
from vla_ros.config import Config
from vla_ros.nodes.place import Place, wanted_domain
from vla_ros.nodes.supervisor import Supervisor


class Service:
    """The processes of `config`, or those that are given, in a place of their own, for as long as the context lasts.

    Entering raises RuntimeBusyError where another service is in the way. ROS_DOMAIN_ID of this process is then the service's.
    """

    def __init__(
        self,
        config: Config,
        say: Callable[[str], None] = lambda line: None,
        processes: Sequence[bringup.Process] | None = None,
    ) -> None:
        self._config, self._say, self._processes = config, say, processes

    def __enter__(self) -> Service:
        self._place = Place(self._config, wanted_domain())
        self._supervisor = Supervisor(self.runtime, self._place.environment(), self._say)
        try:
            self._supervisor.start(self._processes or bringup.processes(self._config))
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def config(self) -> Config:
        """What the processes were started with."""
        return self._place.config

    @property
    def domain(self) -> int:
        """The service's ROS domain."""
        return self._place.domain

    @property
    def runtime(self) -> Path:
        """The folder of its shared blocks."""
        return self._place.runtime

    def check(self) -> None:
        """Raises ProcessDiedError when a process has ended."""
        self._supervisor.check()

    def fallen(self) -> list[str]:
        """Processes that ended without the service ending for it, each with its last words."""
        return self._supervisor.fallen()

    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        return self._supervisor.pids()

    def _end(self) -> None:
        with _undisturbed():
            self._supervisor.stop()
            self._place.leave()


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Ending takes a few seconds at most, and is not to be cut short by another Ctrl-C."""
    former = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
