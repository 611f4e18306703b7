"""What a check is, and how looking is kept from failing or hanging the doctor."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """How a check ended, from good to bad; UNUSED is what this configuration does not ask for, or what cannot be looked at now."""

    UNUSED = 0
    OK = 1
    WARNING = 2
    FAILURE = 3


@dataclass(frozen=True)
class Check:
    """One line of the screen. `remedy` is one line too: what to do where the level is WARNING or FAILURE."""

    group: str
    name: str
    level: Level
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class Group:
    """Makes the checks of one group."""

    name: str

    def ok(self, check: str, text: str) -> Check:
        """In order."""
        return Check(self.name, check, Level.OK, text)

    def unused(self, check: str, why: str = "") -> Check:
        """Not asked for by this configuration; `why` names the setting."""
        return Check(self.name, check, Level.UNUSED, "not used by this configuration" + (f": {why}" if why else ""))

    def skipped(self, check: str, why: str) -> Check:
        """Not looked at now."""
        return Check(self.name, check, Level.UNUSED, why)

    def warning(self, check: str, text: str, remedy: str) -> Check:
        """Works, but not well or not for long."""
        return Check(self.name, check, Level.WARNING, text, remedy)

    def failure(self, check: str, text: str, remedy: str) -> Check:
        """Does not work so."""
        return Check(self.name, check, Level.FAILURE, text, remedy)


@dataclass(frozen=True)
class Probe:
    """A look at something: `look` gives its checks, within `seconds`."""

    group: str
    name: str
    look: Callable[[], Sequence[Check]]
    seconds: float = 10.0


REPORT = "this is a fault of the doctor, or of what it looks at: run the look by hand, and report it"


def looked(probe: Probe) -> list[Check]:
    """What the probe finds; a look that raises, finds nothing or does not come back in time is a failure that says so."""
    found: list[Check] = []
    raised: list[Exception] = []

    def look() -> None:
        try:
            found.extend(probe.look())
        except Exception as error:  # whatever it is, the other checks are to be seen too
            raised.append(error)

    thread = threading.Thread(target=look, name=f"doctor: {probe.name}", daemon=True)
    thread.start()
    thread.join(probe.seconds)
    group = Group(probe.group)
    if thread.is_alive():
        remedy = "something does not answer: look at the device or its driver, and at the machine's load"
        return [group.failure(probe.name, f"no result within {probe.seconds:g} s", remedy)]
    if raised:
        return [group.failure(probe.name, f"could not be looked at: {type(raised[0]).__name__}: {raised[0]}", REPORT)]
    return found or [group.failure(probe.name, "the look found nothing", REPORT)]
