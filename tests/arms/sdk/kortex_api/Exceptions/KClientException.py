"""What goes wrong on this side."""

from __future__ import annotations

from kortex_api.Exceptions.KException import KException


class KClientException(KException):
    """An error of the client."""

    def __init__(self, sub_code: int, description: str) -> None:
        super().__init__(description)
        self.sub_code = sub_code
