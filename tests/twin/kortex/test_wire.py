"""Frames of the Kortex wire: known bytes, every cut of a stream, and everything that a broken peer may send."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.twin.kortex import wire
from vla_ros.twin.kortex.codes import ErrorCodes, FrameTypes, Service, SubErrorCodes
from vla_ros.twin.kortex.messages import NAMED, Api, Base, Session
from vla_ros.twin.kortex.wire import Fault, Frame, FrameInfo, Header, MessageInfo, PayloadInfo, ServiceInfo, Stream

# Base.Stop, session 1, message 2, no payload, as it is on the wire: field 1, 20 bytes of header, of which payload_info
# is zero and left out; then frame_info 0x11000000, message_info 0x00010002, service_info 0x10020070, each little-endian.
STOP = bytes.fromhex("0a0f 0d00000011 1502000100 1d70000210")


def bits(count: int) -> st.SearchStrategy[int]:
    """Any value of so many bits."""
    return st.integers(0, (1 << count) - 1)


frames = st.builds(
    lambda uid, session, message, payload, device: wire.request(uid, session, message, payload, device),
    bits(28),
    bits(16),
    bits(16),
    st.binary(max_size=60) | st.just(b"a payload with " + wire.MAGIC + b"\x00\x00\x00\x04 inside"),
    bits(8),
)
noise = st.binary(max_size=40).filter(lambda data: 7 not in data)  # bytes that cannot begin a frame


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    """The data in pieces, cut at these places."""
    places = [0, *sorted(place % (len(data) + 1) for place in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(places)]


def received(pieces: list[bytes], stream: Stream | None = None) -> list[Frame | Fault]:
    """What a stream makes of pieces that arrive one after the other."""
    stream = stream or Stream()
    return [found for piece in pieces for found in stream.feed(piece)]


def test_a_stop_is_these_bytes():
    frame = wire.request(NAMED["Base.Stop"].uid, session=1, message=2)
    assert wire.encode(frame) == STOP
    assert wire.decode(STOP) == frame


def test_in_a_tcp_stream_the_magic_and_a_big_endian_length_come_first():
    assert wire.wrap(STOP) == b"\x07xEtRoK\x07" + b"\x00\x00\x00\x11" + STOP
    assert wire.wrap(bytes(0x0102))[8:12] == b"\x00\x00\x01\x02"


def test_a_login_is_these_bytes():
    info = Session.CreateSessionInfo(
        username="admin", session_inactivity_timeout=60000, password="pass", connection_inactivity_timeout=500
    )
    payload = bytes.fromhex("0a05") + b"admin" + bytes.fromhex("10e0d403 1a04") + b"pass" + bytes.fromhex("20f403")
    assert info.SerializeToString() == payload
    frame = wire.encode(wire.request(0x10001, 0, 1, payload))
    # 0x14 = 20 bytes of header: frame, message, service, payload length 0x14; then 0x14 = 20 bytes of payload
    assert frame == bytes.fromhex("0a14 0d00000011 1501000000 1d01000110 2514000000 1214") + payload


def test_the_words_are_laid_out_from_the_highest_bit_down():
    assert FrameInfo(FrameTypes.MSG_FRAME_RESPONSE, 0xAB, ErrorCodes.ERROR_DEVICE, 0xDEF).word() == 0x13AB3DEF
    assert MessageInfo(0x1234, 0x5678).word() == 0x12345678
    assert ServiceInfo(Service.DEVICE_MANAGER, 1).word() == 0x10170001
    assert PayloadInfo(0x00ABCD, 0xFF).word() == 0xFF00ABCD


@given(bits(32))
def test_every_word_has_parts_that_make_it_again(word):
    for part in FrameInfo, MessageInfo, ServiceInfo, PayloadInfo:
        assert part.of(word).word() == word


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (FrameInfo(16), "frame type 16"),
        (FrameInfo(1, device=256), "device 256"),
        (FrameInfo(1, error=16), "error code 16"),
        (FrameInfo(1, sub_error=4096), "error sub-code 4096"),
        (MessageInfo(session=1 << 16), "session 65536"),
        (MessageInfo(message=-1), "message -1"),
        (ServiceInfo(service=4096), "service 4096"),
        (ServiceInfo(function=1 << 16), "function 65536"),
        (PayloadInfo(1 << 24), "payload length 16777216"),
    ],
)
def test_a_part_too_large_for_its_bits_is_refused(part, said):
    with pytest.raises(ValueError, match=said):
        part.word()


@given(frames)
def test_a_frame_comes_back_from_its_bytes(frame):
    assert wire.decode(wire.encode(frame)) == frame


def test_an_answer_keeps_number_method_and_device_of_its_request():
    asked = wire.request(0x10001, 0, 77, b"x", device=3).header
    answer = wire.response(asked, session=9, payload=b"abc").header
    assert answer.frame == FrameInfo(FrameTypes.MSG_FRAME_RESPONSE, 3)
    assert answer.message == MessageInfo(9, 77)
    assert answer.service.uid == 0x10001
    assert answer.payload.length == 3


def test_a_refusal_says_why_in_header_and_payload():
    asked = wire.request(NAMED["Base.SendTwistCommand"].uid, 4, 5).header
    answer = wire.refusal(asked, ErrorCodes.ERROR_DEVICE, SubErrorCodes.ROBOT_IN_FAULT, "in fault")
    assert answer.header.frame == FrameInfo(FrameTypes.MSG_FRAME_RESPONSE, 0, 3, 22)
    assert answer.header.message == asked.message
    reason = Api.Error.FromString(answer.payload)
    assert (reason.error_code, reason.error_sub_code, reason.error_sub_string) == (3, 22, "in fault")
    assert wire.decode(wire.encode(answer)) == answer


def test_a_notification_carries_the_subscription_as_its_message():
    told = wire.notification(
        NAMED["Base.ActionTopic"].uid, 2, 6, Base.ActionNotification(action_event=1).SerializeToString()
    )
    assert told.header.frame.type == FrameTypes.MSG_FRAME_NOTIFICATION
    assert told.header.message == MessageInfo(2, 6)
    assert told.header.service.uid == 0x2006A
    assert told.payload == b"\x08\x01"


@given(st.lists(frames, max_size=5), st.lists(st.integers(0, 10_000), max_size=12))
def test_frames_arrive_whole_however_the_stream_is_cut(sent, cuts):
    data = b"".join(wire.wrap(wire.encode(frame)) for frame in sent)
    assert received(cut(data, cuts)) == sent


def test_a_stream_may_be_cut_at_every_byte():
    sent = [wire.request(0x20070, 1, number, b"payload" * number) for number in range(4)]
    data = b"".join(wire.wrap(wire.encode(frame)) for frame in sent)
    assert received([bytes([byte]) for byte in data]) == sent
    for place in range(len(data) + 1):
        assert received([data[:place], data[place:]]) == sent


def test_a_frame_waits_for_its_last_byte():
    stream = Stream()
    data = wire.wrap(STOP)
    assert stream.feed(data[:-1]) == []
    assert stream.held == len(data) - 1
    assert len(stream.feed(data[-1:])) == 1
    assert stream.held == 0


@given(st.lists(st.tuples(noise, frames), max_size=5), noise, st.lists(st.integers(0, 10_000), max_size=12))
def test_noise_between_frames_is_dropped_and_counted_to_the_byte(sent, end, cuts):
    data = b"".join(before + wire.wrap(wire.encode(frame)) for before, frame in sent) + end
    found = received(cut(data, cuts))
    assert [each for each in found if isinstance(each, Frame)] == [frame for _, frame in sent]
    faults = [each for each in found if isinstance(each, Fault)]
    assert sum(fault.dropped for fault in faults) == sum(len(before) for before, _ in sent) + len(end)


def test_half_a_magic_before_a_frame_is_noise_too():
    data = wire.MAGIC[:5] + wire.wrap(STOP)
    for pieces in [data], [data[:3], data[3:6], data[6:]]:
        faults, frames_ = [], []
        for each in received(pieces):
            (faults if isinstance(each, Fault) else frames_).append(each)
        assert sum(fault.dropped for fault in faults) == 5
        assert len(frames_) == 1


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_nothing_that_arrives_raises_or_is_held_beyond_one_frame(pieces):
    stream = Stream(limit=64)
    for piece in pieces:
        for found in stream.feed(wire.MAGIC + piece):
            assert isinstance(found, Frame | Fault)
    assert stream.held < wire.PREFIX + 64 + 1


@given(st.binary(max_size=80))
def test_a_datagram_of_anything_is_a_frame_or_a_fault(data):
    found = wire.decode(data)
    assert isinstance(found, Frame) or found.dropped == len(data)


def test_a_length_over_the_limit_is_reported_and_the_stream_goes_on():
    huge = wire.MAGIC + b"\xff\xff\xff\xff" + b"abc"
    found = received([huge + wire.wrap(STOP)])
    assert [type(each) for each in found] == [Fault, Fault, Frame]
    assert found[0].code == SubErrorCodes.TOO_LARGE_ENCODED_FRAME_BUFFER
    assert "4294967295 bytes" in found[0].text
    assert found[1].dropped == 3


def test_a_frame_of_the_limit_passes_and_one_byte_more_does_not():
    data = wire.encode(wire.request(0x20070, 1, 2, bytes(100)))
    assert isinstance(received([wire.wrap(data)], Stream(limit=len(data)))[0], Frame)
    assert isinstance(received([wire.wrap(data)], Stream(limit=len(data) - 1))[0], Fault)
    with pytest.raises(ValueError, match="65508 bytes"):
        wire.wrap(bytes(wire.LIMIT + 1))


@pytest.mark.parametrize(
    ("header", "payload", "code", "said"),
    [
        (Header(FrameInfo(1, version=2)), b"", SubErrorCodes.INCOMPATIBLE_HEADER_VERSION, "version 2"),
        (Header(FrameInfo(4)), b"", SubErrorCodes.UNSUPPORTED_FRAME_TYPE, "type 4"),
        (Header(FrameInfo(0)), b"", SubErrorCodes.UNSUPPORTED_FRAME_TYPE, "type 0"),
        (Header(FrameInfo(1), payload=PayloadInfo(9)), b"four", SubErrorCodes.FRAME_DECODING_ERR, "says 9"),
    ],
)
def test_a_header_that_cannot_be_trusted_is_a_fault(header, payload, code, said):
    found = wire.decode(wire.encode(Frame(header, payload)))
    assert isinstance(found, Fault)
    assert found.code == code
    assert said in found.text


def test_a_broken_frame_in_a_stream_does_not_cost_the_next_one():
    found = received([wire.wrap(b"\x0a\xff not a frame") + wire.wrap(STOP)])
    assert [type(each) for each in found] == [Fault, Frame]
    assert found[0].code == SubErrorCodes.FRAME_DECODING_ERR


def test_a_frame_that_was_cut_short_takes_what_it_lacks_from_the_next_and_no_more():
    whole = wire.wrap(wire.encode(wire.request(0x20070, 1, 1, bytes(30))))
    found = received([whole[:-20], *[wire.wrap(STOP)] * 3])
    assert [type(each) for each in found] == [Frame, Fault, Frame, Frame]
    assert found[1].dropped == wire.PREFIX + len(STOP) - 20
    assert found[2:] == [wire.decode(STOP)] * 2
