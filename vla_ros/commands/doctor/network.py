"""The way to the arm: route, interface, and how long a connection takes."""

from __future__ import annotations

import ipaddress
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vla_ros.commands.doctor import shell
from vla_ros.commands.doctor.check import Check, Group
from vla_ros.config import Config

ARM = Group("arm")
CONNECTIONS = 10
SLOW = 0.020
"""s that a connection to an arm on the same wire takes at most."""
_NET = Path("/sys/class/net")


@dataclass(frozen=True)
class Route:
    """How packets go to the arm: by which interface, through which gateway (empty: directly), at which Mbit/s (0: not known)."""

    interface: str
    gateway: str = ""
    speed: int = 0
    wireless: bool = False
    state: str = "up"


def route(table: str, address: str) -> Route | None:
    """The entry of /proc/net/route with the longest mask that holds the address, interface and gateway only; None: there is none."""
    target = int(ipaddress.IPv4Address(address))
    best: tuple[int, Route] | None = None
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8 or not int(fields[3], 16) & 1:  # RTF_UP
            continue
        network, gateway, mask = (_from_hex(fields[i]) for i in (1, 2, 7))
        if target & mask == network and (best is None or mask > best[0]):
            best = mask, Route(fields[0], str(ipaddress.IPv4Address(gateway)) if gateway else "")
    return best[1] if best else None


def _from_hex(text: str) -> int:
    """An address of /proc/net/route: hexadecimal, in the byte order of the machine."""
    return int(struct.unpack("!I", struct.pack("=I", int(text, 16)))[0])


def look(address: str) -> tuple[Route | None, str]:
    """The route to a host, by name or address; the second is why its name is not known."""
    try:
        number = socket.gethostbyname(address)
    except OSError as error:
        return None, str(error.strerror or error)
    if number.startswith("127."):
        return Route("lo"), ""
    found = route(shell.read("/proc/net/route"), number)
    return (None, "") if found is None else (_detailed(found), "")


def _detailed(found: Route) -> Route:
    device = _NET / found.interface
    speed = shell.read(device / "speed")
    return Route(
        found.interface,
        found.gateway,
        max(0, int(speed)) if speed.lstrip("-").isdecimal() else 0,
        (device / "wireless").exists() or (device / "phy80211").exists(),
        shell.read(device / "operstate") or "unknown",
    )


def judge_route(found: Route | None, unknown: str, address: str) -> Check:
    """Directly, by wire, at 100 Mbit/s or more."""
    remedy = "give the wired interface an address in the arm's network, as 192.168.1.11/24, and plug the cable in"
    if unknown:
        return ARM.failure("route", f"{address}: {unknown}", "correct arm.address: it is 192.168.1.10 as delivered")
    if found is None:
        return ARM.failure("route", f"no route to {address}", remedy)
    if found.interface == "lo":
        return ARM.ok("route", f"{address} is this host")
    text = f"{address} by {found.interface}" + (f", {found.speed} Mbit/s" if found.speed else "")
    if found.gateway:
        return ARM.warning("route", f"{text} through the gateway {found.gateway}", remedy)
    if found.wireless:
        return ARM.warning(
            "route", f"{text}, which is Wi-Fi: it loses commands for seconds", "connect the arm by cable"
        )
    if found.state == "down":
        return ARM.failure("route", f"{text}, which is down", "plug the cable in; look at the arm's switch")
    if 0 < found.speed < 100:
        return ARM.warning("route", text, "the link is slow: replace cable or switch")
    return ARM.ok("route", text)


@dataclass(frozen=True)
class Connections:
    """Seconds that TCP connections took; `error` is why there are none."""

    seconds: Sequence[float]
    error: str = ""


def connect(address: str, port: int, count: int = CONNECTIONS, timeout: float = 2.0) -> Connections:
    """Connect a few times and hang up: what a ping tells, without the rights that a ping needs."""
    taken: list[float] = []
    for _ in range(count):
        began = time.monotonic()
        try:
            socket.create_connection((address, port), timeout).close()
        except OSError as error:
            return Connections(taken, str(error.strerror or error))
        taken.append(time.monotonic() - began)
    return Connections(taken)


def judge_connections(facts: Connections, config: Config) -> Check:
    """Somebody answers at the arm's port, and soon."""
    where = f"{config.arm.address}:{config.arm.port}"
    if facts.error:
        remedy = "switch the arm on and wait until its light is green; correct arm.address; look at the cable and the firewall"
        return ARM.failure("connection", f"{where}: {facts.error}", remedy)
    middle, worst = sorted(facts.seconds)[len(facts.seconds) // 2], max(facts.seconds)
    text = f"{where} connects in {1e3 * middle:.1f} ms (longest {1e3 * worst:.1f} ms)"
    if worst > SLOW:
        return ARM.warning(
            "connection", text, "a wire takes under 1 ms: look for Wi-Fi, switches under load, or a busy machine"
        )
    return ARM.ok("connection", text)
