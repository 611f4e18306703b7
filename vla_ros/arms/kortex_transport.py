"""How frames reach the arm and come back, for the vendor's RouterClient, in place of the SDK's own transports.

The SDK's TCPTransport (2.6) spins in recv when the arm closes the connection and tells nobody, loses the stream's
step when a header comes in two pieces, leaves Nagle's delay on, and its disconnect waits for a thread for ever. These
do not. A frame in a TCP stream is behind eight bytes of MAGIC and its length, four bytes big-endian; a datagram is a
frame.

What TCP has not delivered when the link is given up must never be: an old twist that arrives once the cable is back
would move the arm. So unacknowledged data ends the connection (TCP_USER_TIMEOUT, man 7 tcp), and `abort` resets it,
which throws away what is under way.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import threading
from collections.abc import Callable

log = logging.getLogger("kortex")

MAGIC = b"\x07xEtRoK\x07"
PREFIX = len(MAGIC) + 4
LIMIT = 1 << 20
"""Most bytes of a frame that is believed: the longest that the arm sends, a list of all its actions, is some tens of kB."""
DATAGRAM = 65507
"""Most bytes of a datagram."""
_LOOK = 0.2
"""s between two looks at whether the link is being closed."""
_LEAVE = 1.0
"""s that the receiving thread gets to end."""
_TCP_USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", 18)

FrameCallback = Callable[[bytes], None]
LostCallback = Callable[[str], None]


def wrap(frame: bytes) -> bytes:
    """A frame as it goes into a TCP stream."""
    return MAGIC + len(frame).to_bytes(4, "big") + frame


def split(data: bytes) -> tuple[list[bytes], bytes, int]:
    """The whole frames in a piece of a TCP stream, what is left to be completed, and how many bytes were garbage and are dropped."""
    frames: list[bytes] = []
    garbage = 0
    while True:
        start = _begin(data)
        garbage, data = garbage + start, data[start:]
        if len(data) < PREFIX:
            return frames, data, garbage
        length = int.from_bytes(data[len(MAGIC) : PREFIX], "big")
        if length > LIMIT:
            garbage, data = garbage + PREFIX, data[PREFIX:]
        elif len(data) < PREFIX + length:
            return frames, data, garbage
        else:
            frames.append(data[PREFIX : PREFIX + length])
            data = data[PREFIX + length :]


def _begin(data: bytes) -> int:
    """Where the first frame begins, or where one may begin whose MAGIC is not complete yet."""
    found = data.find(MAGIC)
    if found >= 0:
        return found
    tails = (len(data) - n for n in range(min(len(data), len(MAGIC) - 1), 0, -1))
    return next((at for at in tails if MAGIC.startswith(data[at:])), len(data))


class LateError(Exception):
    """What was to be sent is late, and was not sent."""


class Transport:
    """One socket and the thread that receives from it; in the form of the SDK's ITransportClient.

    `lost` is called once, from that thread or from the sender's, with the reason why no more can come; not after `close`.
    """

    maxTxBufferSize = DATAGRAM  # noqa: N815 - the SDK's name

    def __init__(self, kind: int, lost: LostCallback) -> None:
        self._kind, self._lost = kind, lost
        self._socket: socket.socket | None = None
        self._deliver: FrameCallback = lambda frame: None
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._sending = threading.Lock()
        self.late: Callable[[], bool] | None = None
        """Asked right before a frame goes out, where it is given: a process that was put to sleep in between sends nothing old."""
        self.dropped = 0
        """Bytes or frames that came in and could not be used."""

    def connect(self, address: str, port: int, timeout: float = 2.0, unacknowledged: float = 0.5) -> None:
        """Connect within `timeout` s; later, data that the arm has not acknowledged after `unacknowledged` s ends the link.

        Raises OSError.
        """
        link = socket.socket(socket.AF_INET, self._kind)
        try:
            link.settimeout(timeout)
            if self._kind == socket.SOCK_STREAM:
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                link.setsockopt(socket.IPPROTO_TCP, _TCP_USER_TIMEOUT, round(unacknowledged * 1000))
            link.connect((address, port))
            link.settimeout(_LOOK)
        except OSError:
            link.close()
            raise
        self._socket = link
        self._thread = threading.Thread(target=self._receive, args=(link,), name="kortex receive", daemon=True)
        self._thread.start()

    def send(self, payload: bytes) -> None:
        """Send one frame. Raises LateError where it is too late for that, and OSError; a stream that was cut in a frame is lost."""
        link = self._socket
        if link is None:
            raise ConnectionError("the link to the arm is closed")
        with self._sending:
            if self.late is not None and self.late():
                raise LateError
            try:
                link.sendall(wrap(payload) if self._kind == socket.SOCK_STREAM else payload)
            except OSError as error:
                self._end(f"sending failed: {error}")
                raise

    def close(self) -> None:
        """End the link in good order, within about a second."""
        self._close(abort=False)

    def abort(self) -> None:
        """End the link at once; what is under way to the arm is thrown away as far as it can be."""
        self._close(abort=True)

    def _close(self, abort: bool) -> None:
        self._ending.set()
        link, self._socket = self._socket, None
        if link is None:
            return
        with contextlib.suppress(OSError):
            if abort and self._kind == socket.SOCK_STREAM:
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            link.shutdown(socket.SHUT_RD if abort else socket.SHUT_RDWR)  # wakes the thread that receives
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_LEAVE)  # only without it in a call does close() close
        link.close()

    def _end(self, reason: str) -> None:
        if not self._ending.is_set():
            self._ending.set()
            self._lost(reason)

    def _receive(self, link: socket.socket) -> None:
        held = b""
        while not self._ending.is_set():
            try:
                data = link.recv(DATAGRAM)
            except TimeoutError:
                continue
            except OSError as error:
                return self._end(f"receiving failed: {error}")
            if self._kind == socket.SOCK_DGRAM:
                self._hand_over(data)
            elif not data:
                return self._end("the arm closed the connection")
            else:
                frames, held, garbage = split(held + data)
                self.dropped += garbage
                for frame in frames:
                    self._hand_over(frame)
        return None

    def _hand_over(self, frame: bytes) -> None:
        try:
            self._deliver(frame)
        except Exception as error:
            # The SDK raises anything for a frame that it does not know what to do with; the link must outlive it.
            self.dropped += 1
            if self.dropped == 1:
                log.warning(
                    "a frame from the arm could not be used (%s: %s); more are counted, not told",
                    type(error).__name__,
                    error,
                )

    # The SDK's names of what RouterClient calls.

    def registerOnFrameCallback(self, callback: FrameCallback) -> None:  # noqa: N802
        """Frames go to `callback` from now on."""
        self._deliver = callback

    def getMaxTxBufferSize(self) -> int | None:  # noqa: N802
        """Most bytes of a frame; None: no limit."""
        return None if self._kind == socket.SOCK_STREAM else DATAGRAM


def tcp(lost: LostCallback) -> Transport:
    """A transport of commands."""
    return Transport(socket.SOCK_STREAM, lost)


def udp(lost: LostCallback) -> Transport:
    """A transport of cyclic feedback."""
    return Transport(socket.SOCK_DGRAM, lost)
