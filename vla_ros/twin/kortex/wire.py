"""Kortex frames: in a datagram, in a TCP stream, and the four words of their header.

A frame is a header and a payload, the serialized message of a method. A datagram holds one frame. In a TCP stream each frame
comes behind eight bytes of MAGIC and its length, four bytes big-endian. The header's words, from the highest bit down:

| word | bits |
|---|---|
| frame_info | version 4, frame type 4, device 8, error code 4, error sub-code 12 |
| message_info | session 16, message 16 (of a notification: the subscription's identifier) |
| service_info | version 4, service 12, function 16 |
| payload_info | reserved 8, length 24 |

Sources: kortex_api/include/common/HeaderInfo.h and KinovaTcpUtilities.h of Kinovarobotics/ros2_kortex at 470d825; that the length
is big-endian, the vendor's Python client (TCPTransport.py). What comes from a peer is never trusted: what is wrong with it is a
value, and no input makes `decode` or a Stream raise.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from google.protobuf.message import DecodeError

from vla_ros.twin.kortex.codes import ErrorCodes, FrameTypes, SubErrorCodes
from vla_ros.twin.kortex.messages import Api

MAGIC = b"\x07xEtRoK\x07"
PREFIX = len(MAGIC) + 4
VERSION = 1
LIMIT = 65507
"""Most bytes of a frame that is accepted: what fits into one datagram, and hundreds of times what a driver sends."""
_KNOWN = set(FrameTypes) - {FrameTypes.RESERVED}


def pack(*parts: tuple[str, int, int]) -> int:
    """One word of (name, value, bits), the highest first. Raises ValueError for a value that its bits cannot hold."""
    word = 0
    for name, value, bits in parts:
        if not 0 <= value < 1 << bits:
            raise ValueError(
                f"{name} {value}: not in 0 … {(1 << bits) - 1}, the {bits} bits that the header has for it"
            )
        word = word << bits | value
    return word


def unpack(word: int, *bits: int) -> list[int]:
    """The values in a word whose parts have these widths, the highest first; bits above them are ignored."""
    values = []
    for width in reversed(bits):
        values.append(word & (1 << width) - 1)
        word >>= width
    return values[::-1]


@dataclass(frozen=True)
class FrameInfo:
    """What a frame is, for which device of the robot (0: the base), and how a response went."""

    type: int
    device: int = 0
    error: int = ErrorCodes.ERROR_NONE
    sub_error: int = SubErrorCodes.SUB_ERROR_NONE
    version: int = VERSION

    def word(self) -> int:
        """The header's frame_info. Raises ValueError for a part out of range."""
        outcome = ("error code", self.error, 4), ("error sub-code", self.sub_error, 12)
        return pack(
            ("header version", self.version, 4), ("frame type", self.type, 4), ("device", self.device, 8), *outcome
        )

    @staticmethod
    def of(word: int) -> FrameInfo:
        """The parts of a word."""
        version, kind, device, error, sub_error = unpack(word, 4, 4, 8, 4, 12)
        return FrameInfo(kind, device, error, sub_error, version)


@dataclass(frozen=True)
class MessageInfo:
    """Whose message it is, and which: a response has the message number of its request."""

    session: int = 0
    message: int = 0

    def word(self) -> int:
        """The header's message_info. Raises ValueError for a part out of range."""
        return pack(("session", self.session, 16), ("message", self.message, 16))

    @staticmethod
    def of(word: int) -> MessageInfo:
        """The parts of a word."""
        return MessageInfo(*unpack(word, 16, 16))


@dataclass(frozen=True)
class ServiceInfo:
    """The method that a frame is about."""

    service: int = 0
    function: int = 0
    version: int = VERSION

    @property
    def uid(self) -> int:
        """Service and function in one number: see messages.METHODS."""
        return self.service << 16 | self.function

    def word(self) -> int:
        """The header's service_info. Raises ValueError for a part out of range."""
        return pack(
            ("service version", self.version, 4), ("service", self.service, 12), ("function", self.function, 16)
        )

    @staticmethod
    def of(word: int) -> ServiceInfo:
        """The parts of a word."""
        version, service, function = unpack(word, 4, 12, 16)
        return ServiceInfo(service, function, version)

    @staticmethod
    def method(uid: int) -> ServiceInfo:
        """The method of this uid."""
        return ServiceInfo(*unpack(uid, 12, 16))


@dataclass(frozen=True)
class PayloadInfo:
    """Bytes of the payload."""

    length: int = 0
    reserved: int = 0

    def word(self) -> int:
        """The header's payload_info. Raises ValueError for a part out of range."""
        return pack(("reserved", self.reserved, 8), ("payload length", self.length, 24))

    @staticmethod
    def of(word: int) -> PayloadInfo:
        """The parts of a word."""
        reserved, length = unpack(word, 8, 24)
        return PayloadInfo(length, reserved)


@dataclass(frozen=True)
class Header:
    """The four words."""

    frame: FrameInfo
    message: MessageInfo = MessageInfo()
    service: ServiceInfo = ServiceInfo()
    payload: PayloadInfo = PayloadInfo()


@dataclass(frozen=True)
class Frame:
    """A header and the serialized message behind it."""

    header: Header
    payload: bytes = b""


@dataclass(frozen=True)
class Fault:
    """What is wrong with bytes that came in: in the wire's own terms, in words, and how many bytes were dropped."""

    code: SubErrorCodes
    text: str
    dropped: int = 0


def request(uid: int, session: int, message: int, payload: bytes = b"", device: int = 0) -> Frame:
    """The frame by which a client calls the method `uid`, with a number of its own choice."""
    info = FrameInfo(FrameTypes.MSG_FRAME_REQUEST, device)
    return Frame(
        Header(info, MessageInfo(session, message), ServiceInfo.method(uid), PayloadInfo(len(payload))), payload
    )


