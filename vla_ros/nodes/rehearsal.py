"""A recorder with a stage in front of it: real processes over DDS, and no robot, twin or policy."""

from __future__ import annotations

from types import TracebackType

from vla_ros.bringup import Process
from vla_ros.config import Config
from vla_ros.nodes.place import Place, wanted_domain
from vla_ros.nodes.supervisor import Supervisor

PROCESSES = (
    Process("stage", "vla_ros.nodes.stage", "node"),
    Process("recorder", "vla_ros.nodes.recorder", "node", stage=0),
)


class Rehearsal:
    """Both, for as long as the context lasts. Entering raises RuntimeBusyError where another service is in the way."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def __enter__(self) -> Rehearsal:
        self._place = Place(self._config, wanted_domain())
        self._supervisor = Supervisor(self._place.runtime, self._place.environment())
        try:
            self._supervisor.start(PROCESSES)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def check(self) -> None:
        """Raises ProcessDiedError when one has ended."""
        self._supervisor.check()

    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        return self._supervisor.pids()

    def _end(self) -> None:
        self._supervisor.stop()
        self._place.leave()
