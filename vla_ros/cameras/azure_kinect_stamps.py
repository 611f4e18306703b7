"""When a colour frame of an Azure Kinect was exposed. No SDK in here.

Its device timestamp is the middle of the exposure, in µs of the device's own clock; the system timestamp is when the host had
received the image, in ns of CLOCK_MONOTONIC (Azure-Kinect-Sensor-SDK, include/k4a/k4a.h). Orbbec's wrapper gives the wall clock's time
there, and a recording nothing.
"""

from __future__ import annotations

from vla_ros.cameras.device_clock import DeviceClock
from vla_ros.clock import SECOND

MICROSECOND = 1_000


class Stamper:
    """Moments of exposure for the frames of one connection.

    `exposure` is the locked exposure in ns, 0: not locked; `period` is the time from frame to frame in ns.
    """

    def __init__(self, exposure: int, period: int) -> None:
        self._exposure, self._period = exposure, period
        self._clock = DeviceClock()
        self._last: int | None = None

    def stamp(self, device: int, system: int, exposure: int | None, arrival: int) -> int | None:
        """The middle of the exposure, ns monotonic; None for a frame that would come before the one that was before it.

        `device` and `exposure` (None: not told) are in µs, `system` in ns as the SDK has them; `arrival` is monotonic, ns. An image
        cannot arrive before its exposure has ended, so the device's clock is followed at that moment.
        """
        received = system if 0 <= arrival - system <= SECOND else arrival
        half = self._half(exposure)
        moment = self._clock.to_host(device * MICROSECOND + half, received) - half
        if self._last is not None and moment <= self._last:
            return None
        self._last = moment
        return moment

    def _half(self, exposure: int | None) -> int:
        """ns from the middle of the exposure to its end; nothing is exposed for longer than a period."""
        told = 0 if exposure is None else exposure * MICROSECOND
        return min(self._exposure or told, self._period) // 2
