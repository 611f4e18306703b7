"""The controller's connections: TCP for calls and notifications, UDP for the cyclic ones, one thread for all.

Every method is answered on both: the arm's UDP port is meant for BaseCyclic, but the vendor's own examples open their
sessions over it too.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import selectors
import socket
import threading
from dataclasses import dataclass, field

from vla_ros.clock import MILLISECOND, SECOND, Clock
from vla_ros.twin.controller.dispatch import answer
from vla_ros.twin.controller.robot import Robot
from vla_ros.twin.controller.wire_faults import WireFaults
from vla_ros.twin.kortex import wire

log = logging.getLogger(__name__)

TICK = 5 * MILLISECOND
"""How often sessions are watched and notifications sent."""
CONNECTIONS = 32
"""TCP connections at a time; one more is closed at once."""
BACKLOG = 1 << 20
"""Bytes that may wait for a client that does not read; then it is cut off."""
PIECE = 1 << 16
BURST = 64
"""Datagrams that are answered before the other connections get their turn."""
Peer = tuple[str, str, int]
"""Of a connection: "tcp" or "udp", address, port."""


class PortTakenError(OSError):
    """Somebody else listens there. The text says where and what to do."""


@dataclass
class _Connection:
    """One TCP client."""

    socket: socket.socket
    peer: Peer
    stream: wire.Stream = field(default_factory=wire.Stream)
    unsent: bytearray = field(default_factory=bytearray)


class KortexServer:
    """Answers for `robot` at `address`; port 0 is any that is free. `faults` breaks it on demand."""

    def __init__(self, robot: Robot, address: str, port: int, feedback_port: int, clock: Clock) -> None:
        self.robot, self.address = robot, address
        self.port, self.feedback_port = port, feedback_port
        self.faults = WireFaults()
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._connections: dict[Peer, _Connection] = {}
        self._late: list[tuple[int, int, bytes, Peer]] = []
        self._numbers = itertools.count()
        self._tick_due = 0
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen, and answer from a thread of its own. Raises PortTakenError."""
        self._listener = self._bound(socket.SOCK_STREAM, self.port)
        try:
            self._cyclic = self._bound(socket.SOCK_DGRAM, self.feedback_port)
        except PortTakenError:
            self._listener.close()
            raise
        self._listener.listen()
        self.port, self.feedback_port = self._listener.getsockname()[1], self._cyclic.getsockname()[1]
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._cyclic, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="kortex", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering and close every connection."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            for connection in list(self._connections.values()):
                connection.socket.close()
            self._listener.close()
            self._cyclic.close()
        self._selector.close()

    def _bound(self, kind: socket.SocketKind, port: int) -> socket.socket:
        bound = socket.socket(socket.AF_INET, kind)
        if kind == socket.SOCK_STREAM:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((self.address, port))
        except OSError as error:
            bound.close()
            name = "TCP" if kind == socket.SOCK_STREAM else "UDP"
            setting = "arm.port" if kind == socket.SOCK_STREAM else "arm.feedback_port"
            raise PortTakenError(
                f"the simulated controller cannot listen at {name} {self.address}:{port} ({error.strerror}): "
                f"end who listens there, or choose another {setting}"
            ) from None
        bound.setblocking(False)
        return bound

    def _run(self) -> None:
        while not self._ending.is_set():
            if self.faults.freeze:
                self._clock.sleep_until(self._clock.now() + TICK)
            else:
                self._serve()
            self._tick(self._clock.now())

    def _serve(self) -> None:
        for key, events in self._selector.select(self._pause()):
            if self.faults.freeze:  # set while we waited
                return
            if key.fileobj is self._listener:
                self._accept()
            elif key.fileobj is self._cyclic:
                self._datagrams()
            else:
                self._turn(key.data, events)

    def _pause(self) -> float:
        """Seconds until there is something to do even if nothing comes in."""
        due = min(self._tick_due, self._late[0][0]) if self._late else self._tick_due
        return max(0, due - self._clock.now()) / SECOND

    def _tick(self, now: int) -> None:
        while self._late and self._late[0][0] <= now and not self.faults.freeze:
            _, _, data, peer = heapq.heappop(self._late)
            self._send_datagram(data, peer)
        if now >= self._tick_due:
            self._tick_due = now + TICK
            with self.robot.lock:
                self.robot.tick(now)
        if not self.faults.freeze:
            self._notify()

    def _notify(self) -> None:
        for notice in self.robot.topics.take():
            self._reply(wire.encode(notice.frame), notice.peer)  # type: ignore[arg-type]

    def _answer(self, frame: wire.Frame | wire.Fault, peer: Peer) -> None:
        if isinstance(frame, wire.Fault):
            return  # whose it was cannot be known, so nobody is told
        with self.robot.lock:
            reply = answer(self.robot, frame, peer, self._clock.now())
        if reply is not None:
            self._reply(wire.encode(reply), peer)

    def _reply(self, data: bytes, peer: Peer) -> None:
        if peer[0] == "tcp":
            connection = self._connections.get(peer)
            if connection is not None:
                connection.unsent += self.faults.stream(wire.wrap(data))
                self._flush(connection)
            return
        now = self._clock.now()
        for due, datagram in self.faults.datagrams(data, now):
            if due <= now:
                self._send_datagram(datagram, peer)
            else:
                heapq.heappush(self._late, (due, next(self._numbers), datagram, peer))

    # --- UDP

    def _datagrams(self) -> None:
        for _ in range(BURST):
            try:
                data, address = self._cyclic.recvfrom(PIECE)
            except (BlockingIOError, ConnectionError):  # nothing more; or a reply of ours found nobody
                return
            self._answer(wire.decode(data), ("udp", *address))

    def _send_datagram(self, data: bytes, peer: Peer) -> None:
        with contextlib.suppress(OSError):  # nobody there, or no room: a datagram may be lost
            self._cyclic.sendto(data, peer[1:])

    # --- TCP

    def _accept(self) -> None:
        try:
            client, address = self._listener.accept()
        except OSError:  # it left before we came
            return
        if len(self._connections) >= CONNECTIONS:
            log.warning("%d clients are connected: %s:%d is turned away", CONNECTIONS, *address)
            client.close()
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _Connection(client, ("tcp", *address))
        self._connections[connection.peer] = connection
        self._selector.register(client, selectors.EVENT_READ, connection)

    def _turn(self, connection: _Connection, events: int) -> None:
        if events & selectors.EVENT_READ:
            self._read(connection)
        if events & selectors.EVENT_WRITE and connection.peer in self._connections:
            self._flush(connection)

    def _read(self, connection: _Connection) -> None:
        try:
            data = connection.socket.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(connection)
        elif not self.faults.half_open:
            for frame in connection.stream.feed(data):
                self._answer(frame, connection.peer)

    def _flush(self, connection: _Connection) -> None:
        try:
            while connection.unsent:
                del connection.unsent[: connection.socket.send(connection.unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self._drop(connection)
            return
        if len(connection.unsent) > BACKLOG:
            log.warning("client %s:%d does not read what it is sent: cut off", *connection.peer[1:])
            self._drop(connection)
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.unsent else 0)
        if self._selector.get_key(connection.socket).events != events:
            self._selector.modify(connection.socket, events, connection)

    def _drop(self, connection: _Connection) -> None:
        """The client is gone: its sessions end, and with them what they moved."""
        if self._connections.pop(connection.peer, None) is None:
            return
        self._selector.unregister(connection.socket)
        connection.socket.close()
        with self.robot.lock:
            self.robot.disconnected(connection.peer)
