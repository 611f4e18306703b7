"""A ROS domain of one's own: two services in one domain would drive each other's arms.

A domain is claimed by the name of a Linux abstract socket (man 7 unix): it holds for every user of this network namespace, which
is as far as the domain reaches, and the kernel takes it back when the process ends, however it ends.
"""

from __future__ import annotations

import random
import socket

from vla_ros.runtime import RuntimeBusyError

DOMAINS = range(1, 102)
"""Domains whose ports lie below Linux's ephemeral ones."""


def claim(domain: int | None = None) -> tuple[int, socket.socket]:
    """A free domain, or the given one, claimed until the socket is closed or the process ends. Raises RuntimeBusyError."""
    if domain is not None:
        held = _hold(domain)
        if held is None:
            raise RuntimeBusyError(
                f"another vla_ros service uses ROS domain {domain}: stop it, or unset ROS_DOMAIN_ID to have a free one chosen"
            )
        return domain, held
    for candidate in random.sample(DOMAINS, len(DOMAINS)):
        held = _hold(candidate)
        if held is not None:
            return candidate, held
    raise RuntimeBusyError("every ROS domain from 1 to 101 is in use by vla_ros: stop a service")


def is_free(domain: int) -> bool:
    """Whether nobody has claimed the domain."""
    held = _hold(domain)
    if held is not None:
        held.close()
    return held is not None


def _hold(domain: int) -> socket.socket | None:
    claimed = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claimed.bind(f"\0vla_ros-domain-{domain}")
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
