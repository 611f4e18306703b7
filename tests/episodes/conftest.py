"""What the tests of episodes share."""

from pathlib import Path

import pytest

from .recordings import record


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two episodes, of 7 and 5 frames."""
    return record(tmp_path / "dataset", 7, 5)
