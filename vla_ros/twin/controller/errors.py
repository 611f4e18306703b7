"""What a call is refused with."""

from __future__ import annotations

from vla_ros.twin.kortex.codes import ErrorCodes, SubErrorCodes


class CallError(Exception):
    """A call fails: the client gets these codes and this text, in the header and in the payload of the answer."""

    def __init__(self, sub_error: SubErrorCodes, text: str, error: ErrorCodes = ErrorCodes.ERROR_DEVICE) -> None:
        super().__init__(text)
        self.error, self.sub_error, self.text = error, sub_error, text


def invalid(text: str) -> CallError:
    """A parameter that cannot be."""
    return CallError(SubErrorCodes.INVALID_PARAM, text)
