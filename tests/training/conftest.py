"""A few recorded episodes."""

from pathlib import Path

import pytest

from .fake_recordings import FakeReader


@pytest.fixture
def reader(tmp_path: Path) -> FakeReader:
    """Three episodes, one of them shorter than a window."""
    return FakeReader(tmp_path / "demos", [9, 3, 12])
