"""A ROS domain of one's own: two services in one domain would drive each other's arms.

A domain is claimed by the name of a Linux abstract socket (man 7 unix): it holds for every user of this network namespace, which
is as far as the domain reaches, and the kernel takes it back when the process ends, however it ends. A real arm is claimed likewise:
it is one, in whichever domain it is driven.
"""

from __future__ import annotations

import random
import socket

from vla_ros.config import Config
from vla_ros.runtime import RuntimeBusyError

DOMAINS = range(1, 102)
"""Domains whose ports lie below Linux's ephemeral ones."""


def claim(domain: int | None = None) -> tuple[int, socket.socket]:
    """A free domain, or the given one, claimed until the socket is closed or the process ends. Raises RuntimeBusyError."""
    if domain is not None:
        held = _hold(f"domain-{domain}")
        if held is None:
            raise RuntimeBusyError(
                f"another vla_ros service uses ROS domain {domain}: stop it, or unset ROS_DOMAIN_ID to have a free one chosen"
            )
        return domain, held
    for candidate in random.sample(DOMAINS, len(DOMAINS)):
        held = _hold(f"domain-{candidate}")
        if held is not None:
            return candidate, held
    raise RuntimeBusyError("every ROS domain from 1 to 101 is in use by vla_ros: stop a service")


def is_free(domain: int) -> bool:
    """Whether nobody has claimed the domain."""
    held = _hold(f"domain-{domain}")
    if held is not None:
        held.close()
    return held is not None


def claim_arm(config: Config) -> socket.socket | None:
    """The real arm of `config` for this process alone, whatever the ROS domain, until the socket is closed or the process ends.

    None for the twin, of which there may be many. Raises RuntimeBusyError where another process of this machine holds it.
    """
    if config.arm.driver != "kortex":
        return None
    held = _hold(_arm(config))
    if held is None:
        raise RuntimeBusyError(
            f"another vla_ros process of this machine holds the arm at {config.arm.address}: end that service or `vla-ros robot` "
            "first (`vla-ros doctor` names the domain of a service)"
        )
    return held


def arm_is_free(config: Config) -> bool:
    """Whether no process of this machine has claimed the real arm of `config`."""
    held = _hold(_arm(config))
    if held is not None:
        held.close()
    return held is not None


def _arm(config: Config) -> str:
    return f"arm-{config.arm.address}:{config.arm.port}"


def _hold(name: str) -> socket.socket | None:
    claimed = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claimed.bind(f"\0vla_ros-{name}")
    except OSError:
        claimed.close()
        return None
    return claimed


def claimed() -> list[int]:
    """The domains that vla_ros services of this machine have claimed."""
    prefix = "@vla_ros-domain-"
    with open("/proc/net/unix", encoding="utf-8") as sockets:
        names = {line.split()[-1] for line in sockets}
    return sorted(int(name.removeprefix(prefix)) for name in names if name.startswith(prefix))
