"""When a RealSense frame was exposed, from what the SDK says of it. No SDK in here.

The D400's `frame_timestamp` is when the read-out began, in µs of a counter of 32 bits; `sensor_timestamp` is the middle of the
exposure by the same counter (librealsense: include/librealsense2/h/rs_frame.h, src/metadata-parser.h). The timestamp of a frame is
the former, in ms: of the counter itself (hardware clock), or mapped by the SDK to the host's wall clock (global time). Without
metadata it is the moment of arrival (system time).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from vla_ros.cameras.device_clock import DeviceClock, unwrap
from vla_ros.clock import MILLISECOND, SECOND

MICROSECOND = 1_000
COUNTER = 1 << 32
"""µs after which the device's counter begins anew: 71.6 minutes."""
AGREEMENT = 100 * MILLISECOND
"""By how much the SDK's mapping may say earlier than ours, which is late by the transport; else it cannot be true."""
EXPOSURE_UNIT = 100 * MICROSECOND
"""Of the colour sensor's exposure, in its metadata as in its option (librealsense #8243)."""


class Domain(Enum):
    """Which clock a frame's timestamp is of; the value is the SDK's name."""

    HARDWARE = "hardware_clock"
    SYSTEM = "system_time"
    GLOBAL = "global_time"


@dataclass(frozen=True)
class Reading:
    """The stamps of one colour frame as the SDK has them: `timestamp` in ms; metadata where it is there.

    `readout` and `middle` are frame_timestamp and sensor_timestamp in µs, `exposure` is actual_exposure in EXPOSURE_UNIT.
    """

    timestamp: float
    domain: Domain
    readout: int | None = None
    middle: int | None = None
    exposure: int | None = None


class Stamper:
    """Moments of exposure for the frames of one connection.

    `exposure` is the configured exposure in ns, 0: not configured; `period` is the time from frame to frame in ns.
    """

    def __init__(self, exposure: int, period: int) -> None:
        self._exposure, self._period = exposure, period
        self._counter = DeviceClock(COUNTER * MICROSECOND)
        self._foreign = DeviceClock()
        self._last: int | None = None

    def stamp(self, reading: Reading, arrival: int, wall: int) -> int | None:
        """The middle of the exposure, ns monotonic; None for a frame that would come before the one that was before it.

        `arrival` is monotonic, `wall` the wall clock at the same moment, both ns.
        """
        readout = min(self._readout(reading, arrival, wall), arrival)
        moment = readout - self._to_middle(reading)
        if self._last is not None and moment <= self._last:
            return None
        self._last = moment
        return moment

    def _readout(self, reading: Reading, arrival: int, wall: int) -> int:
        """When the read-out began, by the SDK's mapping where it can be true, else by our own, which learns all the while."""
        own = self._mapped(reading, arrival)
        if reading.domain is Domain.HARDWARE:
            return own
        said = round(reading.timestamp * MILLISECOND) - wall + arrival
        return said if own - AGREEMENT <= said <= arrival + MILLISECOND else own

    def _mapped(self, reading: Reading, arrival: int) -> int:
        if reading.readout is not None:
            return self._counter.to_host(reading.readout * MICROSECOND, arrival)
        moment = round(reading.timestamp * MILLISECOND)
        clock = self._counter if reading.domain is Domain.HARDWARE else self._foreign
        return clock.to_host(moment, arrival)

    def _to_middle(self, reading: Reading) -> int:
        """ns from the middle of the exposure to the read-out."""
        if reading.readout is not None and reading.middle is not None:
            before = (reading.readout - unwrap(reading.middle, reading.readout, COUNTER)) * MICROSECOND
            if 0 <= before <= SECOND:
                return before
        exposure = self._exposure if reading.exposure is None else reading.exposure * EXPOSURE_UNIT
        return min(exposure, self._period) // 2  # nothing is exposed for longer than a period
