"""What the arm refuses."""

from __future__ import annotations

from kortex_api.Exceptions.KException import KException


class KServerException(KException):
    """An error that the arm answers with, by its codes."""

    def __init__(self, error_code: int, error_sub_code: int, description: str) -> None:
        super().__init__(description)
        self.error_code, self.error_sub_code = error_code, error_sub_code

    def get_error_code(self) -> int:
        """Where the error comes from."""
        return self.error_code

    def get_error_sub_code(self) -> int:
        """What went wrong."""
        return self.error_sub_code
