"""A robot that is filled by hand, and browsers before it."""

import pytest
from fastapi.testclient import TestClient

from .fake import URL, Robot, tokens


@pytest.fixture
def robot():
    return Robot()


@pytest.fixture
def client(robot):
    with TestClient(robot.app, base_url=URL) as client:
        yield client


@pytest.fixture
def guarded():
    robot = Robot(tokens())
    with TestClient(robot.app, base_url=URL) as client:
        yield robot, client
