"""The watchdog's session with a Gen3: it can stop the arm and do nothing else. It sets nothing up and reads nothing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from vla_ros.arms import kortex_sdk
from vla_ros.arms.arm import ArmError
from vla_ros.arms.kortex_link import Link, Outcome
from vla_ros.arms.kortex_sdk import Sdk
from vla_ros.arms.kortex_sender import halt
from vla_ros.config import Config
from vla_ros.geometry import Array
from vla_ros.values import ArmState

log = logging.getLogger("kortex")

KEEP_ALIVE = 0.5
"""s between two signs of life. They keep no motion going: none was begun on this session."""
MISSES = 3
"""Signs of life without an answer in a row after which the connection counts as lost. Each waits no longer than a Stop may."""


class KortexStopper:
    """One session over TCP, kept alive and made anew in the background; `stop` waits for the arm."""

    def __init__(self, config: Config, say: Callable[[str], None] | None = None) -> None:
        self._config, self._say = config, say or log.warning
        self._sdk: Sdk | None = None
        self._link: Link | None = None
        self._why = "not open: call open() first"
        self._misses = 0
        self._ending = threading.Event()
        self._keeper: threading.Thread | None = None

    @property
    def trouble(self) -> str:
        """Why a Stop would not reach the arm now, as far as the last sign of life tells; empty: it would."""
        link = self._link
        return self._why if link is None else link.lost_reason

    def open(self) -> None:
        """Connect. Raises ArmError."""
        self._sdk = kortex_sdk.load()
        self._link = self._connected()
        self._keeper = threading.Thread(target=self._keep, name="kortex watchdog", daemon=True)
        self._keeper.start()

    def read(self, now: int) -> ArmState | None:
        """Nothing: this session does not look."""
        return None

    def send(self, now: int, twist: Array, gripper: float) -> None:
        """Raises ArmError: this session does not move the arm."""
        raise ArmError("the watchdog's session only stops the arm: open another to move it")

    def stop(self, now: int) -> None:
        """Bring the arm to rest, by Stop or, if that fails, by the emergency stop: at most five calls of arm.call_timeout.

        Raises ArmError if the arm took neither.
        """
        link = self._link
        if link is None:
            raise ArmError(f"the watchdog cannot stop the arm: {self._why}. Press the emergency stop")
        answer = halt(link, self._config.arm.call_timeout)
        if not answer.ok:
            link.give_up(answer.text)
            raise ArmError(f"the arm did not take the watchdog's Stop: {answer.text}. Press the emergency stop")

    def close(self) -> None:
        """Disconnect; the arm is not moved by it."""
        self._ending.set()
        if self._keeper is not None:
            self._keeper.join(self._config.arm.setup_timeout + 1.0)
        if self._link is not None:
            self._link.close()

    def _connected(self) -> Link:
        assert self._sdk is not None
        link = Link(self._sdk)
        link.open(self._config.arm, self._config.arm.session)
        return link

    def _keep(self) -> None:
        while not self._ending.wait(KEEP_ALIVE):
            if self._link is None:
                self._connect_again()
            elif self._dead(self._link):
                self._say(f"the watchdog has lost the arm: {self._why}")
                link, self._link = self._link, None
                link.close()

    def _dead(self, link: Link) -> bool:
        answer = link.keep_alive(self._config.arm.call_timeout)
        self._misses = self._misses + 1 if answer.outcome is Outcome.TIMED_OUT else 0
        self._why = link.lost_reason or answer.text
        return answer.outcome in (Outcome.LOST, Outcome.REFUSED) or self._misses >= MISSES

    def _connect_again(self) -> None:
        try:
            self._link = self._connected()
        except ArmError as error:
            if str(error) != self._why:
                self._say(f"the watchdog cannot connect anew: {error}")
            self._why = str(error)
        else:
            self._say("the watchdog is connected to the arm anew")
