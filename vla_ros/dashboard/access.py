"""Who may do what: tokens with scopes, where a page may come from, and how often somebody may ask. Pure; `guard` applies it."""

from __future__ import annotations

import hmac
import ipaddress
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vla_ros.clock import SECOND
from vla_ros.config import Config

Scope = Literal["watch", "drive", "record", "admin"]
SCOPES: tuple[Scope, ...] = ("watch", "drive", "record", "admin")
IMPLIED: dict[Scope, frozenset[Scope]] = {
    "watch": frozenset({"watch"}),
    "drive": frozenset({"watch", "drive"}),
    "record": frozenset({"watch", "record"}),
    "admin": frozenset(SCOPES),
}
SHORTEST = 16
"""Characters of a token at least: 96 bits where they are of base64."""


class AccessError(Exception):
    """The dashboard cannot be opened like this. The text says why and what to do."""


@dataclass(frozen=True)
class Access:
    """Tokens with what they allow; none: everybody who reaches this host's loopback may do everything.

    `origins` are the pages that may speak to it, as scheme://host:port, and `hosts` the names under which it may be asked without a
    token. Both come from the configuration and never from the request, which could claim any.
    """

    tokens: tuple[tuple[str, frozenset[Scope]], ...]
    origins: frozenset[str]
    hosts: frozenset[str]

    def scopes(self, token: str) -> frozenset[Scope]:
        """What the bearer of a token may do; nothing for a wrong one. Every known token is compared, each in constant time."""
        if not self.tokens:
            return frozenset(SCOPES)
        given, found = token.encode(), frozenset[Scope]()
        for known, scopes in self.tokens:
            if hmac.compare_digest(known.encode(), given):
                found = scopes
        return found

    def may_come_from(self, origin: str) -> bool:
        """Whether a page of that origin may speak; who names none is no page of another (Fetch standard, 3.2)."""
        return not origin or self.names(origin)

    def names(self, origin: str) -> bool:
        """Whether it is one of the pages that may speak."""
        return origin in self.origins

    def may_be_called(self, host: str) -> bool:
        """Whether the Host header is a name of ours: without tokens nothing else keeps a page off that rebinds its own name to us."""
        return bool(self.tokens) or host in self.hosts


def access(config: Config) -> Access:
    """The access that `dashboard.*` describes. Raises AccessError off loopback without tokens."""
    d = config.dashboard
    if not is_loopback(d.host) and not d.tokens:
        raise AccessError(
            f"dashboard.host {d.host} is not loopback: name a file of tokens as dashboard.tokens, each line `TOKEN SCOPE…`"
        )
    scheme = "https" if d.certificate else "http"
    names = {"127.0.0.1", "localhost", "[::1]"} if is_loopback(d.host) else {_bracketed(d.host)}
    hosts = {f"{name}:{d.port}" for name in names}
    tokens = read_tokens(Path(d.tokens)) if d.tokens else ()
    return Access(tokens, frozenset(f"{scheme}://{host}" for host in hosts) | frozenset(d.origins), frozenset(hosts))


def is_loopback(host: str) -> bool:
    """Whether only this host reaches that address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def read_tokens(path: Path) -> tuple[tuple[str, frozenset[Scope]], ...]:
    """The tokens of a file: on each line one, and its scopes behind it; # begins a comment. Raises AccessError."""
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8")
    except OSError as error:
        raise AccessError(f"cannot read dashboard.tokens {path}: {error.strerror}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise AccessError(f"dashboard.tokens {path} can be read by others: chmod 600 {path}")
    lines = [(number, line.partition("#")[0].split()) for number, line in enumerate(text.splitlines(), 1)]
    tokens = tuple(_token(path, number, words) for number, words in lines if words)
    if not tokens:
        raise AccessError(f"dashboard.tokens {path} holds no token: write a line `TOKEN watch drive` into it")
    return tokens


def _token(path: Path, number: int, words: list[str]) -> tuple[str, frozenset[Scope]]:
    token, names = words[0], words[1:]
    if len(token) < SHORTEST:
        raise AccessError(
            f"{path}, line {number}: a token of {len(token)} characters can be guessed: {SHORTEST} at least"
        )
    unknown = [name for name in names if name not in SCOPES]
    if unknown or not names:
        raise AccessError(
            f"{path}, line {number}: scopes are {' '.join(names) or 'missing'}: wanted are {', '.join(SCOPES)}"
        )
    return token, frozenset(scope for name in names for scope in IMPLIED[name])  # type: ignore[index]


def owner_of(pairs: Iterable[tuple[str, str]]) -> str:
    """The token in request headers (names in lower case): Authorization: Bearer, or the cookie that POST /api/session sets."""
    headers = dict(pairs)
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return token.strip()
    cookies = dict(part.strip().partition("=")[::2] for part in headers.get("cookie", "").split(";"))
    return cookies.get(COOKIE, "")


COOKIE = "vla_ros_token"


@dataclass
class Bucket:
    """A token bucket (RFC 2698 without colours): `burst` at once, then `rate` per second."""

    rate: float
    burst: float
    _left: float = field(default=-1.0)
    _moment: int = 0

    def take(self, now: int, amount: float = 1.0) -> bool:
        """Whether so much more may pass at `now` (ns, monotonic)."""
        waited = (now - self._moment) / SECOND
        self._left = self.burst if self._left < 0 else min(self.burst, self._left + waited * self.rate)
        self._moment = now
        if self._left < amount:
            return False
        self._left -= amount
        return True


class Limiter:
    """A bucket for each address, of the last `most` that asked."""

    def __init__(self, rate: float, burst: float, most: int = 1024) -> None:
        self._rate, self._burst, self._most = rate, burst, most
        self._buckets: dict[str, Bucket] = {}

    def take(self, address: str, now: int) -> bool:
        """Whether the address may ask once more at `now` (ns, monotonic)."""
        bucket = self._buckets.pop(address, None) or Bucket(self._rate, self._burst)
        self._buckets[address] = bucket  # at the end: the first is the one that was silent for the longest time
        if len(self._buckets) > self._most:
            del self._buckets[next(iter(self._buckets))]
        return bucket.take(now)
