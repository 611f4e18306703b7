"""Frames in and out of real sockets, whatever the other end does."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.arms import kortex_transport
from vla_ros.arms.kortex_transport import LIMIT, MAGIC, LateError, Transport, split, tcp, udp, wrap

frames = st.lists(st.binary(max_size=40), max_size=6)


@given(frames, st.data())
def test_a_stream_comes_apart_however_it_is_cut(sent, data):
    stream, held, got = b"".join(map(wrap, sent)), b"", []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        new, held, garbage = split(held + stream[:cut])
        assert garbage == 0
        got += new
        stream = stream[cut:]
    assert (got, held) == (sent, b"")


@given(st.binary(max_size=60).filter(lambda b: b"\x07" not in b), st.binary(max_size=30))
def test_garbage_is_dropped_up_to_the_next_frame(garbage, frame):
    assert split(garbage + wrap(frame)) == ([frame], b"", len(garbage))


@given(st.binary(max_size=200))
def test_no_input_is_held_longer_than_a_frame(data):
    got, held, garbage = split(data)
    assert sum(map(len, got)) + len(held) + garbage <= len(data)
    assert held == b"" or MAGIC.startswith(held[: len(MAGIC)])


def test_a_length_that_cannot_be_is_skipped():
    assert split(MAGIC + (LIMIT + 1).to_bytes(4, "big") + wrap(b"next"))[0] == [b"next"]


class Peer:
    """The other end: a listening socket, and the link that was accepted."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def accept(self) -> socket.socket:
        self.listener.settimeout(5)
        self.link = self.listener.accept()[0]
        return self.link

    def close(self) -> None:
        self.listener.close()
        if hasattr(self, "link"):
            self.link.close()


@pytest.fixture
def peer():
    peer = Peer()
    yield peer
    peer.close()


class Ends:
    """What a transport tells its owner."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.reasons: list[str] = []
        self.changed = threading.Event()

    def frame(self, data: bytes) -> None:
        self.frames.append(data)
        self.changed.set()

    def lost(self, reason: str) -> None:
        self.reasons.append(reason)
        self.changed.set()

    def wait(self) -> None:
        assert self.changed.wait(5)
        self.changed.clear()


@pytest.fixture
def ends():
    return Ends()


def connected(peer: Peer, ends: Ends) -> Transport:
    transport = tcp(ends.lost)
    transport.registerOnFrameCallback(ends.frame)
    transport.connect("127.0.0.1", peer.port)
    peer.accept()
    return transport


def test_a_header_in_two_pieces_is_put_together(peer, ends):
    transport = connected(peer, ends)
    whole = wrap(b"hello")
    peer.link.sendall(whole[:5])
    time.sleep(0.02)
    peer.link.sendall(whole[5:])
    ends.wait()
    assert ends.frames == [b"hello"]
    transport.close()
    assert ends.reasons == []


def test_frames_leave_at_once(peer, ends):
    transport = connected(peer, ends)
    assert transport._socket is not None
    assert transport._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
    transport.send(b"there")
    assert peer.link.recv(100) == wrap(b"there")
    transport.close()


def test_what_is_late_does_not_leave(peer, ends):
    transport = connected(peer, ends)
    transport.late = lambda: True
    with pytest.raises(LateError):
        transport.send(b"old")
    transport.late = lambda: False
    transport.send(b"new")
    assert peer.link.recv(100) == wrap(b"new")
    assert ends.reasons == []
    transport.close()


def test_a_peer_that_closes_is_noticed_once_and_the_thread_ends(peer, ends):
    transport = connected(peer, ends)
    peer.link.close()
    ends.wait()
    assert ends.reasons == ["the arm closed the connection"]
    assert transport._thread is not None
    transport._thread.join(2)
    assert not transport._thread.is_alive()
    transport.close()
    assert len(ends.reasons) == 1


def send_often(transport: Transport) -> None:
    """Until the kernel has noticed that nobody is there."""
    for _ in range(100):
        transport.send(b"x")
        time.sleep(0.01)


def test_sending_on_a_link_that_is_gone_raises_and_tells(peer, ends):
    transport = connected(peer, ends)
    peer.link.close()
    ends.wait()
    with pytest.raises(OSError):
        send_often(transport)
    assert len(ends.reasons) == 1
    transport.close()


def test_what_is_given_up_does_not_arrive_later(peer, ends):
    """The peer reads nothing until its buffers are full; what then waits in this host is thrown away with the link."""
    transport = connected(peer, ends)
    sent: list[int] = []
    with pytest.raises(OSError):
        send_much(transport, sent)
    transport.abort()
    peer.link.settimeout(5)
    got = bytearray()
    with pytest.raises(ConnectionResetError):
        drain(peer.link, got)
    assert 0 < len(got) < sum(sent)


def send_much(transport: Transport, sent: list[int]) -> None:
    """Until nothing more fits into the buffers of both ends; `sent` gets what did."""
    for _ in range(10000):
        transport.send(b"old twist" * 7000)
        sent.append(9 * 7000)


def drain(link: socket.socket, got: bytearray) -> None:
    """Read to the end of the connection."""
    while data := link.recv(1 << 16):
        got += data


def test_a_callback_that_fails_does_not_end_the_link(peer, ends):
    transport = connected(peer, ends)

    def broken(data: bytes) -> None:
        ends.frame(data)
        raise KeyError("No callback list instantiated")

    transport.registerOnFrameCallback(broken)
    peer.link.sendall(wrap(b"a") + wrap(b"b"))
    while len(ends.frames) < 2:
        ends.wait()
    deadline = time.monotonic() + 5
    while transport.dropped < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert transport.dropped == 2
    assert ends.reasons == []
    transport.close()


def test_closing_ends_however_silent_the_other_end_is(peer, ends):
    transport = connected(peer, ends)
    thread = transport._thread
    transport.close()
    transport.close()
    assert thread is not None
    assert not thread.is_alive()
    with pytest.raises(ConnectionError):
        transport.send(b"x")


def test_datagrams_are_frames(ends):
    other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    other.bind(("127.0.0.1", 0))
    other.settimeout(5)
    transport = udp(ends.lost)
    transport.registerOnFrameCallback(ends.frame)
    transport.connect("127.0.0.1", other.getsockname()[1])
    transport.send(b"question")
    data, address = other.recvfrom(100)
    other.sendto(b"answer", address)
    ends.wait()
    assert (data, ends.frames) == (b"question", [b"answer"])
    assert transport.getMaxTxBufferSize() == kortex_transport.DATAGRAM
    transport.close()
    other.close()