def response(to: Header, session: int, payload: bytes = b"") -> Frame:
    """The frame that answers a request; `session` is that of the request, or the new one that it made."""
    info = FrameInfo(FrameTypes.MSG_FRAME_RESPONSE, to.frame.device)
    return Frame(Header(info, replace(to.message, session=session), to.service, PayloadInfo(len(payload))), payload)


def refusal(to: Header, error: ErrorCodes, sub_error: SubErrorCodes, text: str = "") -> Frame:
    """The frame that answers a request which failed, with the reason in its header and in its payload."""
    reason = Api.Error(error_code=error, error_sub_code=sub_error, error_sub_string=text).SerializeToString()
    answer = response(to, to.message.session, reason)
    info = replace(answer.header.frame, error=error, sub_error=sub_error)
    return replace(answer, header=replace(answer.header, frame=info))


def notification(uid: int, session: int, identifier: int, payload: bytes) -> Frame:
    """The frame that tells a subscriber about a topic; `identifier` is that of its NotificationHandle."""
    info = FrameInfo(FrameTypes.MSG_FRAME_NOTIFICATION)
    header = Header(info, MessageInfo(session, identifier), ServiceInfo.method(uid), PayloadInfo(len(payload)))
    return Frame(header, payload)


def encode(frame: Frame) -> bytes:
    """The bytes of a frame, which are a datagram. Raises ValueError for a part of the header that is out of range."""
    header = frame.header
    words = Api.Header(
        frame_info=header.frame.word(),
        message_info=header.message.word(),
        service_info=header.service.word(),
        payload_info=header.payload.word(),
    )
    data: bytes = Api.Frame(header=words, payload=frame.payload).SerializeToString()
    return data


def decode(data: bytes) -> Frame | Fault:
    """The frame in a datagram, or why there is none."""
    try:
        message = Api.Frame.FromString(data)
    except DecodeError as error:
        return Fault(SubErrorCodes.FRAME_DECODING_ERR, f"{len(data)} bytes are no frame: {error}", len(data))
    words = message.header
    header = Header(
        FrameInfo.of(words.frame_info),
        MessageInfo.of(words.message_info),
        ServiceInfo.of(words.service_info),
        PayloadInfo.of(words.payload_info),
    )
    return _checked(Frame(header, message.payload), len(data))


def _checked(frame: Frame, size: int) -> Frame | Fault:
    """The frame if its header can be trusted."""
    header = frame.header
    if header.frame.version != VERSION:
        text = f"header version {header.frame.version}: this is version {VERSION}"
        return Fault(SubErrorCodes.INCOMPATIBLE_HEADER_VERSION, text, size)
    if header.frame.type not in _KNOWN:
        return Fault(SubErrorCodes.UNSUPPORTED_FRAME_TYPE, f"frame type {header.frame.type}: none that is known", size)
    if header.payload.length != len(frame.payload):
        text = f"{len(frame.payload)} bytes of payload where the header says {header.payload.length}"
        return Fault(SubErrorCodes.FRAME_DECODING_ERR, text, size)
    return frame


def wrap(datagram: bytes) -> bytes:
    """A frame's bytes as they go into a TCP stream. Raises ValueError for more than a frame may have."""
    if len(datagram) > LIMIT:
        raise ValueError(f"a frame of {len(datagram)} bytes: {LIMIT} are the most. Send less in one message")
    return MAGIC + len(datagram).to_bytes(4, "big") + datagram


@dataclass
class Stream:
    """Takes a TCP stream apart, however it is cut.

    Bytes that are no frame are dropped up to the next MAGIC and reported; a length over the limit cannot be believed, so its
    frame is dropped in the same way. What arrives is held only until it is judged: at most one frame.
    """

    limit: int = LIMIT
    _held: bytearray = field(default_factory=bytearray, init=False)

    def feed(self, data: bytes) -> list[Frame | Fault]:
        """The frames that are complete with these bytes, and what is wrong with others, in order."""
        self._held += data
        return list(iter(self._next, None))

    @property
    def held(self) -> int:
        """Bytes of a frame that is not complete yet; when the peer is gone they are lost."""
        return len(self._held)

    def _next(self) -> Frame | Fault | None:
        """The first frame or fault in what is held, taken out of it; None to wait for more."""
        if garbage := _before_magic(self._held):
            del self._held[:garbage]
            text = f"{garbage} bytes that belong to no frame: a frame begins with {MAGIC!r}"
            return Fault(SubErrorCodes.FRAME_DECODING_ERR, text, garbage)
        if len(self._held) < PREFIX:
            return None
        length = int.from_bytes(self._held[len(MAGIC) : PREFIX], "big")
        if length > self.limit:
            del self._held[:PREFIX]
            text = f"a frame of {length} bytes: {self.limit} are the most"
            return Fault(SubErrorCodes.TOO_LARGE_ENCODED_FRAME_BUFFER, text, PREFIX)
        if len(self._held) < PREFIX + length:
            return None
        datagram = bytes(self._held[PREFIX : PREFIX + length])
        del self._held[: PREFIX + length]
        return decode(datagram)


def _before_magic(data: bytearray) -> int:
    """How many bytes come before the first that can begin a frame, be it only as far as the data goes."""
    at = data.find(MAGIC)
    if at >= 0:
        return at
    tails = (len(data) - kept for kept in range(min(len(data), len(MAGIC) - 1), 0, -1))
    return next((at for at in tails if MAGIC.startswith(data[at:])), len(data))
