"""An SDK for tests of the Kortex driver."""

from __future__ import annotations

import pytest

from tests.arms import standin


@pytest.fixture(scope="session")
def kortex_sdk() -> str:
    """`kortex_api` is importable: whose it is, the vendor's or the stand-in."""
    return standin.use()
