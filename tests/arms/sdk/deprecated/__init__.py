"""Stands in for the package that the vendor's SDK needs."""

from __future__ import annotations

from typing import Any


def deprecated(*arguments: Any, **named: Any) -> Any:
    """Marks nothing."""
    return lambda function: function
