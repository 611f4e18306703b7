"""A controller and a client of it for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.twin.controller.running import Running, running_controller
from tests.twin.controller.wire_client import Client


@pytest.fixture
def arm() -> Iterator[Running]:
    """A controller that runs."""
    with running_controller() as running:
        yield running


@pytest.fixture
def client(arm: Running) -> Iterator[Client]:
    """Somebody logged in."""
    with Client(arm.port).login() as connected:
        yield connected
