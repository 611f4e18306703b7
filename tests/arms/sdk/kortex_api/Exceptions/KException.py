"""What every error of the SDK is."""

from __future__ import annotations


class KException(Exception):
    """An error with a description."""

    def __init__(self, description: str) -> None:
        super().__init__(description)
        self.description = description
