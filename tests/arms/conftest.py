"""For tests of the Kortex driver: an SDK, a controller, and an arm that is connected to it."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from tests.arms import standin
from tests.arms.driving import opened
from tests.twin.controller.running import running_controller

# how long an example takes says more of a loaded machine than of the code
settings.register_profile("arms", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("arms")


@pytest.fixture(scope="session")
def kortex_sdk() -> str:
    """`kortex_api` is importable: whose it is, the vendor's or the stand-in."""
    return standin.use()


@pytest.fixture
def running():
    """A controller that moves a twin."""
    with running_controller(overrides=("arm.call_timeout=0.1",)) as running:
        yield running


@pytest.fixture
def arm(running):
    """The driver, connected to it."""
    with opened(running.config) as arm:
        yield arm
